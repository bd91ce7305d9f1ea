"""The Subscriptions view: every subscription of an account, by product and tier, and who uses it.

    Cloud POS      seats 15  used 7  over 0
      kfsub_…  10 seats  7 used   2026-01-01 … 2027-01-01
      kfsub_…   5 seats  0 used   2026-02-01 … 2026-05-01

Source: the guide "Subscriptions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ledger import pool
from ledger.catalog import Catalog, Product
from ledger.streams.account_state import Account, Subscription
from ledger.streams.stripe_state import StripeRow, StripeSubscription
from projections.account_at import AccountAt, Moment

_NEVER = datetime.max.replace(tzinfo=UTC)


class SubscriptionRow(NamedTuple):
    """One subscription in one tier, as a customer sees it.

    Attributes:
        used: how many holders count against it; 0 while it gives no seat.
        key: its activation key, masked.
        status: of Stripe's a word of Stripe's, or `unconfirmed`.
        expires_at: None when Stripe did not say when its period ends.
        can_manage: whether Stripe's own pages can change it.
    """

    subscription: str
    tier: str | None
    tier_name: str | None
    seats: int
    used: int
    source: Literal["activation_key", "stripe"]
    key: str | None
    stripe_subscription: str | None
    status: str
    started_at: datetime
    expires_at: datetime | None
    renews: bool
    can_manage: bool


class ProductView(NamedTuple):
    """A product's rows and their sums; `used` counts everybody, `over` those without a seat."""

    product: str
    name: str
    seats: int
    used: int
    over: int
    rows: list[SubscriptionRow]


class SubscriptionsView(NamedTuple):
    """Every product of the catalog, in its order, then those that left it but are still used."""

    account: str
    moment: Moment
    position: int
    version: int
    products: list[ProductView]


def subscriptions(asked: AccountAt, catalog: Catalog, *, ended: bool = False) -> SubscriptionsView:
    """Answer the Subscriptions view.

    Rows that give seats come first, in the order in which they are filled; then Stripe's that give
    none for now (`paused`, `unpaid`, `incomplete`, `unconfirmed`).

    Args:
        ended: also list rows that have expired, were terminated or canceled; they come last, the
            latest end first.
    """
    products = _remembered(asked, catalog, ended) or _products(asked, catalog, ended)
    return SubscriptionsView(asked.id, asked.moment, asked.position, asked.version, products)


class _Remembered(NamedTuple):
    """What a view shows from the moment it was made for until time changes it."""

    catalog: Catalog
    since: datetime
    until: datetime
    products: list[ProductView]


# By whether it shows what has ended.
_DERIVED = {False: "subscriptions", True: "subscriptions, ended too"}


def _remembered(asked: AccountAt, catalog: Catalog, ended: bool) -> list[ProductView] | None:
    """Answer what was shown of this very state before, if it still holds."""
    known: _Remembered | None = asked.derived.get(_DERIVED[ended]) if asked.derived else None
    if known is None or known.catalog is not catalog:
        return None
    return known.products if known.since <= asked.moment.at < known.until else None


def _products(asked: AccountAt, catalog: Catalog, ended: bool) -> list[ProductView]:
    account, at = asked.account, asked.moment.at
    had = _had(account, at)
    kept = [_product(account, product, had, at, ended) for product in catalog.products]
    left = [_product(account, one, had, at, ended) for one in _departed(had, catalog)]
    products = kept + [view for view in left if view.rows or view.used]
    if asked.derived is not None:
        until = min((step for step in account.steps() if step > at), default=_NEVER)
        asked.derived[_DERIVED[ended]] = _Remembered(catalog, at, until, products)
    return products


def row_of(account: Account, product: Product | None, id: str, at: datetime) -> SubscriptionRow:
    """Answer the row of one subscription that the account has."""
    subscription = account.subscriptions[id]
    filled = account.pool(subscription.product, subscription.tier, at)
    used = sum(used for row, used in filled.rows if row.subscription == id)
    return _row(subscription, product, used, at)


def tiers_of(account: Account, product: Product) -> list[str | None]:
    """Answer the tiers of a product that can have rows or holders, in the catalog's order.

    A tier that left the catalog is still there for an account that has something in it.
    """
    return _tiers(product, account.places())


def _tiers(product: Product, places: Iterable[tuple[str, str | None]]) -> list[str | None]:
    known = product.tier_ids
    found = {tier for id, tier in places if id == product.id}
    return known + sorted(found.difference(known), key=str)


