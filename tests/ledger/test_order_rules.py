"""Orders that wait: who may decide them, and how often."""

from __future__ import annotations

import pytest

from ledger.events import Fact
from ledger.refusals import OrderDecided, OwnOrder
from ledger.streams import order
from ledger.streams.order import ORDER, OrderPlaced, WaitingOrder
from tests.worlds import NOON, folded

PLACED = OrderPlaced(
    order="ord_1",
    fingerprint="f",
    reseller="Alpine Tills",
    product="cloud_pos",
    tier=None,
    seats=5,
    months=12,
    count=10,
    redeem_by=None,
    note=None,
    placed_by="kft_partner",
)


def after(*facts: Fact) -> WaitingOrder:
    state = folded(ORDER, *((NOON, fact) for fact in (PLACED, *facts)))
    assert state is not None
    return state


def test_who_placed_an_order_does_not_decide_it() -> None:
    with pytest.raises(OwnOrder):
        order.approve(after(), "bat_1", "kft_partner")
    with pytest.raises(OwnOrder):
        order.decline(after(), "kft_partner", None)
    assert order.approve(after(), "bat_1", "kft_admin")


def test_an_order_is_decided_once() -> None:
    decided = after(*order.approve(after(), "bat_1", "kft_admin"))
    with pytest.raises(OrderDecided):
        order.approve(decided, "bat_2", "kft_admin")
    with pytest.raises(OrderDecided):
        order.decline(decided, "kft_admin", None)
