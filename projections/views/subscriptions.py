"""The Subscriptions view: every subscription of an account, by product and tier, and who uses it.

    Cloud POS      seats 15  used 7  over 0
      kfsub_…  10 seats  7 used   2026-01-01 … 2027-01-01
      kfsub_…   5 seats  0 used   2026-02-01 … 2026-05-01

Source: the guide "Subscriptions".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple

from msgspec import Struct

from ledger import pool
from ledger.catalog import Catalog, Product
from ledger.streams.account.state import GOES_ON, Account, Subscription
from ledger.stripe.subscriptions import StripeRow, StripeSubscription
from projections.answer import (
    AccountAnswer,
    Answer,
    Count,
    Masked,
    ProductId,
    Seats,
    SubscriptionId,
    Time,
    Used,
    doc,
)
from projections.views.account_at import AccountAt

_NEVER = datetime.max.replace(tzinfo=UTC)


class SubscriptionRow(Answer, frozen=True):
    """One subscription in one tier, as a customer sees it."""

    subscription: SubscriptionId
    tier: str | None
    tier_name: str | None
    seats: Seats
    used: Annotated[Used, doc("Holders that count against it; 0 while it gives no seat.")]
    source: Literal["activation_key", "stripe"]
    key: Masked | None
    stripe_subscription: str | None
    status: Annotated[
        str,
        doc(
            "Of a key: `scheduled`, `active`, `suspended`, `expired`, `terminated`,"
            " `transferred`. Of Stripe: its own word, e.g."
            " `trialing`, `past_due`, `paused`, `canceled`; or `unconfirmed` when a period ended"
            " more than three days ago and Stripe has not said what came of it.",
            "active",
        ),
    ]
    started_at: Time
    expires_at: Annotated[Time | None, doc("Null when Stripe did not say.")]
    renews: bool
    can_manage: Annotated[bool, doc("Whether Stripe's own pages can change it.")]

    @property
    def known_by(self) -> str | None:
        """Return the masked key, or Stripe's id of the subscription."""
        return self.key or self.stripe_subscription


class OneSubscription(Answer, frozen=True):
    """A subscription that was begun or changed."""

    subscription: SubscriptionRow


class ProductView(Answer, frozen=True):
    """A product's rows and their sums; `used` counts everybody."""

    product: ProductId
    name: Annotated[str, doc(None, "Cloud POS")]
    seats: Seats
    used: Used
    over: Annotated[Count, doc("Holders without a seat.", 0)]
    rows: list[SubscriptionRow]
    upcoming: Annotated[
        list[SubscriptionRow],
        doc("What has not begun and gives no seats yet, what begins first first."),
    ]


class SubscriptionsView(AccountAnswer, frozen=True):
    """Every product of the catalog, in its order, then those that left it but are still used."""

    products: list[ProductView]


def subscriptions(state: AccountAt, catalog: Catalog, *, ended: bool = False) -> SubscriptionsView:
    """Return the Subscriptions view.

    Rows that give seats come first, in the order in which they are filled; then Stripe's that give
    none for now (`paused`, `unpaid`, `incomplete`, `unconfirmed`), and a key's that is suspended.

    Args:
        ended: also list rows that have expired, were terminated or canceled; they come last, the
            latest end first.
    """
    products = _cached(state, catalog, ended) or _products(state, catalog, ended)
    return SubscriptionsView(*state.header, products)


class _CachedProducts(NamedTuple):
    """What a view shows from the moment it was made for until time changes it."""

    catalog: Catalog
    since: datetime
    until: datetime
    products: list[ProductView]


# By whether it shows what has ended.
_DERIVED = {False: "subscriptions", True: "subscriptions, ended too"}


def _cached(state: AccountAt, catalog: Catalog, ended: bool) -> list[ProductView] | None:
    """Return what was shown of this very state before, if it still holds."""
    known: _CachedProducts | None = state.derived.get(_DERIVED[ended]) if state.derived else None
    if known is None or known.catalog is not catalog:
        return None
    return known.products if known.since <= state.moment.at < known.until else None


def _products(state: AccountAt, catalog: Catalog, ended: bool) -> list[ProductView]:
    account, at = state.account, state.moment.at
    had = _had(account, at)
    products = [_product(one, had.pop(one.id, {}), at, ended) for one in catalog.products]
    for id in sorted(had):  # they have left the catalog
        gone = _product(Product(id=id, name=id, prefix="", seat="seat"), had[id], at, ended)
        if gone.rows or gone.upcoming or gone.used:
            products.append(gone)
    if state.derived is not None:
        until = account.next_step(at) or _NEVER
        state.derived[_DERIVED[ended]] = _CachedProducts(catalog, at, until, products)
    return products


def row_of(account: Account, product: Product | None, id: str, at: datetime) -> SubscriptionRow:
    """Return the row of one subscription that the account has."""
    subscription = account.subscriptions[id]
    filled = account.pool(subscription.product, subscription.tier, at)
    used = sum(used for row, used in filled.rows if row.subscription == id)
    tier = subscription.tier
    return _row(subscription, product.tier_name(tier) if product else tier, used, at)


def _tiers(product: Product, found: Collection[str | None]) -> list[str | None]:
    known = product.tier_ids
    unknown = [tier for tier in found if tier not in known]
    return known + sorted(unknown, key=str) if unknown else known


