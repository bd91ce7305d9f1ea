"""The list of orders that waited, or wait, for the vendor; newest first."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.reseller_names import folded
from ledger.sealing import Texts
from ledger.streams import order as orders
from ledger.streams.order import (
    ORDER,
    OrderApproved,
    OrderDeclined,
    OrderPlaced,
    OrderStatus,
    WaitingOrder,
)
from projections.answer import Answer, Count, Next, ProductId, Seats, Time, doc
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.stores.tables import Params, Tables

_AFTER_ALL = 2**63 - 1

OrderId = Annotated[str, doc(None, "ord_2vqk7tq3bd5xw4a6bl7mc5nfx2")]


class OrderView(Answer, frozen=True):
    """An order that waited, or waits, for the vendor."""

    order: OrderId
    status: OrderStatus
    reseller: Annotated[str, doc(None, "Harbour Systems")]
    product: ProductId
    tier: Annotated[str | None, doc(None, "growth")]
    seats: Seats
    months: Annotated[Count, doc(None, 12)]
    count: Annotated[Count, doc("Keys.", 100)]
    redeem_by: Time | None
    note: Annotated[str | None, doc("For those who may read it.")]
    placed_by: Annotated[
        str, doc("The id of a token, or of a person.", "kft_c5nfx2ynqk7tq3bd5xw4a6bl7m")
    ]
    placed_at: Time
    decided_at: Time | None
    batch: Annotated[str | None, doc("Its keys, once it was approved.")]


class OrderList(Answer, frozen=True):
    """A page of orders, the newest first."""

    items: list[OrderView]
    next: Next


class OrderPage(NamedTuple):
    """Some orders, newest first.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
    """

    orders: list[OrderView]
    next: int | None
    position: int


def list_orders(
    book: Book,
    tables: Tables,
    texts: Texts | None,
    *,
    reseller: str | None = None,
    status: OrderStatus | None = None,
    after: int | None = None,
    limit: int,
) -> OrderPage:
    """Return a page of orders with everything recorded so far.

    Args:
        texts: what opens notes; None for a reader who may see none.
        reseller: whose, in whatever spelling; None for all.
        after: the `next` of the page before; None for the first.
    """
    conditions = ["position < :after"]
    if reseller is not None:
        conditions.append("reseller_id = :reseller_id")
    if status is not None:
        conditions.append("status = :status")
    select = (
        "SELECT position, id FROM keyfold_order_list_1"  # noqa: S608 - all are ours
        f" WHERE {' AND '.join(conditions)} ORDER BY position DESC LIMIT :limit"
    )
    params: Params = {
        "after": _AFTER_ALL if after is None else after,
        "reseller_id": None if reseller is None else folded(reseller),
        "status": status,
        "limit": limit + 1,
    }
    result = read(book, tables, ORDER_LIST, select, params)
    found = sorted(result.rows, reverse=True)
    shown = found[:limit]
    states = book.load_many(ORDER, [orders.stream_id(id) for _, id in shown])
    views = [
        order_view(state, texts)
        for _, id in shown
        if (state := states[orders.stream_id(id)].state) is not None
    ]
    return OrderPage(views, shown[-1][0] if len(found) > limit else None, result.position)


def order_view(state: WaitingOrder, texts: Texts | None) -> OrderView:
    """Return one order from its loaded stream, the same as the list shows it."""
    placed = state.placed
    return OrderView(
        order=placed.order,
        status=state.status,
        reseller=placed.reseller,
        product=placed.product,
        tier=placed.tier,
        seats=placed.seats,
        months=placed.months,
        count=placed.count,
        redeem_by=placed.redeem_by,
        note=texts.open(placed.note) if texts else None,
        placed_by=placed.placed_by,
        placed_at=state.placed_at,
        decided_at=state.decided_at,
        batch=orders.batch_of(placed.order) if state.status == "approved" else None,
    )


_DECIDE = "UPDATE keyfold_order_list_1 SET status = :status WHERE id = :id"


def _write(event: AnyEvent) -> Writes:
    match event.fact:
        case OrderPlaced(order=id, reseller=reseller):
            return [(event.position, id, folded(reseller), "waiting")]
        case OrderApproved() | OrderDeclined():
            status = "approved" if isinstance(event.fact, OrderApproved) else "declined"
            id = event.stream.replace("order-", "ord_", 1)
            return Write(_DECIDE, [{"id": id, "status": status}])
    return None


ORDER_LIST = Projection(
    name="order_list@1",
    table="keyfold_order_list_1",
    columns=("position", "id", "reseller_id", "status"),
    write=_write,
    facts=frozenset({OrderPlaced, OrderApproved, OrderDeclined}),
)
