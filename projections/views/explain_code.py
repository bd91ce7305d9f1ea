"""Why does this code not work, or work no more? (`projections.views.explain`)

    Key POS-••••-••••-7K2M was revoked on 3 Mar 2026.
      rule    key_revoked
      mend    Ask the reseller for another code …

The rules are looked at in the order in which a try is refused: the lockout, the shape, the
product, the key. A try that a lockout refused is not on record, so while one lasts, what refused
the last try before it is told as well. The code itself is in no sentence.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from ledger import codes
from ledger.book import Book
from ledger.catalog import Catalog
from ledger.codes import CodeKeys
from ledger.events import AnyEvent
from ledger.streams import key as keys
from ledger.streams import reseller as resellers
from ledger.streams.account.state import GOES_ON, Subscription
from ledger.streams.attempts import (
    ACCOUNT_FAILURES_MAX,
    ATTEMPTS,
    RedemptionRefused,
)
from ledger.streams.key import KEY, Key
from ledger.streams.reseller import RESELLER
from ledger.streams.session_attempts import SESSION, SESSION_FAILURES_MAX, SessionAttempts
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.text.event_descriptions import refused_key
from projections.text.formatting import counted, day, minute, place, seats, title
from projections.views.account_at import AccountAt, Moment
from projections.views.explain import Explanation, Reason, explained, read_account, read_attempts

PARTS: Final = 4
AVAILABLE: Final = "key_not_available"


class CodeQuestion(NamedTuple):
    """A code, and where it was tried.

    Attributes:
        session: in which it was tried; None for whichever.
        product: that it was wanted for; None for that of the last try.
    """

    text: str
    session: str | None = None
    product: str | None = None


def explain_code(
    book: Book,
    id: str,
    moment: Moment,
    catalog: Catalog,
    code_keys: CodeKeys,
    question: CodeQuestion,
) -> Explanation:
    """Return why an account is refused a code, or why what it gave has ended."""
    account, _events = read_account(book, id, moment)
    attempts = read_attempts(book, id, account.moment)
    code = codes.parse(question.text, catalog.prefixes)
    key_id = code_keys.key_id(code) if code else None
    own = [event for event in attempts if _tried(event) and _fact(event).key == key_id]
    is_own = key_id is not None and _redeemed_by(book, key_id, account) == account.id
    reason = _by_shape(catalog, question, code, [] if is_own else own)
    reason = reason or _by_key(book, account, catalog, key_id)
    blocked = _blocked(book, account, attempts, code_keys, question.session)
    if blocked is not None:
        answer = _(
            "%(block)s As for the code: %(answer)s", block=blocked.answer, answer=reason.answer
        )
        reason = Reason(
            answer,
            blocked.rule,
            blocked.code,
            [*blocked.facts, *reason.facts],
            [*blocked.positions, *reason.positions],
            blocked.mend,
        )
    return explained(account, _with_last_try(reason, own))


def _redeemed_by(book: Book, key_id: str, account: AccountAt) -> str | None:
    """Return who has redeemed a key, as of the moment asked about."""
    _head, history = book.history(KEY, keys.stream_id(key_id))
    key = KEY.fold(KEY.initial, [event for event in history if account.moment.covers(event)])
    return key.redeemed_by if key else None


# The lockout


def _blocked(
    book: Book,
    account: AccountAt,
    attempts: list[AnyEvent],
    code_keys: CodeKeys,
    session: str | None,
) -> Reason | None:
    at = account.moment.at
    state = ATTEMPTS.fold(ATTEMPTS.initial, attempts)
    why, few = title("too_many_attempts"), SESSION_FAILURES_MAX
    failed = [event for event in attempts if _tried(event)]
    until = state.account_block(at)
    if until is not None:
        last = failed[-ACCOUNT_FAILURES_MAX:]
        rule = "account_blocked"
        answer = _("The account is blocked until %(time)s: %(why)s.", time=minute(until), why=why)
        fact = _("%(number)s tries failed within a day", number=ACCOUNT_FAILURES_MAX)
        partly = _("%(number)s tries failed, some of them on other accounts", number=few)
    else:
        sessions = {*state.sessions, *state.recent_sessions} if session is None else {session}
        ends = {
            name: state.session_block(name, _session(book, account, code_keys, name), at)
            for name in sessions
        }
        found = [(end, name) for name, end in ends.items() if end is not None]
        if not found:
            return None
        until, name = max(found)
        last = [e for e in failed if _fact(e).session == name][-SESSION_FAILURES_MAX:]
        rule = "session_blocked"
        answer = _(
            "Session %(session)s is blocked until %(time)s: %(why)s.",
            session=name,
            time=minute(until),
            why=why,
        )
        fact = _("%(number)s tries failed in session %(session)s", number=few, session=name)
        partly = _(
            "%(number)s tries failed in session %(session)s, some of them on other accounts",
            number=few,
            session=name,
        )
    if len(last) >= SESSION_FAILURES_MAX:
        first = minute(last[0].occurred_at)
        facts = [_("%(text)s, the first of them on %(time)s", text=fact, time=first)]
    else:
        facts = [partly]
    return Reason(
        answer,
        rule,
        "too_many_attempts",
        facts,
        [event.position for event in last],
        _(
            "Wait until %(time)s; a try before that is not looked at, and does not count.",
            time=minute(until),
        ),
    )


def _session(book: Book, account: AccountAt, code_keys: CodeKeys, name: str) -> SessionAttempts:
    _head, history = book.history(SESSION, code_keys.session_id(name))
    covered = [event for event in history if account.moment.covers(event)]
    return SESSION.fold(SESSION.initial, covered)


def _with_last_try(reason: Reason, own: list[AnyEvent]) -> Reason:
    if not own:
        return reason
    last = own[-1]
    sentence = _(
        "The last try of it, on %(time)s in session %(session)s, was refused: %(why)s",
        time=minute(last.occurred_at),
        session=_fact(last).session,
        why=refused_key(_fact(last)),
    )
    return reason._replace(
        facts=[*reason.facts, sentence], positions=[*reason.positions, last.position]
    )


# The shape, and the product


def _by_shape(
    catalog: Catalog, question: CodeQuestion, code: str | None, own: list[AnyEvent]
) -> Reason | None:
    if code is None:
        return Reason(
            _("%(why)s: this is no activation code.", why=title("invalid_key_format")),
            "invalid_key_format",
            "invalid_key_format",
            _flaws(catalog, question.text),
            [],
            _("Type it as it was sent: PREFIX-XXXX-XXXX-XXXX, letters and the digits 2 to 9."),
        )
    wanted = question.product
    if wanted is None and own and _fact(own[-1]).refusal == "wrong_product":
        wanted = _fact(own[-1]).product
    of = catalog.by_prefix(codes.prefix_of(code))
    if wanted is None or of is None or of.id == wanted:
        return None
    here = place(catalog, wanted, None)
    return Reason(
        _(
            "%(why)s: key %(key)s is for %(product)s, and was tried for %(other)s.",
            why=title("wrong_product"),
            key=codes.mask(code),
            product=of.name,
            other=here,
        ),
        "wrong_product",
        "wrong_product",
        [
            _(
                "Codes that begin with %(prefix)s are for %(product)s",
                prefix=of.prefix,
                product=of.name,
            )
        ],
        [],
        _("Activate it where %(product)s keys are activated.", product=of.name),
    )


def _flaws(catalog: Catalog, text: str) -> list[str]:
    """Return what is wrong with a text, and nothing of the text."""
    tidy = codes.tidy(text)
    found = []
    if {"0", "1"} & set(tidy):
        found.append(_("It has a 0 or a 1, which no code has"))
    parts = [part for part in re.split("[- ]+", tidy) if part]
    if len(parts) not in (1, PARTS):  # without dashes and spaces it is one
        found.append(_("It does not have four parts with dashes between them"))
    prefix = parts[0] if parts else ""
    if prefix.isalpha() and prefix not in catalog.prefixes:
        found.append(
            _(
                "No product's codes begin like that: they begin with %(prefixes)s",
                prefixes=_known(catalog),
            )
        )
    return found or [_("Its parts have other lengths or characters than a code's")]


def _known(catalog: Catalog) -> str:
    return ", ".join(sorted(catalog.prefixes))


# The key


def _by_key(book: Book, account: AccountAt, catalog: Catalog, key_id: str | None) -> Reason:
    assert key_id is not None, "a text that is no code has been told so"
    _head, history = book.history(KEY, keys.stream_id(key_id))
    events = [event for event in history if account.moment.covers(event)]
    key = KEY.fold(KEY.initial, events)
    positions = [event.position for event in events]
    if key is None:
        return Reason(
            _("There is no such key: nobody issued this code."),
            "key_unknown",
            AVAILABLE,
            [],
            positions,
            _("Hold it against what the reseller sent, letter by letter."),
        )
    name, at = key.issued.masked, account.moment.at
    gives = seats(catalog, key.issued.seats, key.issued.product, key.issued.tier)
    given = _(
        "It was issued to %(reseller)s on %(day)s: %(seats)s",
        reseller=key.issued.reseller,
        day=day(key.issued_at),
        seats=gives,
    )
    match key.status(at):
        case "revoked":
            reason = _revoked(book, key, name)
        case "redeemed":
            reason = _redeemed(account, key, name)
        case "lapsed":
            assert key.issued.redeem_by
            reason = Reason(
                _(
                    "Key %(key)s was not redeemed before %(time)s, and has lapsed.",
                    key=name,
                    time=minute(key.issued.redeem_by),
                ),
                "key_lapsed",
                AVAILABLE,
                [],
                [],
                _("Ask the reseller for another key."),
            )
        case "issued" if _suspended(book, account, key):
            reason = Reason(
                _(
                    "Key %(key)s cannot be redeemed for now: its reseller %(reseller)s is"
                    " suspended.",
                    key=name,
                    reseller=key.issued.reseller,
                ),
                "reseller_suspended",
                AVAILABLE,
                [],
                [],
                _("Resume the reseller, if its customers are to redeem its keys."),
            )
        case "issued":
            months = counted(key.issued.months, "month")
            reason = Reason(
                _(
                    "Key %(key)s can be redeemed: it gives %(seats)s for %(months)s.",
                    key=name,
                    seats=gives,
                    months=months,
                ),
                "key_available",
                None,
                [],
                [],
                None,
            )
    if key.redeemed_by == account.id:
        reason = reason._replace(code="key_already_yours")
    return reason._replace(facts=[given, *reason.facts], positions=[*positions, *reason.positions])


def _suspended(book: Book, account: AccountAt, key: Key) -> bool:
    """Return whether a key's reseller was suspended together with its keys."""
    _head, history = book.history(RESELLER, resellers.stream_id(key.issued.reseller))
    covered = [event for event in history if account.moment.covers(event)]
    return RESELLER.fold(RESELLER.initial, covered).keys_suspended