_Bought = Subscription | tuple[StripeSubscription, StripeRow]


class _Place(Struct):
    """What an account has, or has had, of one product and tier.

    Attributes:
        used: by how many holders.
        giving: what gives seats at the moment asked about.
        bought: every key's subscription, and every row of one of Stripe's, by our id for it.
    """

    used: int = 0
    giving: list[pool.PoolRow] = []
    bought: dict[str, _Bought] = {}


# By product and by tier.
_Had = dict[str, dict[str | None, _Place]]


def _had(account: Account, at: datetime) -> _Had:
    """Return what there is, or has been, of every product and tier, reading the account once."""
    had: _Had = defaultdict(lambda: defaultdict(_Place))
    for (product, tier), used in account.used.items():
        had[product][tier].used = used
    for one in account.subscriptions.values():
        place = had[one.product][one.tier]
        place.bought[one.id] = one
        row = one.provides(at)
        if row is not None:
            place.giving.append(row)
    mapped = account.stripe.mapped
    for reported in account.stripe.subscriptions.values():
        for row in reported.provides(mapped, at):
            had[row.product][row.tier].giving.append(row)
        for part in reported.rows(mapped):
            if part.seats or part.billed:
                had[part.product][part.tier].bought[reported.subscription] = reported, part
    return had


def _product(
    product: Product, places: dict[str | None, _Place], at: datetime, ended: bool
) -> ProductView:
    rows: list[SubscriptionRow] = []
    if not places:
        return ProductView(product.id, product.name, 0, 0, 0, rows, [])
    resting: list[SubscriptionRow] = []
    upcoming: list[SubscriptionRow] = []
    gone: list[tuple[datetime, SubscriptionRow]] = []
    seats = used = over = 0
    for tier in _tiers(product, places):
        place = places.get(tier)
        if place is None:
            continue
        tier_name = None if tier is None else product.tier_name(tier)
        bought = place.bought
        filled = pool.fill(place.giving, place.used)
        seats, used, over = seats + filled.seats, used + filled.used, over + filled.over
        for row, count in filled.rows:
            one = bought.pop(row.subscription, None)
            if one is not None:
                rows.append(_shown(one, tier_name, count, at))
        if bought:  # what is left of it gives no seats
            idle = _idle(bought.values(), tier_name, at)
            resting += idle.resting
            upcoming += idle.upcoming
            gone += idle.gone
    rows += resting
    upcoming.sort(key=_began)
    if ended:
        gone.sort(key=lambda one: (one[0], one[1].subscription), reverse=True)
        rows += [row for _, row in gone]
    return ProductView(product.id, product.name, seats, used, over, rows, upcoming)


class _Idle(NamedTuple):
    """Rows that give no seats at a moment.

    Attributes:
        resting: what may give some again, in the order in which it began.
        upcoming: what has not begun.
        gone: what has ended, with when.
    """

    resting: list[SubscriptionRow]
    upcoming: list[SubscriptionRow]
    gone: list[tuple[datetime, SubscriptionRow]]


def _idle(bought: Iterable[_Bought], tier_name: str | None, at: datetime) -> _Idle:
    idle = _Idle([], [], [])
    for one in bought:
        row, end = _shown(one, tier_name, 0, at), _ended_at(one, at)
        if end is not None:
            idle.gone.append((end, row))
        elif row.status == "scheduled":
            idle.upcoming.append(row)
        else:
            idle.resting.append(row)
    idle.resting.sort(key=_began)
    return idle


def _began(row: SubscriptionRow) -> tuple[datetime, str]:
    return row.started_at, row.subscription


def _shown(one: _Bought, tier_name: str | None, used: int, at: datetime) -> SubscriptionRow:
    if isinstance(one, Subscription):
        return _row(one, tier_name, used, at)
    return _stripe_row(*one, tier_name, used, at)


def _ended_at(one: _Bought, at: datetime) -> datetime | None:
    """Return when something that gives no seats ended; None when it may give some again."""
    if isinstance(one, Subscription):
        return None if one.status(at) in GOES_ON else one.ended_at
    end = one[0].ends_at
    return end if end is not None and end <= at else None


def _row(
    subscription: Subscription, tier_name: str | None, used: int, at: datetime
) -> SubscriptionRow:
    return SubscriptionRow(  # by position, which takes half as long as by name
        subscription.id,
        subscription.tier,
        tier_name,
        subscription.seats,
        used,
        "activation_key",
        subscription.masked,
        None,  # Stripe knows nothing of it
        subscription.status(at),
        subscription.started_at,
        subscription.expires_at,
        False,  # it does not renew
        False,  # nor does Stripe manage it
    )


def _stripe_row(
    reported: StripeSubscription, row: StripeRow, tier_name: str | None, used: int, at: datetime
) -> SubscriptionRow:
    ended = reported.ends_at is not None and at >= reported.ends_at
    return SubscriptionRow(
        subscription=reported.subscription,
        tier=row.tier,
        tier_name=tier_name,
        seats=row.seats,
        used=used,
        source="stripe",
        key=None,
        stripe_subscription=reported.id,
        status=reported.status(at, row),
        started_at=reported.started_at,
        expires_at=row.expires_at,
        renews=reported.renews,
        can_manage=reported.customer is not None and not ended,
    )