class _Place(NamedTuple):
    """What an account has, or has had, of one product and tier.

    Attributes:
        giving: what gives seats at the moment asked about.
        bought: every key's subscription, and every row of one of Stripe's.
    """

    giving: list[pool.Row]
    bought: list[Subscription | tuple[StripeSubscription, StripeRow]]


_Had = dict[tuple[str, str | None], _Place]


def _had(account: Account, at: datetime) -> _Had:
    """Answer what there is, or has been, of every product and tier, reading the account once."""
    had: _Had = {place: _Place([], []) for place in account.places()}
    for row in account.rows(at):
        had[row.product, row.tier].giving.append(row)
    for one in account.subscriptions.values():
        had[one.product, one.tier].bought.append(one)
    for reported in account.stripe.subscriptions.values():
        for part in reported.rows(account.stripe.mapped):
            if part.seats or part.billed:
                had[part.product, part.tier].bought.append((reported, part))
    return had


def _product(
    account: Account, product: Product, had: _Had, at: datetime, ended: bool
) -> ProductView:
    rows: list[SubscriptionRow] = []
    resting: list[SubscriptionRow] = []
    gone: list[tuple[datetime, SubscriptionRow]] = []
    seats = used = over = 0
    for tier in _tiers(product, had):
        place = had.get((product.id, tier))
        if place is None:
            continue
        filled = pool.fill(place.giving, account.used.get((product.id, tier), 0))
        seats, used, over = seats + filled.seats, used + filled.used, over + filled.over
        counts = {row.subscription: count for row, count in filled.rows}
        known = {row.subscription: row for row in _rows(place, product, counts, at)}
        rows += [known.pop(row.subscription) for row, _ in filled.rows if row.subscription in known]
        if not known:
            continue
        for row in sorted(known.values(), key=lambda row: (row.started_at, row.subscription)):
            end = _ended_at(account, row, at)
            if end is None:
                resting.append(row)
            elif ended:
                gone.append((end, row))
    gone.sort(key=lambda one: (one[0], one[1].subscription), reverse=True)
    rows += [*resting, *(row for _, row in gone)]
    return ProductView(product.id, product.name, seats, used, over, rows)


def _rows(
    place: _Place, product: Product, counts: dict[str, int], at: datetime
) -> Iterator[SubscriptionRow]:
    for one in place.bought:
        if isinstance(one, Subscription):
            yield _row(one, product, counts.get(one.id, 0), at)
        else:
            reported, row = one
            yield _stripe_row(reported, row, product, counts.get(reported.subscription, 0), at)


def _ended_at(account: Account, row: SubscriptionRow, at: datetime) -> datetime | None:
    """Answer when a row that gives no seats ended; None when it may give some again."""
    if row.stripe_subscription is None:
        return account.subscriptions[row.subscription].ended_at
    end = account.stripe.subscriptions[row.stripe_subscription].ends_at
    return end if end is not None and end <= at else None


def _row(
    subscription: Subscription, product: Product | None, used: int, at: datetime
) -> SubscriptionRow:
    tier = subscription.tier
    return SubscriptionRow(
        subscription=subscription.id,
        tier=tier,
        tier_name=product.tier_name(tier) if product else tier,
        seats=subscription.seats,
        used=used,
        source="activation_key",
        key=subscription.masked,
        stripe_subscription=None,
        status=subscription.status(at),
        started_at=subscription.started_at,
        expires_at=subscription.expires_at,
        renews=False,
        can_manage=False,
    )


def _stripe_row(
    reported: StripeSubscription, row: StripeRow, product: Product, used: int, at: datetime
) -> SubscriptionRow:
    ended = reported.ends_at is not None and at >= reported.ends_at
    return SubscriptionRow(
        subscription=reported.subscription,
        tier=row.tier,
        tier_name=product.tier_name(row.tier),
        seats=row.seats,
        used=used,
        source="stripe",
        key=None,
        stripe_subscription=reported.id,
        status=reported.status(at),
        started_at=reported.started_at,
        expires_at=row.expires_at,
        renews=reported.renews,
        can_manage=reported.customer is not None and not ended,
    )


def _departed(had: _Had, catalog: Catalog) -> list[Product]:
    found = {product for product, _ in had}
    gone = sorted(found.difference(product.id for product in catalog.products))
    return [Product(id=id, name=id, prefix="", seat="seat") for id in gone]
