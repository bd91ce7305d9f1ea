"""When Stripe's subscriptions gave seats: what the overview counts at the ends of past months.

What a subscription gave follows from all that Stripe reported of it, in whatever order that came.
So a fact adds nothing to what is kept here: it says that the account is to be folded again. One
table has the last such fact of each account, another the fact that the account was folded up to,
and the third what came of it.

    changed    acme 1205    beta 1180    gamma 1207
    folded     acme 1205    beta 1180                   gamma is folded when somebody asks
    spans      acme sub_1 cloud_pos 3 seats from … to …

Who folds an account writes down how far only if nobody has done so since he looked; spans and mark
are committed together. So a late fact, another worker and a kill leave nothing that is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

from ledger import codec
from ledger.book import Book, LedgerUnavailable
from ledger.events import AnyEvent, Fact
from ledger.store.contract import ReadOnly
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import (
    StripePricesMapped,
    StripeSubscriptionGivenUp,
    StripeSubscriptionReported,
)
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.stores.tables import Params, Row, Tables, WriteTransaction, to_number
from projections.views.account_over_time import account_steps

# An account takes some milliseconds at most; what is left is folded when the next one asks.
FOLDED_MAX: Final = 1_000
_TOGETHER: Final = 100
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_NAMES: Final = ("stripe.subscription_", "stripe.prices_mapped")
_FACTS: Final = frozenset[type[Fact]](
    {StripeSubscriptionReported, StripePricesMapped, StripeSubscriptionGivenUp}
)


class StripeSpan(NamedTuple):
    """A time in which a subscription of Stripe's gives so many seats of a product and tier.

    Attributes:
        ends_at: None if nothing ends it.
        announced_end: when the subscription ends by what Stripe says; None if it goes on.
    """

    subscription: str
    product: str
    tier: str | None
    seats: int
    starts_at: datetime
    ends_at: datetime | None
    announced_end: datetime | None


def spans(events: Iterable[AnyEvent]) -> list[StripeSpan]:
    """Return what Stripe gave an account, and when, by all that it says of its subscriptions."""
    found: list[StripeSpan] = []
    given: dict[tuple[str, str, str | None], StripeSpan] = {}
    for at, account in account_steps(events, _NEVER, _NEVER):
        gives: dict[tuple[str, str, str | None], StripeSpan] = {}
        for one in account.stripe.subscriptions.values():
            for row in one.provides(account.stripe.mapped, at):
                place = one.id, row.product, row.tier
                gives[place] = StripeSpan(*place, row.seats, at, None, one.ends_at)
        for place, span in given.items():
            now = gives.get(place)
            if now is not None and now.seats == span.seats:
                gives[place] = now._replace(starts_at=span.starts_at)
            else:
                found.append(span._replace(ends_at=at))
        given = gives
    return sorted([*found, *given.values()], key=lambda one: (one.starts_at, str(one)))


def fold_changed(book: Book, tables: Tables, most: int = FOLDED_MAX) -> int:
    """Fold accounts that Stripe told something new of; return how many are left.

    On a standby none are folded: what the primary has folded comes as its events do.

    Raises:
        LedgerUnavailable: the server that was asked lags behind.
    """
    changed = read(book, tables, STRIPE_CHANGED, _CHANGED, {"limit": most}).rows
    with suppress(ReadOnly):
        if tables.read(_GONE, {}):
            tables.change([_FORGET_SPANS, _FORGET], {})
        for start in range(0, len(changed), _TOGETHER):
            to_fold = [_Changed(*one) for one in changed[start : start + _TOGETHER]]
            while to_fold:
                to_fold = _fold(book, tables, to_fold)
        if len(changed) < most:
            return 0
    ((left,),) = read(book, tables, STRIPE_CHANGED, _LEFT, {}).rows
    return int(left)


class _Changed(NamedTuple):
    """An account, the last fact of Stripe's about it, and the one that it was folded up to."""

    account: str
    position: int
    folded: int
    folded_recorded_at: int


def _fold(book: Book, tables: Tables, changed: Sequence[_Changed]) -> list[_Changed]:
    """Fold accounts; return those that another has folded meanwhile, perhaps with less."""
    head, events = _told(book, [one.account for one in changed])
    if head < max(one.position for one in changed):
        raise LedgerUnavailable(f"this server lacks events after {head}")
    found = []
    for one in changed:
        its = events[one.account]
        mark = (its[-1].position, to_number(its[-1].recorded_at)) if its else (0, 0)
        found.append((one, mark, spans(its)))
    again = []
    with tables.transaction() as work:
        for one, mark, gave in found:
            params: Params = {"account": one.account, "position": mark[0], "recorded_at": mark[1]}
            old = {"old": one.folded, "old_recorded_at": one.folded_recorded_at}
            if work.execute(_MARK, {**params, **old}):
                _write(work, one.account, gave)
                continue
            (folded,) = work.execute(_FOLDED, {"account": one.account})
            if tuple(folded) != mark:
                again.append(_Changed(one.account, one.position, *folded))
    return again


