"""The vendor's overview: what there is of everything, and what somebody should look at.

Seats of keys, taken seats, keys and refusals are counted in tables that catch up when they are
read. What a Stripe subscription gives follows from the set of its reports, so the accounts that
have any are folded one by one; there is a list of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, NamedTuple

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.reseller_names import folded
from ledger.streams.account import seat_sync
from ledger.streams.account.seat_sync import SyncStatus, Verdict
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.stripe.subscriptions import GIVING
from projections.answer import AccountId, Answer, Count, ProductId, Seats, SubscriptionId, Time, doc
from projections.lists.catch_up import Projection, read
from projections.lists.endings import EndingSubscription, ending_subscriptions
from projections.lists.keys import KEY_COUNTS, KEY_LIST
from projections.lists.overview_tables import (
    HELD_ELSEWHERE,
    REFUSALS,
    SEAT_LIST,
    STRIPE_CLAIMS,
    STRIPE_HELD,
    SUBSCRIPTION_LIST,
)
from projections.lists.reseller_names import names
from projections.lists.stores.tables import Params, Row, Tables, to_number
from projections.lists.stripe_subscriptions import Listed, list_stripe, stripe_list

SOON: Final = timedelta(days=30)
RECENT: Final = timedelta(days=30)
# Why seats are left alone until somebody mends something; the other reasons pass by themselves.
# Stripe is to be told of them, or was asked and has not answered.
_TO_SYNC: Final = frozenset({"due", "waiting", "unfinished"})
_TO_MEND: Final = frozenset(
    {"unknown_price", "unknown_quantity", "no_price", "no_period", "metered", "other_items"}
)
# So many are listed of what needs looking at; who has more has another problem first.
LISTED_MAX: Final = 200


_Tier = Annotated[str | None, doc(None, "growth")]
_StripeSubscription = Annotated[str, doc(None, "sub_1QKfLdB7WZ01zgkW")]


class PoolCount(Answer, frozen=True):
    """Active and taken seats of a product and tier, over all accounts."""

    product: ProductId
    tier: _Tier
    seats: Annotated[Count, doc(None, 120)]
    used: Annotated[Count, doc(None, 87)]


class KeyCount(Answer, frozen=True):
    """A reseller's keys by what they are now. Of a key and what was given for it, one counts."""

    reseller: Annotated[str, doc(None, "Harbour Systems")]
    issued: Annotated[Count, doc("In all.", 28)]
    open: Annotated[Count, doc("That can be redeemed.", 20)]
    redeemed: Annotated[Count, doc(None, 7)]
    revoked: Annotated[Count, doc(None, 1)]
    lapsed: Annotated[Count, doc(None, 0)]


class Ending(Answer, frozen=True):
    """A subscription that ends within 30 days, does not renew, and has not been renewed."""

    account: AccountId
    subscription: SubscriptionId
    product: ProductId
    tier: _Tier
    seats: Seats
    ends_at: Time


class OverUsed(Answer, frozen=True):
    """Seats of a product and tier that more hold than there are."""

    account: AccountId
    product: ProductId
    tier: _Tier
    seats: Annotated[Count, doc(None, 2)]
    used: Annotated[Count, doc(None, 6)]


class AtStripe(Answer, frozen=True):
    """A Stripe subscription that somebody should look at.

    Nobody knows whose one without an account is.
    """

    account: AccountId | None
    stripe_subscription: _StripeSubscription
    prices: Annotated[list[str], doc("That mean nothing here.")]
    unconfirmed_since: Annotated[Time | None, doc("When its last known period ended.")]


class LeftAlone(Answer, frozen=True):
    """Billed seats of which Stripe is not told until somebody does something about it.

    Why: `unknown_price`, `unknown_quantity`, `no_price`, `no_period`, `metered` or `other_items`
    (docs/seat-sync.md).
    """

    account: AccountId
    product: Annotated[str, doc(None, "team")]
    stripe_subscription: _StripeSubscription
    why: Annotated[str, doc(None, "unknown_price")]


class LinesMissing(Answer, frozen=True):
    """An invoice of which Stripe has not told all lines; `keyfold stripe reconcile` asks again."""

    account: AccountId
    invoice: Annotated[str, doc(None, "in_1QKfLdB7WZ01zgkW")]


class Doubled(Answer, frozen=True):
    """A product that an account pays for by more than one Stripe subscription."""

    account: AccountId
    product: Annotated[str, doc(None, "integrations")]
    tier: _Tier
    stripe_subscriptions: Annotated[
        list[str], doc("In the order that they began.", ["sub_1", "sub_2"])
    ]


