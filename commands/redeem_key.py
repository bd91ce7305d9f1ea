"""Try a code: validate it, or redeem it on an account.

Both look at the same things in the same order, and both count a failed try: whether the account or
the session is blocked, whether the text is a code at all, whether it is one of the product asked
for, whether the key can be redeemed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from commands import validation
from commands.repeated import Asked, account_then
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext, Stream
from ledger.loaded import Loaded, empty_stream
from ledger.refusals import (
    FieldError,
    InvalidKeyFormat,
    KeyNotAvailable,
    Refusal,
    WrongProduct,
    refusals,
)
from ledger.streams import attempts, key, request
from ledger.streams.account import decisions, subscriptions
from ledger.streams.account.state import Account, Subscription
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import Start
from ledger.streams.attempts import ATTEMPTS, Attempts, RedemptionRefused
from ledger.streams.key import KEY, Key, KeyIssued
from ledger.streams.request import REQUEST, Answered, RedemptionAnswered
from ledger.streams.reseller import RESELLER, Reseller, stream_id
from ledger.streams.session_attempts import SESSION, SessionAttempts, TryFailed


class Try(NamedTuple):
    """A code that somebody typed for an account.

    Attributes:
        session: the portal's own id of the sitting; failed tries are counted by it.
        product: the product that the code is wanted for; None for whichever it is of.
        start: when what it gives is to begin.
    """

    account: str
    session: str
    code: str
    product: str | None = None
    start: Start = "now"


class Beginning(NamedTuple):
    """When what a key gives would begin and end."""

    start: Start
    starts_at: datetime
    expires_at: datetime


class Validated(NamedTuple):
    """What redeeming the key would give; nothing was consumed.

    Attributes:
        running: what it would follow, if that gives seats now; else what ends last of what does.
        choices: when it may begin.
    """

    issued: KeyIssued
    running: Subscription | None
    choices: list[Beginning]
    position: int

    @property
    def expires_if_activated_now(self) -> datetime:
        """Return when what it gives would end if it began now."""
        return self.choices[0].expires_at


class Redeemed(NamedTuple):
    """The subscription that a key gave.

    Attributes:
        account: the account just after, and `at` the moment of the redemption.
        replayed: it had been redeemed by the same request before.
    """

    account: Loaded[Account]
    subscription: str
    at: datetime
    position: int
    replayed: bool


class _Examined(NamedTuple):
    """A try that passed, with the streams it was decided on."""

    key: Loaded[Key | None]
    reseller: Loaded[Reseller]
    issued: KeyIssued
    now: datetime


class _Read(NamedTuple):
    """A code as it was read, before the ledger was asked.

    Attributes:
        code: normalised; None when the text is no code.
        key_id: of the code.
        fits: whether it is a code of the product that is wanted.
    """

    code: str | None
    key_id: str | None
    fits: bool

    @property
    def streams(self) -> list[tuple[Stream[Any], str]]:
        """Return where its key is, if it is worth looking at; else nothing."""
        return [(KEY, key.stream_id(self.key_id))] if self.fits and self.key_id else []


class _Counts(NamedTuple):
    """Where failed tries are counted: on the account, and in the session on all accounts."""

    tried: Loaded[Attempts]
    session: Loaded[SessionAttempts]

    def admit(self, wanted: Try, now: datetime) -> None:
        """Let the session try.

        Raises:
            TooManyAttempts: the session or the account is blocked.
        """
        attempts.admit(self.tried.state, wanted.session, self.session.state, now)


class _Failed(NamedTuple):
    """A try that failed, with what is to be remembered of it."""

    refusal: Refusal
    changes: Sequence[Change]


def validate_key(services: Services, context: RequestContext, wanted: Try) -> Validated:
    """Return what a code would give, and consume nothing.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyAlreadyYours, KeyNotAvailable: in this
            order.
    """
    validation.refuse_if(_errors(services, wanted))
    read = _read(services, wanted)
    _permit(services, context, wanted, read)

    counts = _counts(services, wanted)

    def attempt() -> Validated:
        tried, session, account, *keys = services.book.load_all(
            *counts, (ACCOUNT, wanted.account), *read.streams
        )
        examined = _examine(
            services,
            _Counts(tried, session),
            keys,
            wanted,
            read,
            context.now,
            consuming=False,
            sure=True,
        )
        if isinstance(examined, _Failed):
            services.book.append(context, *examined.changes)
            raise examined.refusal
        # Nothing is appended that could require it: look whether others have failed since.
        _Counts(*services.book.load_all(*counts)).admit(wanted, examined.now)
        issued, now = examined.issued, examined.now
        running = subscriptions.running(account.state, issued, now)
        choices = [Beginning(*one) for one in subscriptions.choices(account.state, issued, now)]
        return Validated(issued, running, choices, examined.key.head)

    return retry_on_conflict(attempt)


def redeem_key(
    services: Services,
    context: RequestContext,
    wanted: Try,
    *,
    idempotency_key: str | None = None,
    expected_version: int | None = None,
) -> Redeemed:
    """Redeem a code, and return the subscription that it gave.

    The key and the account change in one commit.

    Args:
        idempotency_key: a request that is repeated with it is answered as before; a refusal, too,
            and it counts as one failed try.
        expected_version: of the account, if the caller has seen one; a mismatch is no try.

    Raises:
        InvalidRequest: fields that do not fit; no such product, only after the next two.
        NotPermitted: by a session that may not manage the users by whom the product is billed.
        IdempotencyKeyReused: another redemption was asked for with it.
        VersionMismatch: something was recorded since.
        TooManyAttempts, InvalidKeyFormat, WrongProduct, KeyAlreadyYours, KeyNotAvailable: in this
            order.
    """
    errors = _errors(services, wanted)
    if any(one.pointer != "/product" for one in errors):
        validation.refuse_if(errors)
    read = _read(services, wanted)
    _permit(services, context, wanted, read)
    # What begins now is fingerprinted as it was before there was a choice.
    whole = wanted if wanted.start != "now" else wanted[:-1]
    fingerprint = codes.digest(services.request_key, msgspec.json.encode(whole).decode())
    request_id = (
        codes.digest(services.request_key, "redemption", idempotency_key)
        if idempotency_key
        else None
    )

    counted = _counts(services, wanted)
    rounds = itertools.count()

    def attempt() -> Redeemed:
        is_again = next(rounds) > 0
        tried, session, account, *others = services.book.load_all(
            *counted,
            (ACCOUNT, wanted.account),
            *([(REQUEST, request_id)] if request_id else []),
            *read.streams,
        )
        asked = others.pop(0) if request_id else None
        answered = request.repeated(asked.state, fingerprint) if asked else None
        if asked and answered:
            return _replay(services, answered, asked)
        # Only now: the product may have left the catalog since the request was answered.
        validation.refuse_if(errors)
        decisions.expect_version(account.version, expected_version)
        counts = _Counts(tried, session)
        examined = _examine(
            services, counts, others, wanted, read, context.now, consuming=True, sure=is_again
        )
        if isinstance(examined, _Failed):
            answer = _answered(
                asked,
                fingerprint,
                wanted.account,
                causation=tried.next_event,
                refusal=examined.refusal.code,
            )
            # On a version that the caller has not seen it would be no try.
            unmoved = Change(account, (), required=expected_version is not None)
            services.book.append(context, *examined.changes, *answer, unmoved)
            raise examined.refusal
        return _redeem(
            services, context, account, examined, wanted.start, asked, fingerprint, counts
        )

    return retry_on_conflict(attempt, services.book.lock(ACCOUNT, wanted.account))


def _redeem(
    services: Services,
    context: RequestContext,
    account: Loaded[Account],
    examined: _Examined,
    start: Start,
    asked: Asked | None,
    fingerprint: str,
    counts: _Counts,
) -> Redeemed:
    now = examined.now
    subscription = "kfsub_" + key.stream_id(examined.issued.key)
    redeemed = key.redeem(examined.key.state, account.id, subscription, now)
    activated = subscriptions.activate(account.state, examined.issued, subscription, start, now)
    appended = services.book.append(
        context._replace(now=now),
        Change(examined.key, redeemed),
        Change(account, activated, causation=examined.key.next_event),
        *_answered(
            asked,
            fingerprint,
            account.id,
            causation=examined.key.next_event,
            subscription=subscription,
            account_version=account.version + len(activated),
        ),
        # It holds only while no other try has failed since these were read, or a block could have
        # begun: many tries at once are decided on what each had read first.
        *(Change(one, (), required=True) for one in (*counts, examined.reseller)),
    )
    after: Loaded[Account] = appended.loaded[1]
    return Redeemed(after, subscription, now, appended.position, replayed=False)


def _counts(
    services: Services, wanted: Try
) -> tuple[tuple[Stream[Attempts], str], tuple[Stream[SessionAttempts], str]]:
    return (ATTEMPTS, wanted.account), (SESSION, services.codes.session_id(wanted.session))


def _read(services: Services, wanted: Try) -> _Read:
    code = codes.parse(wanted.code, services.catalog.prefixes)
    if code is None:
        return _Read(None, None, fits=False)
    of_product = services.catalog.by_prefix(codes.prefix_of(code))
    fits = wanted.product is None or (of_product is not None and of_product.id == wanted.product)
    return _Read(code, services.codes.key_id(code), fits)


def _permit(services: Services, context: RequestContext, wanted: Try, read: _Read) -> None:
    of_code = services.catalog.by_prefix(codes.prefix_of(read.code)) if read.code else None
    product = wanted.product or (of_code.id if of_code else None)
    if product is not None:
        validation.permit_product(services.catalog, context, product)


def _examine(
    services: Services,
    counts: _Counts,
    keys: Sequence[Loaded[Key | None]],
    wanted: Try,
    read: _Read,
    now: datetime,
    *,
    consuming: bool,
    sure: bool,
) -> _Examined | _Failed:
    """Look at a code that was read; `keys` is what was loaded of its `streams`."""
    counts.admit(wanted, now)

    def failed(refusal: Refusal, found: str | None = None, version: int | None = None) -> _Failed:
        fact = RedemptionRefused(
            session=wanted.session,
            refusal=refusal.code,
            key=read.key_id,
            masked=codes.mask(read.code) if read.code else None,
            product=wanted.product,
            found=found,
            key_version=version,
            consuming=consuming,
            counted=True,
        )
        tried, session = counts
        failures = tried.state.failures(wanted.session, session.state)
        counted = TryFailed(on_account=wanted.account, failures=failures)
        changes = Change(tried, [fact]), Change(session, [counted], causation=tried.next_event)
        return _Failed(refusal, changes)

    if read.code is None:
        return failed(InvalidKeyFormat())
    if not read.fits:
        return failed(WrongProduct())
    (loaded,) = keys
    key.not_yours(loaded.state, wanted.account)
    try:
        issued = key.available(loaded.state, now).issued
    except KeyNotAvailable as refusal:
        found = loaded.state.status(now) if loaded.state else "unknown"
        return failed(refusal, found, loaded.version)
    reseller = _reseller(services, issued.reseller, sure=sure)
    if reseller.state.keys_suspended:
        return failed(KeyNotAvailable(), "suspended", loaded.version)
    return _Examined(loaded, reseller, issued, now)


def _reseller(services: Services, name: str, *, sure: bool) -> Loaded[Reseller]:
    """Return a key's reseller.

    Args:
        sure: look it up. Else what is remembered will do, and nothing if nothing is: an append
            requires it to be so.
    """
    book, id = services.book, stream_id(name)
    if not sure and not book.remembers(RESELLER, id):
        return empty_stream(RESELLER, id)
    known = book.load(RESELLER, id, reached=None if sure else 0)
    # It may have been resumed since.
    return book.load(RESELLER, id) if known.state.keys_suspended and not sure else known


def _answered(
    asked: Asked | None,
    fingerprint: str,
    account: str,
    *,
    causation: str,
    subscription: str | None = None,
    account_version: int | None = None,
    refusal: str | None = None,
) -> Sequence[Change]:
    if asked is None:
        return ()
    fact = RedemptionAnswered(
        fingerprint=fingerprint,
        account=account,
        subscription=subscription,
        account_version=account_version,
        refusal=refusal,
    )
    return (Change(asked, [fact], causation=causation),)


def _replay(services: Services, answered: Answered, asked: Asked) -> Redeemed:
    if isinstance(answered, RedemptionAnswered) and answered.refusal is not None:
        refusal = refusals()[answered.refusal]()
        refusal.replayed = True
        raise refusal
    assert answered.subscription
    account, at, head = account_then(services, answered, asked)
    return Redeemed(account, answered.subscription, at, head, replayed=True)


def _errors(services: Services, wanted: Try) -> list[FieldError]:
    return [
        *validation.account(wanted.account),
        *validation.no_code(services, "/account", wanted.account),
        *validation.session(wanted.session),
        *validation.no_code(services, "/session", wanted.session),
        *(
            validation.product(services.catalog, wanted.product)
            if wanted.product is not None
            else []
        ),
    ]