def _told(book: Book, accounts: Iterable[str]) -> tuple[int, dict[str, list[AnyEvent]]]:
    """Return the ledger's head, and what Stripe told of each account's subscriptions, in order."""
    names = {ACCOUNT.name(account): account for account in accounts}
    told: dict[str, list[AnyEvent]] = {account: [] for account in names.values()}
    head, rows = book.store.read_streams(dict.fromkeys(names, 0))
    for row in rows:
        if row.name.startswith(_NAMES) and type((event := codec.decode(row)).fact) in _FACTS:
            told[names[row.stream]].append(event)
    return head, told


def _write(work: WriteTransaction, account: str, its: Sequence[StripeSpan]) -> None:
    work.execute(_CLEAR, {"account": account})
    if its:
        work.insert("keyfold_stripe_spans_1", _COLUMNS, _rows(account, its))


def _rows(account: str, its: Sequence[StripeSpan]) -> list[Row]:
    return [
        (
            *(account, one.subscription, one.product, one.tier, one.seats),
            *(to_number(one.starts_at), to_number(one.ends_at), to_number(one.announced_end)),
        )
        for one in its
    ]


def wrong_spans(book: Book, tables: Tables) -> Iterator[tuple[int, str]]:
    """Yield a position and account for each whose spans are not what its events make.

    Those that are to be folded again are passed over, since they are not answered from.
    """
    with tables.snapshot() as live:
        kept = live.execute(_KEPT, {})
        rows = defaultdict(list)
        for row in live.execute(_ALL, {}):
            rows[row[0]].append(tuple(row))
    for account, position in kept:
        _, events = _told(book, [account])
        its = [event for event in events[account] if event.position <= position]
        if sorted(_rows(account, spans(its)), key=str) != sorted(rows[account], key=str):
            yield position, account


_COLUMNS: Final = (
    "account", "subscription", "product", "tier", "seats", "starts_at", "ends_at", "announced_end",
)  # fmt: skip
_STALE: Final = """
    FROM keyfold_stripe_changed_1 AS changed
    LEFT JOIN keyfold_stripe_folded_1 AS folded ON folded.account = changed.account
    WHERE folded.account IS NULL OR folded.position <> changed.position
        OR folded.recorded_at <> changed.recorded_at
"""
_CHANGED: Final = f"""
    SELECT changed.account, changed.position, COALESCE(folded.position, 0),
        COALESCE(folded.recorded_at, 0)
    {_STALE} ORDER BY changed.account LIMIT :limit
"""
_LEFT: Final = f"SELECT COUNT(*) {_STALE}"
_MARK: Final = """
    INSERT INTO keyfold_stripe_folded_1 (account, position, recorded_at)
    VALUES (:account, :position, :recorded_at)
    ON CONFLICT (account) DO UPDATE
    SET position = excluded.position, recorded_at = excluded.recorded_at
    WHERE keyfold_stripe_folded_1.position = :old
        AND keyfold_stripe_folded_1.recorded_at = :old_recorded_at
    RETURNING account
"""
_KEPT: Final = """
    SELECT folded.account, folded.position FROM keyfold_stripe_folded_1 AS folded
    JOIN keyfold_stripe_changed_1 AS changed ON changed.account = folded.account
        AND changed.position = folded.position AND changed.recorded_at = folded.recorded_at
    ORDER BY folded.account
"""
_ALL: Final = f"SELECT {', '.join(_COLUMNS)} FROM keyfold_stripe_spans_1"  # noqa: S608
_CLEAR: Final = "DELETE FROM keyfold_stripe_spans_1 WHERE account = :account"
# Of a ledger that went back: Stripe has told nothing of them.
_NONE_TOLD: Final = "account NOT IN (SELECT account FROM keyfold_stripe_changed_1)"
_GONE: Final = f"SELECT account FROM keyfold_stripe_folded_1 WHERE {_NONE_TOLD} LIMIT 1"  # noqa: S608
_FORGET: Final = f"DELETE FROM keyfold_stripe_folded_1 WHERE {_NONE_TOLD}"  # noqa: S608
_FORGET_SPANS: Final = f"DELETE FROM keyfold_stripe_spans_1 WHERE {_NONE_TOLD}"  # noqa: S608
_FOLDED: Final = """
    SELECT position, recorded_at FROM keyfold_stripe_folded_1 WHERE account = :account
"""
_CHANGE: Final = """
    INSERT INTO keyfold_stripe_changed_1 (account, position, recorded_at)
    VALUES (:account, :position, :recorded_at)
    ON CONFLICT (account) DO UPDATE
    SET position = excluded.position, recorded_at = excluded.recorded_at
"""


def _changed(event: AnyEvent) -> Writes:
    kind, _, account = event.stream.partition("-")
    if kind != ACCOUNT.kind:
        return None
    at = to_number(event.recorded_at)
    params: Params = {"account": account, "position": event.position, "recorded_at": at}
    return Write(_CHANGE, [params], place=(account,))


STRIPE_CHANGED: Final = Projection(
    name="stripe_changed@1",
    table="keyfold_stripe_changed_1",
    columns=("account", "position", "recorded_at"),
    write=_changed,
    key=("account",),
    facts=_FACTS,
)
