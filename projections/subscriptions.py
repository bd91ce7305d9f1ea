"""The Subscriptions view: every subscription of an account, by product and tier, and who uses it.

    Cloud POS      seats 15  used 7  over 0
      kfsub_…  10 seats  7 used   2026-01-01 … 2027-01-01
      kfsub_…   5 seats  0 used   2026-02-01 … 2026-05-01

Source: the guide "Subscriptions".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from ledger.catalog import Catalog, Product
from ledger.streams.account import Account, Subscription, SubscriptionStatus
from projections.account_at import AccountAt, Moment


class SubscriptionRow(NamedTuple):
    """One subscription in one tier, as a customer sees it.

    Attributes:
        used: how many holders count against it; 0 once it has ended.
        key: its activation key, masked.
    """

    subscription: str
    tier: str | None
    tier_name: str | None
    seats: int
    used: int
    source: Literal["activation_key", "stripe"]
    key: str | None
    stripe_subscription: str | None
    status: SubscriptionStatus
    started_at: datetime
    expires_at: datetime
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

    Args:
        ended: also list rows that have expired or were terminated; they come after the active ones,
            the latest end first.
    """
    at = asked.moment.at
    kept = [_product(asked.account, product, at, ended) for product in catalog.products]
    left = [_product(asked.account, one, at, ended) for one in _departed(asked.account, catalog)]
    return SubscriptionsView(
        account=asked.id,
        moment=asked.moment,
        position=asked.position,
        version=asked.version,
        products=kept + [view for view in left if view.rows or view.used],
    )


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
    known = product.tier_ids
    found = {tier for id, tier in account.used if id == product.id}
    found |= {s.tier for s in account.subscriptions.values() if s.product == product.id}
    return known + sorted(found.difference(known), key=str)


def _product(account: Account, product: Product, at: datetime, ended: bool) -> ProductView:
    rows: list[SubscriptionRow] = []
    seats = used = over = 0
    for tier in tiers_of(account, product):
        filled = account.pool(product.id, tier, at)
        seats, used, over = seats + filled.seats, used + filled.used, over + filled.over
        rows += [
            _row(account.subscriptions[row.subscription], product, count, at)
            for row, count in filled.rows
        ]
    if ended:
        rows += _ended(account.subscriptions.values(), product, at)
    return ProductView(product.id, product.name, seats, used, over, rows)


def _ended(
    subscriptions: Iterable[Subscription], product: Product, at: datetime
) -> list[SubscriptionRow]:
    gone = [s for s in subscriptions if s.product == product.id and s.status(at) != "active"]
    gone.sort(key=lambda s: (s.ended_at, s.id), reverse=True)
    return [_row(subscription, product, 0, at) for subscription in gone]


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


def _departed(account: Account, catalog: Catalog) -> list[Product]:
    found = {product for product, _ in account.used}
    found |= {subscription.product for subscription in account.subscriptions.values()}
    gone = sorted(found.difference(product.id for product in catalog.products))
    return [Product(id=id, name=id, prefix="", seat="seat") for id in gone]
