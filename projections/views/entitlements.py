"""Entitlements: what an account may use, per product and tier, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ledger.catalog import Catalog
from projections.views.account_at import AccountAt, Moment
from projections.views.seats import pools


class Entitlement(NamedTuple):
    """What one pool entitles to.

    Attributes:
        limits: of the tier, as the catalog has them.
        until: when the last of its rows ends, if nothing is added; None when one renews.
        renews: whether one of its rows renews by itself.
    """

    product: str
    name: str
    tier: str | None
    tier_name: str | None
    seats: int
    used: int
    over: int
    limits: dict[str, int | str | bool]
    until: datetime | None
    renews: bool


class EntitlementsView(NamedTuple):
    account: str
    moment: Moment
    position: int
    version: int
    entitlements: list[Entitlement]


def entitlements(asked: AccountAt, catalog: Catalog) -> EntitlementsView:
    """Return every pool of the account that has seats or holders at the moment asked about."""
    found = (_entitlement(asked, catalog, *pool) for pool in pools(asked.account, catalog))
    return EntitlementsView(
        account=asked.id,
        moment=asked.moment,
        position=asked.position,
        version=asked.version,
        entitlements=[one for one in found if one.seats or one.used],
    )


def _entitlement(
    asked: AccountAt, catalog: Catalog, product_id: str, tier: str | None
) -> Entitlement:
    product = catalog.product(product_id)
    filled = asked.account.pool(product_id, tier, asked.moment.at)
    renews = any(row.renews for row, _ in filled.rows)
    ends = [row.expires_at for row, _ in filled.rows if row.expires_at is not None]
    return Entitlement(
        product=product_id,
        name=product.name if product else product_id,
        tier=tier,
        tier_name=product.tier_name(tier) if product else tier,
        seats=filled.seats,
        used=filled.used,
        over=filled.over,
        limits=product.limits_of(tier) if product else {},
        until=None if renews else max(ends, default=None),
        renews=renews,
    )
