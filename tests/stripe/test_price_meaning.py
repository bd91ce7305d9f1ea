"""What a price means to a subscription: the same for its life, unless somebody maps it again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest

from commands.gateways.stripe import StripeGateway
from commands.map_prices import map_prices
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.catalog import Catalog, parse
from ledger.refusals import UNKNOWN_PRICE, SubscriptionNotChangeable
from ledger.streams.account.seat_sync import standings, verdict
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripeSubscriptionReported
from ledger.stripe.objects import read_event, read_subscription
from ledger.stripe.reader import Origin
from ledger.stripe.subscriptions import StripeSubscription, with_report
from tests.stripe.billed_team import ACME, INCLUDED, billed_team, catalog
from tests.stripe.payloads import Json, changed, deliver, item, panel, subscription
from tests.stripe.shop import shop
from tests.stripe_server import StripeServer
from tests.web.api import Api
from tests.worlds import DAY, NOON, context, services
from web.html.stripe_texts import refusal_message

TWICE = """
[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "certificate"

[[products.prices]]
lookup_key = "cloud_pos_month"
interval = "month"
seats = 2
"""
ELSEWHERE = """
[[products]]
id = "other"
name = "Other"
prefix = "OTHER"
seat = "seat"
"""
NAMED = """
[[products.prices]]
price = "price_other"
seats = 5
"""
PRICE = "price_of_old"
LATER = NOON + 9 * DAY


@pytest.fixture
def at_stripe() -> Iterator[StripeServer]:
    with StripeServer(now=int(NOON.timestamp())) as server:
        yield server


@pytest.fixture
def world(at_stripe: StripeServer) -> Services:
    return services()._replace(stripe=StripeGateway(at_stripe.api_key, at_stripe.url))


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
    builtin, twice = api.services.catalog, parse(TWICE)
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


def priced(server: StripeServer, lookup_key: str | None = None, **more: object) -> str:
    """Make a price at Stripe, and return its id; a price that has its lookup key loses that."""
    money = {"currency": "eur", "unit_amount": 1500, "recurring": {"interval": "month"}}
    named: Json = {"lookup_key": lookup_key} if lookup_key else {}
    if named and server.get("/v1/prices", {"lookup_keys": [lookup_key]})["data"]:
        named["transfer_lookup_key"] = True
    made = server.post("/v1/prices", {**money, **named, "product_data": {"name": "POS"}, **more})
    return str(made["id"])


def tell(world: Services, sub: Json, day: int = 0) -> int:
    """Record a report of the subscription, and return the seats that there are then."""
    event = read_event(changed(sub, at=NOON + day * DAY))
    record_event(world, context(LATER), event, "webhook")
    return pool_of(world)


def pool_of(world: Services) -> int:
    return world.book.load(ACCOUNT, ACME).state.pool("cloud_pos", None, LATER).seats


def test_another_catalog_changes_no_subscription_until_it_is_mapped_again(
    at_stripe: StripeServer, world: Services
) -> None:
    old = priced(at_stripe, "cloud_pos_month")
    assert tell(world, of("cloud_pos_month", price=old), 1) == 2
    changing = world._replace(catalog=parse(TWICE))
    assert tell(changing, of("cloud_pos_month", 3, price=old), 2) == 3
    # What happened before, and is heard of only now, was not sold by this catalog either.
    assert tell(changing, of("cloud_pos_month", 1, price=old), 0) == 3
    mapped = map_prices(changing, context(LATER), ACME)
    assert (mapped.meanings[old].per_unit, mapped.before[old].per_unit) == (2, 1)
    assert tell(changing, of("cloud_pos_month", 1, price=old), 0) == 6
    assert tell(changing, of(None, 4, price=old), 3) == 8
    gone = world._replace(catalog=parse(ELSEWHERE))
    assert tell(gone, of("cloud_pos_month", 5, price=old), 4) == 10
    assert map_prices(gone, context(LATER), ACME).meanings == {}


def test_mapping_again_gives_no_old_price_what_its_key_means_since_it_moved(
    at_stripe: StripeServer, world: Services
) -> None:
    old = priced(at_stripe, "cloud_pos_month")
    assert tell(world, of("cloud_pos_month", 3, price=old)) == 3
    new = priced(at_stripe, "cloud_pos_month")
    changing = world._replace(catalog=parse(TWICE))
    mapped = map_prices(changing, context(LATER), ACME)
    assert (mapped.meanings, mapped.kept, pool_of(world)) == ({}, {}, 3)
    # The subscription goes over to the new price, which means what the catalog says.
    assert tell(changing, of("cloud_pos_month", 3, price=new), 1) == 6


def test_mapping_again_finds_a_price_by_the_key_that_it_has_been_given_since(
    at_stripe: StripeServer, world: Services
) -> None:
    old = priced(at_stripe)
    assert tell(world, of(None, 3, price=old)) == 0
    at_stripe.post(f"/v1/prices/{old}", {"lookup_key": "cloud_pos_month"})
    assert (map_prices(world, context(LATER), ACME).unmapped, pool_of(world)) == ([], 3)


@pytest.mark.parametrize("stripe", ["not set up", "away", "has no such price"])
def test_a_known_price_keeps_its_meaning_while_stripe_does_not_tell_what_it_is(
    at_stripe: StripeServer, world: Services, stripe: str
) -> None:
    old = "price_of_old" if stripe == "has no such price" else priced(at_stripe, "cloud_pos_month")
    unknown = item("cloud_pos_year", 1, id="si_2", price="price_other")
    sub = of("cloud_pos_month", 3, price=old)
    sub["items"]["data"].append(unknown)
    del unknown["price"]["lookup_key"]
    tell(world, sub)
    changing = world._replace(catalog=parse(TWICE + NAMED))
    if stripe != "has no such price":
        gone = StripeGateway(at_stripe.api_key, "http://127.0.0.1:9")
        changing = changing._replace(stripe=gone if stripe == "away" else None)
    mapped = map_prices(changing, context(LATER), ACME)
    assert [*mapped.kept] == [old]
    # What the catalog names by its id needs no Stripe.
    assert ([*mapped.meanings], mapped.unmapped, pool_of(world)) == (["price_other"], [], 3 + 5)


def test_what_a_price_gives_by_its_own_metadata_is_looked_up_again(
    at_stripe: StripeServer, world: Services
) -> None:
    def says(seats: int) -> dict[str, str]:
        return {"keyfold_product": "cloud_pos", "keyfold_seats": str(seats)}

    old = priced(at_stripe, metadata=says(2))
    sub = of(None, 3, price=old)
    sub["items"]["data"][0]["price"]["metadata"] = says(2)
    assert tell(world, sub) == 6
    assert map_prices(world, context(LATER), ACME).meanings == {}
    at_stripe.post(f"/v1/prices/{old}", {"metadata": says(4)})
    tried = map_prices(world, context(LATER), ACME, dry_run=True)
    assert (tried.before[old].per_unit, tried.meanings[old].per_unit, pool_of(world)) == (2, 4, 6)
    map_prices(world, context(LATER), ACME)
    assert pool_of(world) == 12


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


@pytest.mark.parametrize("heard", ["of its Checkout too", "only of the subscription"])
def test_nothing_is_sold_beside_a_checkouts_subscription_that_was_never_understood(
    heard: str,
) -> None:
    with shop() as it:
        started = it.buy(seats=2)
        # The key moves while the customer is at Checkout: no report ever tells it with that price.
        priced(it.stripe, "cloud_pos_month")
        session = it.stripe.pay(started.body["url"].rpartition("/")[2])
        for said in it.stripe.events:
            if heard == "of its Checkout too" or said["type"].startswith("customer.subscription"):
                deliver(it.api, said)
        assert it.seats() == 0
        got = it.buy(seats=1)
        assert (got.status, got.code) == (409, "subscription_not_changeable")
        assert session["subscription"] in got.body["detail"]
        assert it.buy(product="integrations", tier="growth", seats=1).status == 201
        assert len(it.stripe.get("/v1/subscriptions")["data"]) == 1


def test_a_subscription_that_never_meant_anything_and_was_not_bought_here_stops_no_purchase() -> (
    None
):
    with shop() as it:
        it.buy(seats=2)
        foreign = priced(it.stripe)
        customer = it.stripe.post("/v1/customers", {})["id"]
        named = {"metadata": {"keyfold_account": "acme"}}
        it.stripe.post(
            "/v1/subscriptions", {"customer": customer, "items": [{"price": foreign}], **named}
        )
        it.deliver()
        assert it.buy(seats=1).status == 201


@pytest.mark.parametrize(("language", "who"), [("en", "support"), ("de", "Support")])
def test_a_customer_is_not_sent_to_stripe_for_what_the_vendor_has_to_set_right(
    api: Api, language: str, who: str
) -> None:
    with api.app.test_request_context(headers={"Accept-Language": language}):
        unknown = refusal_message(SubscriptionNotChangeable("sub_1", UNKNOWN_PRICE))
        unpaid = refusal_message(SubscriptionNotChangeable("sub_1", "past_due"))
        (said,), (other,) = map(str, unknown.advice), map(str, unpaid.advice)
    assert who in said
    assert not any(words in said for words in ("Manage in Stripe", "In Stripe verwalten"))
    assert any(words in other for words in ("Manage in Stripe", "In Stripe verwalten"))


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