class Claim(Answer, frozen=True):
    """An object of Stripe's that names an account which is not, or not yet, its own.

    It is a subscription, or a Checkout session that has one or may get one. It is of `account`,
    null while nobody knows, and names `claimed_by`, null where that was not kept. The event at
    `position` says so.
    """

    stripe_object: _StripeSubscription
    account: AccountId | None
    claimed_by: Annotated[str | None, doc(None, "beta")]
    why: Annotated[
        str,
        doc(
            "`claimed`: another account has the subscription. `unproven`: only a"
            " `client_reference_id` names an account, which anybody's browser can set. `held`: the"
            " account has it on record though it is another one's.",
            "claimed",
        ),
    ]
    position: Annotated[Count, doc(None, 1234)]


class RefusalCount(Answer, frozen=True):
    """Tries that were refused in the last 30 days, for one reason.

    `found` is what the key was that was tried, if it was looked up.
    """

    refusal: Annotated[str, doc(None, "key_not_available")]
    found: Annotated[str | None, doc(None, "redeemed")]
    tries: Annotated[Count, doc(None, 3)]


class Overview(Answer, frozen=True):
    """Everything at a glance; lists have at most `LISTED_MAX` items, those that end first first."""

    at: Time
    position: Annotated[Count, doc(None, 1234)]
    pools: list[PoolCount]
    keys: list[KeyCount]
    ending: list[Ending]
    over_used: list[OverUsed]
    unmapped: list[AtStripe]
    unconfirmed: list[AtStripe]
    refusals: list[RefusalCount]
    items_missing: list[AtStripe]
    left_alone: list[LeftAlone]
    lines_missing: list[LinesMissing]
    claims: list[Claim]
    doubled: list[Doubled]


class Attention(NamedTuple):
    """How many of Stripe's subscriptions and invoices somebody should look at, and why."""

    unmapped: int
    unconfirmed: int
    items_missing: int
    left_alone: dict[str, int]
    lines_missing: int
    claims: dict[str, int]
    doubled: int
    seats_to_sync: int


def attention(book: Book, tables: Tables, catalog: Catalog, now: datetime) -> Attention:
    """Return how many of each kind the overview lists of Stripe."""
    listed = list_stripe(book, tables)
    stripe = _accounts(book, listed)
    found = _at_stripe(listed, stripe, now)
    verdicts = list(_verdicts(stripe, catalog, now))
    return Attention(
        unmapped=sum(bool(one.prices) for one in found),
        unconfirmed=sum(one.unconfirmed_since is not None for one in found),
        items_missing=len(_items_missing(listed, stripe)),
        left_alone=dict(Counter(one.why for _, _, one in verdicts if one.why in _TO_MEND)),
        lines_missing=len(_lines_missing(stripe)),
        claims={
            **dict(read(book, tables, STRIPE_CLAIMS, _CLAIMS_COUNT, {}).rows),
            "held": len(held_elsewhere(book, tables)),
        },
        doubled=len(_doubled(stripe, now)),
        seats_to_sync=sum(verdict.outcome in _TO_SYNC for _, _, verdict in verdicts),
    )


def held_elsewhere(book: Book, tables: Tables) -> list[Claim]:
    """Return the Stripe subscriptions that others than their account have on record as well.

    No program since the one that requires an object's stream in each append makes any.
    """
    rows = read(book, tables, STRIPE_HELD, HELD_ELSEWHERE, {}).rows
    return [Claim(id, owner or None, holder, "held", at) for id, holder, owner, at in sorted(rows)]


