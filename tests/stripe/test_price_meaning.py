"""What a price means to a subscription: the same for its life, unless somebody maps it again."""

from __future__ import annotations

from itertools import permutations

import pytest

from commands.map_prices import map_prices
from commands.ports import Ports
from commands.record_stripe_event import record_event
from ledger.catalog import Catalog, parse
from ledger.seat_sync import standings, verdict
from ledger.streams.account import ACCOUNT
from ledger.streams.stripe import StripeSubscriptionReported
from ledger.streams.stripe_state import StripeSubscription, with_report
from ledger.stripe_objects import Origin, read_event, read_subscription
from tests.stripe.billed_team import ACME, INCLUDED, billed_team, catalog
from tests.stripe.payloads import Json, changed, deliver, item, panel, subscription
from tests.stripe.shop import shop
from tests.web.api import Api
from tests.worlds import DAY, NOON, ports, stamp

TWICE = """
[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "certificate"
prices = [{ lookup_key = "cloud_pos_month", interval = "month", seats = 2 }]
"""
ELSEWHERE = """
[[products]]
id = "other"
name = "Other"
prefix = "OTHER"
seat = "seat"
"""
PRICE = "price_of_old"


def of(lookup_key: str | None, quantity: int = 2, *, price: str = PRICE) -> Json:
    one = item(lookup_key, quantity, id="si_1", price=price)
    one["price"]["product"] = "prod_pos"
    return subscription(items=[one])


def old_shape(quantity: int = 2) -> Json:
    """Answer the subscription as a version of the API without lookup keys has it."""
    sub = of(None, quantity)
    price = sub["items"]["data"][0].pop("price")
    plan = {"id": price["id"], "object": "plan", "amount": 1500, "currency": "eur"}
    sub["items"]["data"][0]["plan"] = {**plan, "interval": "month", "product": "prod_pos"}
    return sub


@pytest.mark.parametrize("later", [of(None, 3), old_shape(3)], ids=["key moved", "old shape"])
def test_a_price_that_lost_its_lookup_key_gives_what_it_gave(api: Api, later: Json) -> None:
    deliver(api, changed(of("cloud_pos_month"), at=NOON))
    deliver(api, changed(later, at=NOON + DAY))
    assert (panel(api)["seats"], len(panel(api)["rows"])) == (3, 1)
    assert api.get("admin", "/v1/overview").body["unmapped"] == []


def told(sub: Json, day: int, on: Catalog) -> StripeSubscriptionReported:
    origin = Origin("customer.subscription.updated", NOON + day * DAY, f"evt_{day}")
    report = read_subscription(sub, origin, on).report
    assert isinstance(report, StripeSubscriptionReported)
    return report


def test_which_meaning_counts_does_not_depend_on_the_order_of_delivery(api: Api) -> None:
    builtin, twice = api.ports.catalog, parse(TWICE)
    reports = [
        told(of("cloud_pos_month"), 1, builtin),
        told(of("cloud_pos_month"), 2, twice),
        told(of(None, 5), 3, builtin),
        told(of("cloud_pos_year", 4), 4, builtin),
    ]
    states = []
    for order in permutations(reports):
        state: StripeSubscription | None = None
        for report in order:
            state = with_report(state, report, 1)
        states.append(state)
    assert all(state == states[0] for state in states)
    assert states[0] is not None
    assert [row.seats for row in states[0].rows({})] == [4]


def test_another_catalog_changes_no_subscription_until_it_is_mapped_again() -> None:
    world = ports()

    def tell(sub: Json, day: int, on: Ports) -> int:
        event = read_event(changed(sub, at=NOON + day * DAY))
        record_event(on, stamp(NOON + 9 * DAY), event, "webhook")
        account = world.book.load(ACCOUNT, ACME).state
        return account.pool("cloud_pos", None, NOON + 9 * DAY).seats

    assert tell(of("cloud_pos_month"), 1, world) == 2
    changing = world._replace(catalog=parse(TWICE))
    assert tell(of("cloud_pos_month", 3), 2, changing) == 3
    # What happened before, and is heard of only now, was not sold by this catalog either.
    assert tell(of("cloud_pos_month", 1), 0, changing) == 3
    mapped = map_prices(changing, stamp(NOON + 9 * DAY), ACME)
    assert (mapped.meanings[PRICE].per_unit, mapped.before[PRICE].per_unit) == (2, 1)
    assert tell(of("cloud_pos_month", 1), 0, changing) == 6
    assert tell(of(None, 4), 3, changing) == 8
    gone = world._replace(catalog=parse(ELSEWHERE))
    assert tell(of("cloud_pos_month", 5), 4, gone) == 10
    assert map_prices(gone, stamp(NOON + 9 * DAY), ACME).meanings == {}