def _revoked(book: Book, key: Key, name: str) -> Reason:
    assert key.revoked_at
    when = minute(key.revoked_at)
    if key.replaced_by is None:
        return Reason(
            _("Key %(key)s was revoked on %(time)s.", key=name, time=when),
            "key_revoked",
            AVAILABLE,
            [],
            [],
            _("Ask the reseller for another key: a revoked one works no more."),
        )
    new = book.load(KEY, keys.stream_id(key.replaced_by)).state
    masked = new.issued.masked if new else key.replaced_by
    return Reason(
        _(
            "Key %(key)s was replaced by %(new)s on %(time)s: the old code works no more.",
            key=name,
            new=masked,
            time=when,
        ),
        "key_replaced",
        AVAILABLE,
        [],
        [],
        _("Use the new code, %(new)s; who has it can have it shown again.", new=masked),
    )


def _redeemed(account: AccountAt, key: Key, name: str) -> Reason:
    assert key.redeemed_at
    when = minute(key.redeemed_at)
    if key.redeemed_by != account.id:
        here = account.account.subscriptions.get(key.subscription or "")
        moved = here is not None and here.transferred_to is not None
        elsewhere = (
            _(
                "Key %(key)s was redeemed on this account on %(time)s, and works once,"
                " and what it gives is now account %(account)s's.",
                key=name,
                time=when,
                account=key.redeemed_by,
            )
            if moved
            else _(
                "Key %(key)s was redeemed on account %(account)s on %(time)s, and works once.",
                key=name,
                account=key.redeemed_by,
                time=when,
            )
        )
        return Reason(
            elsewhere,
            "key_redeemed",
            AVAILABLE,
            [],
            [],
            _("If that was a mistake, terminate the subscription there and issue another key."),
        )
    found = account.account.subscriptions.get(key.subscription or "")
    status = found.status(account.moment.at) if found else "active"
    if found is None or status in GOES_ON:
        return Reason(
            _(
                "Key %(key)s was redeemed on this very account on %(time)s, and works once"
                "%(lasts)s.",
                key=name,
                time=when,
                lasts=_lasts(found, account.moment.at),
            ),
            "key_redeemed",
            AVAILABLE,
            [],
            [found.position] if found else [],
            _(_MENDS.get(status, _NO_MEND)),
        )
    return Reason(
        _(
            _ENDED[status],
            key=name,
            time=when,
            day=day(found.ended_at),
        ),
        f"subscription_{status}",
        AVAILABLE,
        [],
        [found.position],
        _("Redeem another key."),
    )


