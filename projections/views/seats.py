"""Seats: who sits where, whether they may work right now, and how the pools stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec.structs import astuple, replace

from ledger.catalog import Catalog
from ledger.pool import Filled
from ledger.streams.account.state import Account, Seat
from projections.answer import (
    AccountAnswer,
    Answer,
    Count,
    Next,
    ProductId,
    Seats,
    SubscriptionId,
    Time,
    Used,
    doc,
)
from projections.views.account_at import AccountAt

Unlicensed = Literal["no_active_subscription", "over"]


_Holder = Annotated[str, doc(None, "till-1")]
# Sealed, until whoever answers opens it for a reader that may see it, and replaces it.
_Label = Annotated[Any, doc(None, "Till at the door", type=["string", "null"])]
_Licensed = Annotated[bool, doc("Whether this one may work at the moment asked about.")]
_Subscription = Annotated[SubscriptionId | None, doc("Which one it counts against.")]


class SeatView(Answer, frozen=True):
    """A taken seat.

    It is not licensed when nothing active provides seats, or when more hold than there are seats
    and this holder came late.
    """

    product: ProductId
    tier: str | None
    holder: _Holder
    label: _Label
    occupied_at: Time
    licensed: _Licensed
    subscription: _Subscription
    reason: Unlicensed | None


class HolderView(AccountAnswer, frozen=True):
    """One holder's seat, or that it has none."""

    product: ProductId
    tier: str | None
    holder: _Holder
    label: _Label
    occupied_at: Annotated[Time | None, doc("Null for a holder without a seat.")]
    licensed: _Licensed
    subscription: _Subscription
    reason: Literal["no_active_subscription", "over", "no_seat"] | None


class PoolTotal(Answer, frozen=True):
    """How the seats of one product and tier stand; `free` and `over` are never both above zero."""

    product: ProductId
    tier: str | None
    seats: Seats
    used: Used
    free: Annotated[Count, doc(None, 3)]
    over: Annotated[Count, doc(None, 0)]


class SeatsView(AccountAnswer, frozen=True):
    """The seats that an account's holders have, who came first first within each pool."""

    items: list[SeatView]
    next: Next
    totals: list[PoolTotal]


def seat(state: AccountAt, product: str, holder: str) -> HolderView:
    """Return one holder's seat, or that it had none at that moment."""
    taken = state.account.seat(product, holder)
    if taken is None:
        return HolderView(*state.header, product, None, holder, None, None, False, None, "no_seat")
    filled = state.account.pool(product, taken.tier, state.moment.at)
    # Where all count against one row, it is the same for each, and nobody need be counted.
    is_shared = filled.over > 0 or sum(used > 0 for _, used in filled.rows) > 1
    view = _view(taken, filled, _rank(state.account, taken) if is_shared else 0)
    return HolderView(*state.header, *astuple(view))


def seats(state: AccountAt, catalog: Catalog, product: str | None = None) -> SeatsView:
    """Return all seats taken, and every pool that has seats or holders, or is in the catalog."""
    account, at = state.account, state.moment.at
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
    return SeatsView(*state.header, views, None, totals)


def with_labels(taken: Iterable[SeatView], labels: Iterable[str | None]) -> list[SeatView]:
    """Return seats with their labels opened."""
    return [replace(one, label=label) for one, label in zip(taken, labels, strict=True)]


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