def test_a_new_price_means_what_the_catalog_says_when_it_is_first_reported(api: Api) -> None:
    deliver(api, changed(of("cloud_pos_month"), at=NOON))
    deliver(api, changed(of("integrations_growth_month", price="price_b"), at=NOON + DAY))
    assert panel(api)["seats"] == 0
    assert panel(api, product="integrations")["seats"] == 2


# Buying


def test_nothing_is_sold_beside_a_subscription_whose_price_is_unknown_now() -> None:
    with shop() as it:
        bought = it.subscribe(seats=2)
        line = bought["items"]["data"][0]
        price = {"currency": "eur", "unit_amount": 1700, "recurring": {"interval": "month"}}
        new = it.stripe.post("/v1/prices", {**price, "product": line["price"]["product"]})
        it.stripe.post(f"/v1/subscription_items/{line['id']}", {"price": new["id"]})
        it.deliver()
        got = it.buy(seats=1)
        assert (got.status, got.body["code"]) == (409, "subscription_not_changeable")
        assert bought["id"] in got.body["detail"]
        other = it.buy(product="integrations", tier="growth", seats=1)
        assert other.status == 201


def test_a_subscription_whose_lookup_key_moved_is_raised_and_not_doubled() -> None:
    with shop() as it:
        bought = it.subscribe(seats=2)
        price = bought["items"]["data"][0]["price"]
        new = {"currency": "eur", "unit_amount": 1700, "recurring": {"interval": "month"}}
        it.stripe.post(
            "/v1/prices",
            {
                **new,
                "product": price["product"],
                "lookup_key": "cloud_pos_month",
                "transfer_lookup_key": True,
            },
        )
        it.stripe.advance(days=32)
        it.deliver()
        assert it.seats() == 2
        got = it.buy(seats=1)
        assert (got.body["changed"], it.seats()) == ("quantity", 3)
        assert len(it.stripe.get("/v1/subscriptions")["data"]) == 1


# Billed seats


@pytest.mark.parametrize("key", ["team_month", "team_seat_month"])
def test_billed_seats_stay_as_they_are_when_a_lookup_key_moves(key: str) -> None:
    with billed_team(seats=5) as team:
        team.take(INCLUDED + 5)
        team.sync()
        amount = {"currency": "eur", "unit_amount": 2500, "recurring": {"interval": "month"}}
        moved = {"lookup_key": key, "transfer_lookup_key": True, "product_data": {"name": key}}
        team.stripe.post("/v1/prices", {**amount, **moved})
        team.wait(days=32)
        paid, writes = team.paid(), len(team.writes())
        assert (team.sync().outcome, team.quantity) == ("in_step", 5)
        assert (team.paid(), len(team.writes())) == (paid, writes)


@pytest.mark.parametrize("which", ["base", "seats"])
def test_seats_beside_a_price_that_is_not_understood_are_left_alone(which: str) -> None:
    with billed_team(seats=5) as team:
        team.take(INCLUDED + 5)
        team.sync()
        amount = {"currency": "eur", "unit_amount": 2500, "recurring": {"interval": "month"}}
        unknown = team.stripe.post("/v1/prices", {**amount, "product_data": {"name": "special"}})
        own = team.base_price if which == "base" else team.seat_price
        team.stripe.post(
            f"/v1/subscription_items/{team.items[own]['id']}", {"price": unknown["id"]}
        )
        team.hear()
        team.take(2)
        team.wait(minutes=30)
        paid, writes = team.paid(), len(team.writes())
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("left_alone", "unknown_price")
        assert (team.paid(), len(team.writes())) == (paid, writes)
        (standing,) = standings(team.account(), catalog(), team.now)
        assert verdict(standing, team.account().seat_syncs, team.now, None).why == "unknown_price"


def test_an_add_on_that_means_nothing_does_not_keep_known_seats_from_being_billed() -> None:
    with billed_team(seats=1) as team:
        amount = {"currency": "eur", "unit_amount": 900, "recurring": {"interval": "month"}}
        add_on = team.stripe.post("/v1/prices", {**amount, "product_data": {"name": "support"}})
        team.stripe.post(
            "/v1/subscription_items", {"subscription": team.subscription, "price": add_on["id"]}
        )
        team.hear()
        team.take(INCLUDED + 2)
        assert (team.sync().outcome, team.quantity) == ("in_step", 2)
