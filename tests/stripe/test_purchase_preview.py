"""What a purchase would cost is told over the API, and a purchase can be held to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.catalog import parse
from tests.stripe.billed_team import CATALOG
from tests.stripe.shop import CHECKOUTS, ITEMS, Shop, shop
from tests.web.api import Got


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as found:
        yield found


def preview(it: Shop, **changes: Any) -> Got:
    body = {"product": "cloud_pos", "seats": 3, "interval": "month", **changes}
    return it.api.post("portal", "/v1/accounts/acme/checkout/preview", body)


def sold(it: Shop) -> list[Any]:
    return [*it.asked("POST", CHECKOUTS), *it.asked("POST", ITEMS)]


@pytest.mark.parametrize(("interval", "each"), [("month", 45_00), ("year", 450_00)])
def test_a_first_purchase_costs_what_was_previewed(it: Shop, interval: str, each: int) -> None:
    got = preview(it, interval=interval)
    assert got.status == 200
    assert got.body == {
        "changed": None,
        "stripe_subscription": None,
        "seats_before": 0,
        "seats": 3,
        "currency": "eur",
        "due": each,
        "invoiced": each,
        "each_period": each,
        "interval": interval,
        "next_at": None,
        "quote": None,
    }
    assert (sold(it), it.version()) == ([], 0)
    bought = it.subscribe(seats=3, interval=interval)
    assert it.invoices(bought["id"]) == [("subscription_create", each)]


def test_a_base_plan_is_previewed_with_the_seats_beyond_it() -> None:
    prices = {"team_month": ("month", 100_00), "team_seat_month": ("month", 20_00)}
    with shop(parse(CATALOG), prices) as it:
        assert preview(it, product="team", seats=5).body["due"] == 140_00
        it.subscribe(product="team", seats=5)
        assert preview(it, product="team", seats=1).code == "seats_follow_holders"


@pytest.mark.parametrize("days", [0.0, 9.7])
def test_more_seats_cost_what_was_previewed_and_quoted(it: Shop, days: float) -> None:
    bought = it.subscribe(seats=4)["id"]
    it.stripe.advance(days=days)
    it.api.clock.forward(days=days)
    told = preview(it).body
    assert (told["changed"], told["stripe_subscription"]) == ("quantity", bought)
    assert (told["seats_before"], told["seats"], told["each_period"]) == (4, 7, 105_00)
    assert it.asked("POST", ITEMS) == []
    # Whoever thinks it over for some minutes pays what was shown.
    it.stripe.advance(days=0.009)
    it.api.clock.forward(days=0.009)
    assert it.buy(seats=3, quote=told["quote"]).body["seats"] == 7
    assert it.invoices(bought)[1:] == [("subscription_update", told["due"])]


def test_another_tier_is_previewed_as_an_item_beside(it: Shop) -> None:
    bought = it.subscribe(product="integrations", tier="growth", seats=1)["id"]
    order: dict[str, Any] = {"product": "integrations", "tier": "starter", "seats": 2}
    told = preview(it, **order).body
    assert (told["changed"], told["due"], told["each_period"]) == ("item", 18_00, 47_00)
    assert it.buy(**order, quote=told["quote"]).status == 201
    assert it.invoices(bought)[1:] == [("subscription_update", told["due"])]


def test_what_costs_something_else_by_now_is_not_bought(it: Shop) -> None:
    bought = it.subscribe(seats=4)["id"]
    quote = preview(it).body["quote"]
    refused = [it.buy(seats=4, quote=quote), it.buy(seats=3, quote="AAAA")]
    assert it.buy(seats=1).status == 201
    refused.append(it.buy(seats=3, quote=quote))
    assert [(one.status, one.code) for one in refused] == [(409, "purchase_price_changed")] * 3
    assert it.quantities(bought) == {"cloud_pos_month": 5}
    again = preview(it).body
    assert it.buy(seats=3, quote=again["quote"], key="k-1").status == 201
    # A repetition is answered as before, and buys nothing more.
    assert it.buy(seats=3, quote=again["quote"], key="k-1").body["seats"] == 8
    assert it.quantities(bought) == {"cloud_pos_month": 8}


def test_a_preview_closes_no_checkout_and_says_why_nothing_can_be_bought(it: Shop) -> None:
    first = it.buy(seats=2)
    assert preview(it).body["changed"] is None
    session = first.body["url"].rpartition("/")[2]
    assert it.stripe.get(f"{CHECKOUTS}/{session}")["status"] == "open"
    assert preview(it, seats=0).pointers == ["/seats"]
    assert preview(it, interval="week").pointers == ["/interval"]
    it.pay(first)
    assert preview(it, interval="year").pointers == ["/interval"]
    it.stripe.fail("down")
    assert preview(it).code == "stripe_unavailable"