_NO_MEND: Final = _n("Nothing needs to be done for its seats; for more, redeem another key.")
_MENDS: Final = {
    "scheduled": _n("Nothing needs to be done; for its seats to begin now, let it start."),
    "suspended": _n("For its seats, resume the subscription."),
}
_ENDED: Final = {
    "expired": _n(
        "Key %(key)s was redeemed on this account on %(time)s; what it gave expired on %(day)s."
    ),
    "terminated": _n(
        "Key %(key)s was redeemed on this account on %(time)s;"
        " what it gave was terminated on %(day)s."
    ),
    "transferred": _n(
        "Key %(key)s was redeemed on this account on %(time)s;"
        " what it gave was transferred on %(day)s."
    ),
}


def _lasts(found: Subscription | None, at: datetime) -> str:
    if found is None:
        return ""
    match found.status(at):
        case "scheduled":
            return _(": its seats begin on %(day)s", day=day(found.started_at))
        case "suspended":
            return _(": its seats are suspended")
    return _(": its seats last until %(day)s", day=day(found.expires_at))


def _tried(event: AnyEvent) -> bool:
    return isinstance(event.fact, RedemptionRefused)


def _fact(event: AnyEvent) -> RedemptionRefused:
    assert isinstance(event.fact, RedemptionRefused)
    return event.fact
