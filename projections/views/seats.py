"""Seats: who sits where, whether they may work right now, and how the pools stand."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from ledger.catalog import Catalog
from ledger.events import Sealed
from ledger.pool import Filled
from ledger.streams.account.state import Account, Seat
from projections.views.account_at import AccountAt, Moment

Unlicensed = Literal["no_active_subscription", "over"]


class SeatView(NamedTuple):
    """A taken seat.

    Attributes:
        label: still sealed; the caller opens it if its reader may see it.
        licensed: whether this holder may work at the moment asked about.
        subscription: which row it counts against; None when it is not licensed.
        reason: why it is not licensed: nothing active provides seats, or more hold than there are
            seats and this one came late.
    """

    product: str
    tier: str | None
    holder: str
    label: Sealed | None
    occupied_at: datetime
    licensed: bool
    subscription: str | None
    reason: Unlicensed | None


class PoolTotal(NamedTuple):
    """How one pool stands; `free` and `over` are never both above zero."""

    product: str
    tier: str | None
    seats: int
    used: int
    free: int
    over: int


class SeatsView(NamedTuple):
    """All seats that an account's holders have, who came first first within each pool."""

    account: str
    moment: Moment
    position: int
    version: int
    seats: list[SeatView]
    totals: list[PoolTotal]


def seat(asked: AccountAt, product: str, holder: str) -> SeatView | None:
    """Return one holder's seat; None when it had none at that moment."""
    taken = asked.account.seat(product, holder)
    if taken is None:
        return None
    filled = asked.account.pool(product, taken.tier, asked.moment.at)
    # Where all count against one row, it is the same for each, and nobody need be counted.
    is_shared = filled.over > 0 or sum(used > 0 for _, used in filled.rows) > 1
    return _view(taken, filled, _rank(asked.account, taken) if is_shared else 0)


def seats(asked: AccountAt, catalog: Catalog, product: str | None = None) -> SeatsView:
    """Return all seats taken, and every pool that has seats or holders, or is in the catalog."""
    account, at = asked.account, asked.moment.at
    views: list[SeatView] = []
    totals: list[PoolTotal] = []
    for product_id, tier in pools(account, catalog):
        if product not in (None, product_id):
            continue
        filled = account.pool(product_id, tier, at)
        views += [
            _view(taken, filled, rank)
            for rank, taken in enumerate(account.holders(product_id, tier))
        ]
        if filled.seats or filled.used or _on_offer(catalog, product_id, tier):
            totals.append(
                PoolTotal(product_id, tier, filled.seats, filled.used, filled.free, filled.over)
            )
    return SeatsView(asked.id, asked.moment, asked.position, asked.version, views, totals)


def pools(account: Account, catalog: Catalog) -> list[tuple[str, str | None]]:
    """Return the product and tier of every pool: the catalog's, then others the account has had."""
    known: list[tuple[str, str | None]] = [
        (product.id, tier) for product in catalog.products for tier in product.tier_ids
    ]
    return known + sorted(account.places().difference(known), key=str)


def _on_offer(catalog: Catalog, product_id: str, tier: str | None) -> bool:
    product = catalog.product(product_id)
    return product is not None and tier in product.tier_ids


def _rank(account: Account, taken: Seat) -> int:
    """Return how many holders of the pool came before this one."""
    return sum(
        1
        for other in account.seats.values()
        if other.product == taken.product and other.tier == taken.tier and other.order < taken.order
    )


def _view(taken: Seat, filled: Filled, rank: int) -> SeatView:
    row = filled.row_at(rank)
    reason: Unlicensed | None = None
    if row is None:
        reason = "over" if filled.seats else "no_active_subscription"
    return SeatView(
        product=taken.product,
        tier=taken.tier,
        holder=taken.holder,
        label=taken.label,
        occupied_at=taken.occupied_at,
        licensed=row is not None,
        subscription=row.subscription if row else None,
        reason=reason,
    )