def overview(book: Book, tables: Tables, now: datetime, catalog: Catalog | None = None) -> Overview:
    """Return how things stand now, with everything recorded so far.

    Args:
        catalog: to tell of billed seats; without it they are left out.
    """
    params: Params = {
        "now": to_number(now),
        "soon": to_number(now + SOON),
        "since": to_number(now - RECENT),
        "until": to_number(now + RECENT),
        "limit": LISTED_MAX,
    }

    def ask(projection: Projection, select: str) -> list[Row]:
        result = read(book, tables, projection, select, params)
        positions.append(result.position)
        return result.rows

    head = book.head()
    position, listed = stripe_list(book, tables)
    positions = [head, position]
    stripe = _accounts(book, listed)
    pools = _pools(ask(SUBSCRIPTION_LIST, _SEATS), ask(SEAT_LIST, _USED), stripe, now)
    over = _over(ask(SEAT_LIST, _TAKEN), ask(SUBSCRIPTION_LIST, _GIVEN), stripe, now)
    soon = ending_subscriptions(book, tables, now, now + SOON)
    ending = _ending(soon, stripe, now, now + SOON)
    keys = _keys(ask(KEY_LIST, KEY_COUNTS.format(which="")), names(book, tables))
    refusals = _refusals(ask(REFUSALS, _REFUSED))
    held = held_elsewhere(book, tables)
    claims = [*held, *_claims(book, ask(STRIPE_CLAIMS, _CLAIMS))][:LISTED_MAX]
    return Overview(
        at=now,
        position=min(positions),
        pools=pools,
        keys=keys,
        ending=ending[:LISTED_MAX],
        over_used=over,
        unmapped=[one for one in _at_stripe(listed, stripe, now) if one.prices][:LISTED_MAX],
        unconfirmed=[one for one in _at_stripe(listed, stripe, now) if one.unconfirmed_since][
            :LISTED_MAX
        ],
        refusals=refusals,
        items_missing=_items_missing(listed, stripe)[:LISTED_MAX],
        left_alone=_left_alone(stripe, catalog, now)[:LISTED_MAX] if catalog else [],
        lines_missing=_lines_missing(stripe)[:LISTED_MAX],
        claims=claims,
        doubled=_doubled(stripe, now)[:LISTED_MAX],
    )


# Putting together


def _accounts(book: Book, listed: list[Listed]) -> dict[str, Account]:
    """Return the accounts that have something at Stripe."""
    names = {one.account for one in listed if one.account is not None}
    return {name: book.load(ACCOUNT, name).state for name in sorted(names)}


def _keys(rows: list[Row], names: dict[str, str]) -> list[KeyCount]:
    """Return the counts by reseller, each in the spelling that was recorded first."""
    found = [KeyCount(names[id], *counts) for id, *counts in rows]
    return sorted(found, key=lambda one: folded(one.reseller))


def _pools(
    seats: list[Row], used: list[Row], stripe: dict[str, Account], now: datetime
) -> list[PoolCount]:
    given: Counter[tuple[str, str | None]] = Counter()
    taken: Counter[tuple[str, str | None]] = Counter()
    for product, tier, count in seats:
        given[product, tier] += count
    for product, tier, count in used:
        taken[product, tier] += count
    for account in stripe.values():
        for subscription in account.stripe.subscriptions.values():
            for row in subscription.provides(account.stripe.mapped, now):
                given[row.product, row.tier] += row.seats
    places = sorted(given.keys() | taken.keys(), key=str)
    return [PoolCount(*place, given[place], taken[place]) for place in places]


def _ending(
    keys: Iterable[EndingSubscription], stripe: dict[str, Account], now: datetime, soon: datetime
) -> list[Ending]:
    """Return what ends soon and has not been renewed, what ends first first.

    Of Stripe's that is what gives seats, and will end by what Stripe has said.
    """
    found = [
        Ending(one.account, one.id, one.product, one.tier, one.seats, one.ends_at) for one in keys
    ]
    for name, account in stripe.items():
        for subscription in account.stripe.subscriptions.values():
            end = subscription.ends_at
            if end is not None and now < end <= soon:
                found += [
                    Ending(name, row.subscription, row.product, row.tier, row.seats, end)
                    for row in subscription.provides(account.stripe.mapped, now)
                ]
    return sorted(found, key=lambda one: (one.ends_at, one.subscription))


def _over(
    taken: list[Row], given: list[Row], stripe: dict[str, Account], now: datetime
) -> list[OverUsed]:
    seats = {tuple(row[:3]): row[3] for row in given}
    found = [
        OverUsed(account, product, tier, seats.get((account, product, tier), 0), used)
        for account, product, tier, used in taken
        if account not in stripe and used > seats.get((account, product, tier), 0)
    ]
    for name, account in stripe.items():
        for product, tier in account.used:
            pool = account.pool(product, tier, now)
            if pool.over:
                found.append(OverUsed(name, product, tier, pool.seats, pool.used))
    found.sort(key=lambda one: (one.seats - one.used, one.account, one.product, one.tier or ""))
    return found[:LISTED_MAX]


