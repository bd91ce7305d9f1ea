"""Orders of resellers that wait, or waited, for the vendor."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from commands.order_keys import approve_order as approve
from commands.order_keys import decline_order as decline
from ledger.limits import NAME_LENGTH_MAX
from ledger.refusals import (
    AllowanceExceeded,
    OrderDecided,
    OrderNotFound,
    OwnOrder,
    ResellerSuspended,
)
from ledger.reseller_names import same
from ledger.sealing import Texts
from ledger.streams import order as orders
from ledger.streams.order import ORDER
from projections.lists.orders import OrderList, OrderView, list_orders, order_view
from web.api.answers import IssuedKeys, with_codes
from web.api.operations import Returns, operation
from web.api.request_fields import Text, long_at_most, one_of
from web.api.requests import PageQuery, ReadQuery, Reasoned
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.responses import reply

blueprint = Blueprint("orders", __name__, url_prefix="/v1/orders")

_READERS = only(ADMIN, SUPPORT, AUDITOR, RESELLER)


class OrdersQuery(ReadQuery, PageQuery):
    status = Text(validate=one_of("waiting", "approved", "declined"))
    reseller = Text("In whatever spelling.", validate=long_at_most(NAME_LENGTH_MAX))


@blueprint.get("")
@operation(
    access=_READERS,
    query=OrdersQuery,
    responses={200: Returns(OrderList, "Orders, the newest first.", ("Keyfold-Position",))},
)
def list_waiting_orders(
    limit: int, cursor: str | None = None, reseller: str | None = None, **filters: Any
) -> Response:
    """List orders that wait, or waited, for the vendor.

    A reseller sees its own. An order that was carried out at once is a batch, and not in this list.
    """
    bound = caller().reseller
    of = ("orders", bound, reseller, sorted(filters.items()))
    after = cursors.read(services().request_key, of, cursor)
    if bound is not None and reseller is not None and not same(reseller, bound):
        return reply(OrderList([], None), position=services().book.head())
    found = list_orders(
        services().book,
        app_state().wiring.tables,
        _texts(),
        reseller=reseller or bound,
        after=after,
        limit=limit,
        **filters,
    )
    following = None
    if found.next is not None:
        following = cursors.write(services().request_key, of, found.next)
    return reply(OrderList(found.orders, following), position=found.position)


def _texts() -> Texts | None:
    return services().texts if caller().role in (ADMIN, SUPPORT, RESELLER) else None


@blueprint.get("/<order>")
@operation(
    access=_READERS,
    query=ReadQuery,
    responses={200: Returns(OrderView, "The order.")},
    refusals=(OrderNotFound,),
)
def get_order(order: str) -> Response:
    """Show an order."""
    found = orders.found(services().book.load(ORDER, orders.stream_id(order)).state)
    bound = caller().reseller
    if bound is not None and not same(bound, found.placed.reseller):
        raise OrderNotFound
    return reply(order_view(found, _texts()))


@blueprint.post("/<order>/approve")
@operation(
    access=only(ADMIN),
    responses={
        201: Returns(
            IssuedKeys,
            "The keys, with their codes.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        )
    },
    refusals=(
        OrderNotFound,
        OwnOrder,
        OrderDecided,
        ResellerSuspended,
        AllowanceExceeded,
    ),
)
def approve_order(order: str) -> Response:
    """Issue the keys of an order that waits.

    The reseller gets them by repeating its order, or by having them revealed. To approve it again
    answers with the same keys.
    """
    issued = approve(services(), request_context(), order)
    return reply(
        IssuedKeys(issued.batch, with_codes(issued.keys)),
        201,
        position=issued.position,
        replayed=issued.replayed,
    )


@blueprint.post("/<order>/decline")
@operation(
    access=only(ADMIN),
    body=Reasoned,
    responses={200: Returns(OrderView, "The order.", ("Keyfold-Position",))},
    refusals=(OrderNotFound, OwnOrder, OrderDecided),
)
def decline_order(order: str, reason: str) -> Response:
    """Decline an order that waits."""
    declined = decline(services(), request_context(), order, reason)
    assert declined.loaded.state is not None
    return reply(order_view(declined.loaded.state, _texts()), position=declined.position)
