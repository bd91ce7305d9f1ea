"""Buying seats: at Stripe Checkout, or on the subscription that there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import Retrieved
from commands.purchase import Purchase
from commands.start_checkout import start_checkout
from ledger.book import Book
from ledger.catalog import parse
from ledger.events import Fact, Stream
from ledger.refusals import VersionMismatch
from ledger.stripe.requests import StripeCheckoutStarted, StripeSeatsAnswered, StripeSeatsAsked
from tests.stripe.payloads import changed, deliver
from tests.stripe.shop import BACK, CHECKOUTS, ITEMS, SUCCESS, Shop, price, shop
from tests.web.api import api_over, memory_api
from tests.worlds import MINUTE, NOON, context
from web.app.context import EXTENSION


@pytest.fixture
def it() -> Iterator[Shop]:
    with shop() as opened:
        yield opened


# At Checkout


def test_the_first_purchase_is_made_at_checkout(it: Shop) -> None:
    got = it.buy(seats=3)
    session = it.stripe.get(f"{CHECKOUTS}/{got.body['url'].rpartition('/')[2]}")
    assert got.status == 201
    assert got.body == {
        "url": session["url"],
        "changed": None,
        "stripe_subscription": None,
        "seats": 3,
    }
    assert got.headers["Cache-Control"] == "no-store"
    (sent,) = it.asked("POST", CHECKOUTS)
    (price,) = it.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_month"]})["data"]
    assert sent.params == {
        "mode": "subscription",
        "client_reference_id": "acme",
        "line_items": [{"price": price["id"], "quantity": "3"}],
        "subscription_data": {
            "metadata": {"keyfold_account": "acme"},
            "billing_mode": {"type": "flexible"},
        },
        "metadata": {"keyfold_account": "acme"},
        "allow_promotion_codes": "true",
        "success_url": SUCCESS,
        "cancel_url": BACK,
    }
    (started,) = it.facts(StripeCheckoutStarted)
    assert isinstance(started, StripeCheckoutStarted)
    assert (started.checkout, started.seats) == (session["id"], 3)


def test_what_was_paid_for_at_checkout_is_there_when_stripe_tells(it: Shop) -> None:
    it.pay(it.buy(seats=3))
    assert it.seats() == 3


def test_a_customer_that_is_known_buys_the_next_product_as_the_same(it: Shop) -> None:
    bought = it.subscribe()
    it.pay(it.buy(product="integrations", tier="growth"))
    assert it.asked("POST", CHECKOUTS)[-1].params["customer"] == bought["customer"]
    assert it.account().stripe.customers == (bought["customer"],)
    assert (it.seats(), it.seats("integrations", "growth")) == (2, 2)


def test_a_customer_that_stripe_deleted_buys_as_a_new_one(it: Shop) -> None:
    bought = it.subscribe()
    it.stripe.delete(f"/v1/subscriptions/{bought['id']}")
    it.deliver()
    it.stripe.delete(f"/v1/customers/{bought['customer']}")
    assert it.buy().status == 201
    assert "customer" not in it.asked("POST", CHECKOUTS)[-1].params


def test_who_had_a_subscription_buys_the_next_at_checkout(it: Shop) -> None:
    bought = it.subscribe()
    it.stripe.delete(f"/v1/subscriptions/{bought['id']}")
    it.deliver()
    assert it.buy().body["changed"] is None


def test_the_same_key_is_answered_with_the_same_checkout(it: Shop) -> None:
    first, again = it.buy(key="k-1"), it.buy(key="k-1")
    assert again.body == first.body
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(it.facts(StripeCheckoutStarted)) == 1


def test_a_checkout_that_was_paid_is_not_started_again_by_its_key(it: Shop) -> None:
    first = it.buy(key="k-1")
    session = it.pay(first)
    again = it.buy(key="k-1")
    assert again.body["url"] == SUCCESS.replace("{CHECKOUT_SESSION_ID}", "")
    assert again.body["stripe_subscription"] == session["subscription"]
    assert it.seats() == 2


def test_a_checkout_that_ran_out_is_started_again_by_its_key(it: Shop) -> None:
    first = it.buy(key="k-1")
    it.stripe.expire(first.body["url"].rpartition("/")[2])
    again = it.buy(key="k-1")
    assert again.body["url"] not in (None, first.body["url"])


def test_a_key_is_for_one_request(it: Shop) -> None:
    it.buy(key="k-1")
    got = it.buy(key="k-1", seats=9)
    assert (got.status, got.code) == (422, "idempotency_key_reused")


def test_no_address_of_checkout_is_kept(it: Shop) -> None:
    it.buy()
    it.subscribe()
    it.buy()
    states = b"".join(row.state for row in it.api.services.book.store.read_from(0, 1000))
    assert b"cs_test_" in states
    for secret in (b"checkout.stripe.com", b"127.0.0.1:8000"):
        assert secret not in states


# One Checkout at a time


def session_of(got: Any) -> str:
    url: str = got.body["url"]
    return url.rpartition("/")[2]


def test_an_open_checkout_that_sells_the_same_is_handed_out_again(it: Shop) -> None:
    first, again = it.buy(key="k-1"), it.buy(key="k-2")
    assert again.body == first.body
    assert len(it.asked("POST", CHECKOUTS)) == 1


@pytest.mark.parametrize("changes", [{"seats": 5}, {"interval": "year"}])
def test_an_open_checkout_for_the_product_is_over_before_another_begins(
    it: Shop, changes: dict[str, Any]
) -> None:
    first, second = it.buy(), it.buy(**changes)
    assert it.stripe.get(f"{CHECKOUTS}/{session_of(first)}")["status"] == "expired"
    assert it.stripe.get(f"{CHECKOUTS}/{session_of(second)}")["status"] == "open"
    it.pay(second)
    assert it.seats() == changes.get("seats", 2)


def test_a_checkout_for_another_product_is_left_open(it: Shop) -> None:
    first = it.buy()
    it.buy(product="integrations", tier="growth")
    assert it.stripe.get(f"{CHECKOUTS}/{session_of(first)}")["status"] == "open"


@pytest.mark.parametrize("seats", [2, 3])
def test_a_checkout_that_was_paid_and_not_heard_of_gives_what_is_added_to(
    it: Shop, seats: int
) -> None:
    first = it.buy()
    it.stripe.pay(session_of(first))  # and nothing is delivered
    assert it.buy(seats=seats).body["changed"] == "quantity"
    it.deliver()
    assert it.seats() == 2 + seats
    assert len(it.account().stripe.subscriptions) == 1


def test_a_checkout_that_ran_out_unheard_is_no_hindrance(it: Shop) -> None:
    first = it.buy()
    it.stripe.expire(session_of(first))
    second = it.buy()
    assert session_of(second) != session_of(first)
    it.pay(second)
    assert it.seats() == 2


def test_of_several_at_once_one_checkout_can_be_paid(it: Shop) -> None:
    def buy(n: int) -> int:
        return it.buy(key=f"k-{n}", seats=2 + n % 2).status

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(buy, range(8))) == {201}
    listed = it.stripe.get(CHECKOUTS, {"limit": 100})["data"]
    assert [one["status"] for one in listed].count("open") == 1


# On what there is


def test_more_seats_raise_the_quantity_and_are_there_at_once(it: Shop) -> None:
    bought = it.subscribe(seats=3)
    it.stripe.advance(days=10)
    got = it.buy(seats=2)
    assert got.body == {
        "url": f"{BACK}?session_id=",
        "changed": "quantity",
        "stripe_subscription": bought["id"],
        "seats": 5,
    }
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}
    assert it.seats() == 5
    assert len(it.asked("POST", CHECKOUTS)) == 1
    # Two seats of 15.00 each, credited and charged for the 21 days of 31 that are left.
    assert it.invoices(bought["id"]) == [
        ("subscription_create", 4500),
        ("subscription_update", 2033),
    ]


def test_another_tier_becomes_an_item_of_the_same_subscription(it: Shop) -> None:
    bought = it.subscribe(product="integrations", tier="starter")
    got = it.buy(product="integrations", tier="growth", seats=4)
    assert (got.body["changed"], got.body["seats"]) == ("item", 4)
    assert it.quantities(bought["id"]) == {
        "integrations_starter_month": 2,
        "integrations_growth_month": 4,
    }
    assert (it.seats("integrations", "starter"), it.seats("integrations", "growth")) == (2, 4)


def test_a_subscription_that_was_not_heard_of_yet_is_found_and_raised(it: Shop) -> None:
    customer = it.stripe.post("/v1/customers", {})["id"]
    it.api.put("portal", "/v1/accounts/acme/stripe-customer", {"customer": customer})
    it.stripe.pay(it.buy().body["url"].rpartition("/")[2])  # and nothing is delivered
    assert it.buy(seats=1).body["changed"] == "quantity"
    assert it.seats() == 3


def test_what_changed_at_stripe_meanwhile_is_what_is_added_to(it: Shop) -> None:
    bought = it.subscribe(seats=3)
    item = bought["items"]["data"][0]["id"]
    it.stripe.post(f"{ITEMS}/{item}", {"quantity": 7})  # and nothing is delivered
    assert it.buy(seats=1).body["seats"] == 8
    assert it.seats() == 8


def test_what_stripe_has_is_added_to_though_an_event_was_dated_later(it: Shop) -> None:
    bought = it.subscribe(seats=3)
    assert deliver(it.api, changed(bought, at=NOON + MINUTE)).status == 200
    item = bought["items"]["data"][0]["id"]
    it.stripe.post(f"{ITEMS}/{item}", {"quantity": 7})
    assert it.buy(seats=1).body["seats"] == 8
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 8}


def test_the_same_key_raises_the_quantity_once(it: Shop) -> None:
    bought = it.subscribe()
    first = it.buy(key="k-1")
    it.buy(key="k-2", seats=1)
    again = it.buy(key="k-1")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}


def test_what_was_bought_is_answered_when_its_product_has_left_the_catalog(it: Shop) -> None:
    started = it.buy(key="k-0")
    it.pay(started)
    it.deliver()
    raised = it.buy(key="k-1")
    wiring = it.api.app.extensions[EXTENSION].wiring
    catalog = wiring.services.catalog
    others = tuple(one for one in catalog.products if one.id != "cloud_pos")
    changed = wiring.services._replace(catalog=replace(catalog, products=others))
    it.api = api_over(wiring._replace(services=changed), it.api)
    again = it.buy(key="k-1")
    assert (raised.status, again.status, again.body) == (201, 201, raised.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    paid = it.buy(key="k-0")
    assert (paid.status, paid.headers["Idempotency-Replayed"]) == (201, "true")
    refused = it.buy(key="k-2")
    assert (refused.status, refused.body["errors"][0]["pointer"]) == (422, "/product")


def test_of_several_subscriptions_the_one_paid_as_often_is_raised(it: Shop) -> None:
    monthly = it.subscribe()
    (price,) = it.stripe.get("/v1/prices", {"lookup_keys": ["cloud_pos_year"]})["data"]
    yearly = it.stripe.post(
        "/v1/subscriptions",
        {
            "customer": monthly["customer"],
            "items": [{"price": price["id"]}],
            "metadata": {"keyfold_account": "acme"},
        },
    )
    it.deliver()
    assert it.buy(seats=1).body["stripe_subscription"] == monthly["id"]
    assert it.buy(seats=1, interval="year").body["stripe_subscription"] == yearly["id"]


def test_another_interval_than_the_subscriptions_is_refused(it: Shop) -> None:
    bought = it.subscribe()
    got = it.buy(interval="year")
    assert (got.status, got.pointers) == (422, ["/interval"])
    assert f"must be month: that is how often {bought['id']} is paid" in got.body["detail"]


def test_twenty_at_once_are_added_up(it: Shop) -> None:
    bought = it.subscribe(seats=1)

    def buy(n: int) -> None:
        while it.buy(seats=1, key=f"k-{n}").status == 503:
            pass

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(buy, range(20)))
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 21}
    assert it.seats() == 21
    assert [reason for reason, _ in it.invoices(bought["id"])].count("subscription_update") == 20


class Overtaken(StripeGateway):
    """The real gateway; once, something else is done while an answer is on its way."""

    overtake: Callable[[], object] | None = None

    def subscription(self, id: str, **options: Any) -> Retrieved:
        found = super().subscription(id, **options)
        overtake, self.overtake = self.overtake, None
        if overtake:
            overtake()
        return found


@pytest.mark.parametrize("later", [-MINUTE, 0 * MINUTE, MINUTE])
def test_what_was_bought_while_stripe_was_looked_at_is_added_to(it: Shop, later: timedelta) -> None:
    bought = it.subscribe(seats=2)
    overtaken = Overtaken(it.stripe.api_key, it.stripe.url)
    overtaken.overtake = lambda: it.buy(seats=1)
    services = it.api.services._replace(stripe=overtaken)
    purchase = Purchase("acme", "cloud_pos", None, 2, "month", SUCCESS, BACK)
    assert start_checkout(services, context(NOON + later), purchase).seats == 5
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}
    assert it.seats() == 5


def test_one_request_sent_many_times_at_once_buys_once(it: Shop) -> None:
    bought = it.subscribe(seats=1)
    with ThreadPoolExecutor(5) as pool:
        got = list(pool.map(lambda _: it.buy(seats=2, key="k-1"), range(10)))
    assert {one.status for one in got} == {201}
    assert {one.body["seats"] for one in got} == {3}
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 3}


# Held to a version of the account


def test_a_quantity_is_raised_on_the_version_that_was_read_and_on_no_other(it: Shop) -> None:
    bought = it.subscribe(seats=2)
    version = it.version()
    got = it.buy(seats=3, version=version - 1)
    assert (got.status, got.code, got.body["version"]) == (412, "version_mismatch", version)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 2}
    assert it.buy(seats=3, version=version).body["changed"] == "quantity"
    assert it.buy(seats=3, version=version).status == 412
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}


def test_a_purchase_that_is_repeated_is_answered_though_it_moved_the_account(it: Shop) -> None:
    bought = it.subscribe(seats=2)
    version = it.version()
    first, again = (it.buy(seats=3, key="k-1", version=version) for _ in range(2))
    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert it.buy(seats=3, key="k-2", version=version).status == 412
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 5}


def test_what_stripe_is_asked_on_the_way_is_no_change_of_the_account(it: Shop) -> None:
    bought = it.subscribe(seats=2)
    (item,) = it.stripe.get(f"/v1/subscriptions/{bought['id']}")["items"]["data"]
    it.stripe.post(f"{ITEMS}/{item['id']}", {"quantity": 4})  # at Stripe, and not heard of yet
    got = it.buy(seats=3, version=it.version())
    assert (got.status, got.body["seats"]) == (201, 7)


def test_a_session_at_checkout_is_begun_on_the_version_that_was_read_and_on_no_other(
    it: Shop,
) -> None:
    it.api.redeem()
    assert it.buy(version=0).status == 412
    assert it.asked("POST", CHECKOUTS) == []
    assert it.buy(version=1).status == 201


@pytest.mark.parametrize("seats", [1, 2])
def test_two_purchases_on_one_version_are_one(it: Shop, seats: int) -> None:
    bought = it.subscribe(seats=2)
    version = it.version()
    overtaken = Overtaken(it.stripe.api_key, it.stripe.url)
    overtaken.overtake = lambda: it.buy(seats=seats, version=version)
    services = it.api.services._replace(stripe=overtaken)
    purchase = Purchase("acme", "cloud_pos", None, 2, "month", SUCCESS, BACK)
    with pytest.raises(VersionMismatch):
        start_checkout(services, context(NOON), purchase, expected_version=version)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 2 + seats}


class LaggingBook(Book):
    """A ledger whose past is asked of a server that has not got what was written last."""

    def facts_since(self, stream: Stream[Any], id: str, version: int) -> list[Fact]:
        return super().facts_since(stream, id, version)[:0]


def test_what_happened_since_is_not_taken_for_nothing_when_a_server_lags(it: Shop) -> None:
    bought = it.subscribe(seats=2)
    version = it.version()
    overtaken = Overtaken(it.stripe.api_key, it.stripe.url)
    overtaken.overtake = lambda: it.api.sit("till-1")
    book = LaggingBook("memory:")
    book.store = it.api.services.book.store
    services = it.api.services._replace(stripe=overtaken, book=book)
    purchase = Purchase("acme", "cloud_pos", None, 2, "month", SUCCESS, BACK)
    with pytest.raises(VersionMismatch):
        start_checkout(services, context(NOON), purchase, expected_version=version)
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 2}


# What is refused


def test_a_card_that_is_refused_changes_nothing_and_can_be_mended(it: Shop) -> None:
    bought = it.subscribe()
    it.stripe.advance(days=1)
    it.stripe.fail_payments(bought["customer"])
    got = it.buy(key="k-1")
    assert (got.status, got.code) == (402, "payment_failed")
    assert "card_declined" in got.body["detail"]
    assert it.quantities(bought["id"]) == {"cloud_pos_month": 2}
    assert it.seats() == 2
    it.stripe.mend_payments(bought["customer"])
    assert it.buy(key="k-1").body["seats"] == 4
    outcomes = [fact.outcome for fact in it.facts(StripeSeatsAnswered)]  # type: ignore[attr-defined]
    assert outcomes == ["refused", "done"]


def test_a_subscription_that_is_past_due_is_not_added_to(it: Shop) -> None:
    bought = it.subscribe()
    it.stripe.fail_payments(bought["customer"])
    it.stripe.advance(days=32)
    it.api.clock.forward(days=32)
    it.deliver()
    got = it.buy()
    assert (got.status, got.code) == (409, "subscription_not_changeable")
    assert f"{bought['id'][1:]} is past_due" in got.body["detail"]
    assert it.facts(StripeSeatsAsked) == []


def test_a_subscription_whose_collection_is_paused_is_not_added_to(it: Shop) -> None:
    bought = it.subscribe()
    paused = {"pause_collection": {"behavior": "void"}}
    it.stripe.post(f"/v1/subscriptions/{bought['id']}", paused)
    got = it.buy()
    assert (got.status, got.code) == (409, "subscription_not_changeable")
    assert "is paused" in got.body["detail"]


BILLED = """
[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "user"
seats = "billed"
included = 3
prices = [
  { lookup_key = "base_month", interval = "month", base = true },
  { lookup_key = "seat_month", interval = "month" },
]
"""
BILLED_PRICES = {"base_month": ("month", 4900), "seat_month": ("month", 800)}


@pytest.mark.parametrize(
    ("seats", "bought"),
    [
        (2, {"base_month": 1}),
        (3, {"base_month": 1}),
        (5, {"base_month": 1, "seat_month": 2}),
    ],
)
def test_billed_seats_are_a_base_plan_and_what_goes_beyond(
    seats: int, bought: dict[str, int]
) -> None:
    with shop(parse(BILLED), BILLED_PRICES) as it:
        assert it.quantities(it.subscribe(seats=seats)["id"]) == bought


def test_billed_seats_are_not_bought_beforehand() -> None:
    with shop(parse(BILLED), BILLED_PRICES) as it:
        it.subscribe(seats=5)
        got = it.buy(seats=1)
        assert (got.status, got.code) == (409, "seats_follow_holders")


@pytest.mark.parametrize(
    ("prices", "pointer", "told"),
    [
        ("", "/product", "the catalog has no price for it with an `interval`"),
        ('prices = [{ price = "price_1" }]', "/product", "no price for it with an `interval`"),
        (
            'prices = [{ price = "price_1", interval = "year" }]',
            "/interval",
            "must be year: the catalog has no other price for it",
        ),
        (
            'prices = [{ lookup_key = "gone", interval = "month" }]',
            "/product",
            "Stripe has no active price with the lookup key gone",
        ),
        (
            'prices = [{ stripe_product = "prod_gone", interval = "month" }]',
            "/product",
            "Stripe has no active price of prod_gone, paid every month",
        ),
        (
            'prices = [{ price = "price_1", interval = "month", seats = 5 }]',
            "/seats",
            "must be a multiple of 5",
        ),
    ],
)
def test_what_is_not_for_sale_is_told_with_the_mend(prices: str, pointer: str, told: str) -> None:
    head = BILLED.partition('seats = "billed"')[0]
    with shop(parse(head + prices)) as it:
        got = it.buy()
        assert (got.status, got.pointers) == (422, [pointer])
        assert told in got.body["detail"]


def test_a_price_is_known_by_its_product_too() -> None:
    head = BILLED.partition('seats = "billed"')[0]
    yearly = 'prices = [{ stripe_product = "prod_ours", interval = "year" }]'
    with shop(parse(head + yearly)) as it:
        it.stripe.post("/v1/products", {"id": "prod_ours", "name": "Ours"})
        for interval, amount in (("year", 15000), ("month", 1500)):
            key = f"ours_{interval}"
            it.stripe.post("/v1/prices", price("prod_ours", key, interval, amount))
        bought = it.subscribe(interval="year")
        assert it.quantities(bought["id"]) == {"ours_year": 2}
        assert it.seats() == 2


@pytest.mark.parametrize("field", ["success_url", "cancel_url"])
def test_customers_are_led_back_only_to_addresses_on_the_list(it: Shop, field: str) -> None:
    changes: dict[str, Any] = {field: "https://elsewhere.example/"}
    got = it.buy(**changes)
    assert (got.status, got.pointers) == (422, [f"/{field}"])
    assert it.stripe.requests == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"product": "nothing"}, "/product"),
        ({"tier": "growth"}, "/tier"),
        ({"product": "integrations"}, "/tier"),
        ({"seats": 0}, "/seats"),
        ({"seats": 100_001}, "/seats"),
        ({"interval": "week"}, "/interval"),
        ({"discount": 100}, "/discount"),
    ],
)
def test_what_does_not_fit_is_refused_before_stripe_is_asked(
    it: Shop, changes: dict[str, Any], pointer: str
) -> None:
    got = it.buy(**changes)
    assert (got.status, got.pointers) == (422, [pointer])
    assert it.stripe.requests == []


def test_without_a_key_for_stripe_nothing_is_bought() -> None:
    got = Shop(memory_api(), None).buy()  # type: ignore[arg-type]
    assert (got.status, got.code) == (503, "stripe_not_configured")


# While a Checkout is open


def status_of(it: Shop, got: Any) -> str:
    status: str = it.stripe.get(f"{CHECKOUTS}/{session_of(got)}")["status"]
    return status


def begin_elsewhere(
    it: Shop, lookup_key: str, *, metadata: bool = True, quantity: int = 1, deliver: bool = True
) -> Any:
    """Begin a subscription as in Stripe's dashboard."""
    customer = it.stripe.post("/v1/customers", {})["id"]
    (price,) = it.stripe.get("/v1/prices", {"lookup_keys": [lookup_key]})["data"]
    asked: dict[str, Any] = {
        "customer": customer,
        "items": [{"price": price["id"], "quantity": quantity}],
    }
    asked |= {"metadata": {"keyfold_account": "acme"}} if metadata else {}
    begun = it.stripe.post("/v1/subscriptions", asked)
    if deliver:
        it.deliver()
    return begun


@pytest.mark.parametrize("key", [None, "k-1"])
@pytest.mark.parametrize(
    "asked", [{}, {"product": "integrations", "tier": "growth"}], ids=["product", "tier"]
)
@pytest.mark.parametrize("linked", [False, True], ids=["named", "linked"])
def test_who_got_a_subscription_while_a_checkout_was_open_is_added_to(
    it: Shop, key: str | None, asked: dict[str, Any], *, linked: bool
) -> None:
    first = it.buy(key=key, **asked)
    bought = "integrations_growth_month" if asked else "cloud_pos_month"
    begun = begin_elsewhere(it, bought, metadata=not linked)
    if linked:
        body = {"customer": begun["customer"]}
        assert it.api.put("portal", "/v1/accounts/acme/stripe-customer", body).status == 200
    again = it.buy(key=key, **asked)
    assert (again.body["changed"], again.body["seats"]) == ("quantity", 3)
    assert again.body["stripe_subscription"] == begun["id"]
    assert status_of(it, first) == "expired"
    assert it.quantities(begun["id"]) == {bought: 3}


def test_a_checkout_that_is_open_is_answered_again_though_it_moved_the_account(it: Shop) -> None:
    version = it.version()
    first = it.buy(key="k-1", version=version)
    again = it.buy(key="k-1", version=version)
    assert (again.status, again.body) == (201, first.body)
    assert it.buy(key="k-2", version=version).code == "version_mismatch"


def test_another_tier_is_added_to_what_began_while_its_checkout_was_open(it: Shop) -> None:
    first = it.buy(product="integrations", tier="growth")
    begun = begin_elsewhere(it, "integrations_starter_month")
    again = it.buy(product="integrations", tier="growth")
    assert (again.body["changed"], again.body["stripe_subscription"]) == ("item", begun["id"])
    assert status_of(it, first) == "expired"


def test_an_open_checkout_sells_no_other_interval_than_what_there_is_by_now(it: Shop) -> None:
    first = it.buy()
    begun = begin_elsewhere(it, "cloud_pos_year")
    again = it.buy()
    assert (again.status, again.pointers) == (422, ["/interval"])
    assert begun["id"] in again.body["detail"]
    assert status_of(it, first) == "expired"


@pytest.mark.parametrize("seats", [5, 4])
def test_an_open_checkout_sells_no_second_base_plan(seats: int) -> None:
    with shop(parse(BILLED), BILLED_PRICES) as it:
        first = it.buy(seats=5)
        begin_elsewhere(it, next(iter(BILLED_PRICES)))
        again = it.buy(seats=seats)
        assert (again.status, again.code) == (409, "seats_follow_holders")
        assert status_of(it, first) == "expired"


def test_an_open_checkout_that_is_paid_before_it_can_be_expired_is_added_to_with_the_rest(
    it: Shop,
) -> None:
    first = it.buy()
    it.stripe.pay(session_of(first))  # and nothing is delivered
    begun = begin_elsewhere(it, "cloud_pos_month", deliver=False)
    it.stripe.post(f"/v1/subscriptions/{begun['id']}", {"metadata": {"keyfold_account": "acme"}})
    assert it.buy(seats=1).body["changed"] == "quantity"
    it.deliver()
    assert it.seats() == 2 + 1 + 1


def test_an_open_checkout_is_no_way_round_what_may_have_the_product(it: Shop) -> None:
    first = it.buy()
    bought = begin_elsewhere(it, "cloud_pos_month")
    item = bought["items"]["data"][0]["id"]
    product = it.stripe.post("/v1/products", {"name": "Unknown"})["id"]
    other = it.stripe.post("/v1/prices", price(product, "unknown", "month", 900))["id"]
    it.stripe.post(f"{ITEMS}/{item}", {"price": other})
    it.deliver()
    again = it.buy()
    assert (again.status, again.code) == (409, "subscription_not_changeable")
    assert status_of(it, first) == "expired"


def test_an_open_checkout_of_another_customer_than_the_accounts_is_not_handed_out(
    it: Shop,
) -> None:
    first = it.buy()
    customer = it.stripe.post("/v1/customers", {})["id"]
    it.api.put("portal", "/v1/accounts/acme/stripe-customer", {"customer": customer})
    again = it.buy()
    assert status_of(it, first) == "expired"
    assert it.stripe.get(f"{CHECKOUTS}/{session_of(again)}")["customer"] == customer


def test_what_is_paid_for_by_several_subscriptions_is_listed_and_counted(it: Shop) -> None:
    def doubled() -> tuple[list[Any], bytes]:
        name = b'keyfold_stripe_subscriptions_to_look_at{why="doubled"} '
        count = it.api.get("admin", "/metrics").raw.partition(name)[2].partition(b"\n")[0]
        return it.api.get("admin", "/v1/overview").body["doubled"], count

    first = it.buy()
    begun = begin_elsewhere(it, "cloud_pos_month")
    begin_elsewhere(it, "integrations_growth_month")
    assert doubled() == ([], b"0.0")
    bought = it.pay(first)["subscription"]  # in the open tab
    listed = [
        {
            "account": "acme",
            "product": "cloud_pos",
            "tier": None,
            "stripe_subscriptions": sorted([begun["id"], bought]),
        }
    ]
    assert doubled() == (listed, b"1.0")
    it.stripe.delete(f"/v1/subscriptions/{begun['id']}")
    it.deliver()
    assert doubled() == ([], b"0.0")
