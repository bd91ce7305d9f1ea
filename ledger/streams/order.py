"""One order of a reseller's that waits, or waited, for the vendor.

Stream:    `order-<id>`, where `ord_<id>` is the order's id, and `bat_<id>` that of its batch: an
           order that is repeated with its idempotency key is the same one
Facts:     OrderPlaced, OrderApproved, OrderDeclined
Invariant: it is approved or declined once, and by another than who placed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import OrderDecided, OrderNotFound, OwnOrder

OrderStatus = Literal["waiting", "approved", "declined"]


# Facts


class OrderPlaced(Fact, frozen=True):
    """A reseller ordered more seats than it may without being asked.

    Attributes:
        fingerprint, note: as in `KeysIssued`.
        placed_by: the id of the token or of the person.
    """

    order: str
    product: str
    tier: str | None
    seats: int
    months: int
    count: int
    reseller: str
    redeem_by: datetime | None
    note: Sealed | None
    fingerprint: str
    placed_by: str


class OrderApproved(Fact, frozen=True):
    """The vendor had the keys issued."""

    batch: str


class OrderDeclined(Fact, frozen=True):
    """The vendor did not have the keys issued."""

    reason: Sealed | None = None


# State


class WaitingOrder(Struct, frozen=True):
    """An order as its facts make it."""

    placed: OrderPlaced
    placed_at: datetime
    status: OrderStatus = "waiting"
    decided_at: datetime | None = None


# Fold


def fold(order: WaitingOrder | None, events: Iterable[AnyOccurrence]) -> WaitingOrder | None:
    """Return the order after these events; None while there is none."""
    for event in events:
        match event.fact:
            case OrderPlaced() as placed:
                order = WaitingOrder(placed, event.occurred_at)
            case OrderApproved() if order:
                order = replace(order, status="approved", decided_at=event.occurred_at)
            case OrderDeclined() if order:
                order = replace(order, status="declined", decided_at=event.occurred_at)
    return order


# Decisions


def found(order: WaitingOrder | None) -> WaitingOrder:
    """Return the order.

    Raises:
        OrderNotFound: there is none.
    """
    if order is None:
        raise OrderNotFound
    return order


def approve(order: WaitingOrder, batch: str, actor: str) -> list[Fact]:
    """Return the fact that approves an order.

    Raises:
        OwnOrder: who placed it asks.
        OrderDecided: it waits no more.
    """
    _decide(order, actor)
    return [OrderApproved(batch=batch)]


def decline(order: WaitingOrder, actor: str, reason: Sealed | None) -> list[Fact]:
    """Return the fact that declines an order; none if it was declined.

    Raises:
        OwnOrder, OrderDecided: as `approve`.
    """
    if order.status == "declined":
        return []
    _decide(order, actor)
    return [OrderDeclined(reason=reason)]


def _decide(order: WaitingOrder, actor: str) -> None:
    if order.placed.placed_by == actor:
        raise OwnOrder
    if order.status != "waiting":
        raise OrderDecided(order.status)


ORDER: Stream[WaitingOrder | None] = Stream(
    kind="order",
    facts={
        "order.placed@1": OrderPlaced,
        "order.approved@1": OrderApproved,
        "order.declined@1": OrderDeclined,
    },
    initial=None,
    fold=fold,
)


def stream_id(order_id: str) -> str:
    """Return the id in the stream's name for an order's id."""
    return order_id.removeprefix("ord_")


def order_of(batch_id: str) -> str:
    """Return the id of the order that a batch would be issued for."""
    return batch_id.replace("bat_", "ord_", 1)


def batch_of(order_id: str) -> str:
    """Return the id of the batch that an order's keys are issued as."""
    return order_id.replace("ord_", "bat_", 1)