def _at_stripe(listed: list[Listed], stripe: dict[str, Account], now: datetime) -> list[AtStripe]:
    found = []
    for one in listed:
        if one.account is None:
            if one.unmapped:
                found.append(AtStripe(None, one.stripe_subscription, ["?"], None))
            continue
        account = stripe[one.account]
        known = account.stripe.subscriptions.get(one.stripe_subscription)
        if known is not None and not known.latest.is_end:
            since = known.period_end if known.status(now) == "unconfirmed" else None
            prices = known.unmapped(account.stripe.mapped)
            found.append(AtStripe(one.account, known.id, prices, since))
    return found


def _items_missing(listed: list[Listed], stripe: dict[str, Account]) -> list[AtStripe]:
    """Return the subscriptions of which Stripe has not told all items."""
    found = []
    for one in listed:
        known = None
        if one.account is not None:
            known = stripe[one.account].stripe.subscriptions.get(one.stripe_subscription)
        if known is not None and known.lacks_items:
            found.append(AtStripe(one.account, known.id, [], None))
    return found


def _lines_missing(stripe: dict[str, Account]) -> list[LinesMissing]:
    return [
        LinesMissing(name, id)
        for name, account in stripe.items()
        for id in sorted(account.stripe.invoices)
        if account.stripe.invoices[id].latest.lacks_lines
    ]


def _left_alone(stripe: dict[str, Account], catalog: Catalog, now: datetime) -> list[LeftAlone]:
    return [
        LeftAlone(name, standing.product, standing.subscription.id, verdict.why)
        for name, standing, verdict in _verdicts(stripe, catalog, now)
        if verdict.why in _TO_MEND
    ]


def _verdicts(
    stripe: dict[str, Account], catalog: Catalog, now: datetime
) -> Iterator[tuple[str, SyncStatus, Verdict]]:
    for name, account in stripe.items():
        for standing in seat_sync.standings(account, catalog, now):
            yield name, standing, seat_sync.verdict(standing, account.seat_syncs, now, None)


def _doubled(stripe: dict[str, Account], now: datetime) -> list[Doubled]:
    """Return what is paid for by several subscriptions at once: one may have been bought twice."""
    found = []
    for name, account in stripe.items():
        by_place: dict[tuple[str, str | None], list[str]] = {}
        its = account.stripe.subscriptions.values()
        for one in sorted(its, key=lambda one: (one.started_at, one.id)):
            if one.status(now) in GIVING:
                for row in one.rows(account.stripe.mapped):
                    by_place.setdefault((row.product, row.tier), []).append(one.id)
        found += [
            Doubled(name, *place, by_place[place])
            for place in sorted(by_place, key=str)
            if len(by_place[place]) > 1
        ]
    return found


def _claims(book: Book, rows: list[Row]) -> list[Claim]:
    return [
        Claim(object, book.load(STRIPE_OBJECT, object).state.account, claimed_by or None, why, at)
        for object, claimed_by, why, at in rows
    ]


def _refusals(rows: list[Row]) -> list[RefusalCount]:
    return sorted(
        (RefusalCount(*row) for row in rows),
        key=lambda one: (-one.tries, one.refusal, one.found or ""),
    )


# Asking

_SEATS: Final = """
    SELECT product, tier, CAST(SUM(seats) AS bigint) FROM keyfold_subscription_list_3
    WHERE ends_at > :now AND suspended = 0 AND (scheduled = 0 OR starts_at <= :now)
    GROUP BY product, tier
"""
_USED: Final = "SELECT product, tier, COUNT(*) FROM keyfold_seat_list_1 GROUP BY product, tier"
_TAKEN: Final = """
    SELECT account, product, tier, COUNT(*) FROM keyfold_seat_list_1
    GROUP BY account, product, tier
"""
_GIVEN: Final = """
    SELECT account, product, tier, CAST(SUM(seats) AS bigint) FROM keyfold_subscription_list_3
    WHERE ends_at > :now AND suspended = 0 AND (scheduled = 0 OR starts_at <= :now)
    GROUP BY account, product, tier
"""
# Whoever opens a Payment Link can make what is unproven: it never crowds the others out.
_CLAIMS: Final = """
    SELECT object, claimed_by, why, position FROM keyfold_stripe_claims_2
    ORDER BY CASE why WHEN 'claimed' THEN 0 ELSE 1 END, position DESC LIMIT :limit
"""
_CLAIMS_COUNT: Final = "SELECT why, COUNT(*) FROM keyfold_stripe_claims_2 GROUP BY why"
_REFUSED: Final = """
    SELECT refusal, found, COUNT(*) FROM keyfold_refusals_1
    WHERE recorded_at > :since AND recorded_at < :until GROUP BY refusal, found
"""
