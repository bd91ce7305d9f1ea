"""What was missed is found, recorded and told; with the real library, from the stand-in server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import (
    StripeKeyRefused,
    StripeNotConfigured,
    StripeUnavailable,
)
from commands.link_customer import link_customer
from commands.reconcile_stripe import Drift, reconcile_stripe
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.book import Change
from ledger.events import RequestContext
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_event import STRIPE_EVENT
from ledger.stripe.facts import StripeSubscriptionReported
from ledger.stripe.objects import read_event
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions
from tests.cli.program import Program
from tests.stripe.histories import Life, Step
from tests.stripe_server import StripeServer
from tests.worlds import recorded, services
from web.app.times import iso

SUBSCRIBE = Step("subscribe", number=2)


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def life(stripe: StripeServer) -> Life:
    return Life(stripe)


@pytest.fixture
def world(stripe: StripeServer) -> Services:
    return services()._replace(stripe=StripeGateway(stripe.api_key, stripe.url))


def context(stripe: StripeServer) -> RequestContext:
    return RequestContext(datetime.fromtimestamp(stripe.clock, UTC), "operator", "req_1")


def hear(world: Services, stripe: StripeServer, events: list[Any] | None = None) -> None:
    for one in stripe.events if events is None else events:
        record_event(world, context(stripe), read_event(one), "webhook")


def drift(
    world: Services, stripe: StripeServer, *known: str, dry_run: bool = False
) -> list[tuple[str, str | None, str]]:
    found: list[Drift] = list(
        reconcile_stripe(world, lambda: context(stripe), known, dry_run=dry_run)
    )
    return [(one.kind, one.account, one.what) for one in found]


def seats(world: Services, stripe: StripeServer, account: str = "acme") -> int:
    asked = account_at(world.book, account, Moment(context(stripe).now))
    return sum(one.seats for one in subscriptions(asked, world.catalog).products)


def reports(world: Services) -> list[str]:
    return [
        event.fact.source
        for event in recorded(world)
        if isinstance(event.fact, StripeSubscriptionReported)
    ]


def test_a_ledger_that_heard_everything_has_no_drift(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("quantity", number=4, days=1)])
    hear(world, stripe)
    head = world.book.head()
    assert (drift(world, stripe), world.book.head()) == ([], head)


def test_events_that_never_came_are_recorded_as_if_they_had(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("wait", days=1)])
    hear(world, stripe)
    life.live([Step("quantity", number=5, days=1)])
    before = world.book.head()
    told = drift(world, stripe, dry_run=True)
    assert ("event", None, "customer.subscription.updated") in told
    assert (world.book.head(), seats(world, stripe)) == (before, 2)
    told = drift(world, stripe)
    assert ("event", "acme", "customer.subscription.updated") in told
    assert seats(world, stripe) == 5
    assert "retrieved" not in reports(world)
    assert drift(world, stripe) == []


def test_what_was_missed_forty_days_ago_is_found_at_the_subscription(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    yearly = {"items": [{"price": life.prices[1], "quantity": 2}]}
    metadata = {"keyfold_account": "acme"}
    subscribed = stripe.post(
        "/v1/subscriptions", {"customer": life.customer, "metadata": metadata, **yearly}
    )
    hear(world, stripe)
    item = subscribed["items"]["data"][0]["id"]
    stripe.post(f"/v1/subscription_items/{item}", {"quantity": 5})
    stripe.advance(days=40)
    assert drift(world, stripe) == [("subscription", "acme", "items")]
    assert seats(world, stripe) == 5
    assert reports(world)[-1] == "retrieved"
    assert drift(world, stripe) == []


def test_seats_that_two_accounts_had_stay_with_the_first_though_nothing_changed_at_stripe(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("wait", days=1)])
    heard = services()
    hear(heard, stripe)
    for event in recorded(heard):  # as it was before subscriptions had streams of their own
        kind, _, id = event.stream.partition("-")
        if kind == ACCOUNT.kind:
            accounts = [world.book.load(ACCOUNT, name) for name in ("acme", "beta")]
            world.book.append(context(stripe), *(Change(one, [event.fact]) for one in accounts))
        if kind == STRIPE_EVENT.kind:
            received = world.book.load(STRIPE_EVENT, id)
            world.book.append(context(stripe), Change(received, [event.fact]))
    world = world._replace(stripe_holders=lambda _: ("acme", "beta"))
    head = world.book.head()
    told = [("subscription", "acme", "is beta's as well")]
    assert drift(world, stripe, dry_run=True) == told
    assert (world.book.head(), seats(world, stripe, "beta")) == (head, 2)
    assert drift(world, stripe) == told
    assert (seats(world, stripe), seats(world, stripe, "beta")) == (2, 0)
    assert drift(world, stripe) == []


def test_an_end_that_was_missed_is_true_from_when_it_came(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("wait", days=1)])
    hear(world, stripe)
    ended = stripe.clock
    life.live([Step("cancel", days=45)])
    told = drift(world, stripe)
    assert ("subscription", "acme", "status, ended at") in [
        (kind, account, ", ".join(one for one in what.split(", ") if one != "items"))
        for kind, account, what in told
    ]
    last = recorded(world)[-1]
    assert (last.occurred_at, last.recorded_at) == (
        datetime.fromtimestamp(ended, UTC),
        context(stripe).now,
    )


def test_a_subscription_of_nobody_waits_with_its_customer(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    price = life.prices[1]
    params = {"customer": life.customer, "items": [{"price": price, "quantity": 3}]}
    stripe.post("/v1/subscriptions", params)
    stripe.advance(days=40)
    assert drift(world, stripe) == [("subscription", None, "was not on record")]
    assert drift(world, stripe) == []
    link_customer(world, context(stripe), "acme", life.customer)
    assert seats(world, stripe) == 3
    assert drift(world, stripe) == []


def test_what_stripe_does_not_list_is_asked_for_and_told(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([])
    hear(world, stripe)
    told = drift(world, stripe, life.subscriptions[0], "sub_of_another_stripe_account")
    assert told == [("subscription", None, "Stripe knows nothing of it")]


def test_of_two_that_contradict_each_other_in_one_second_stripe_has_the_word(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("quantity", number=4), Step("quantity", number=3, days=1)])
    updates = [one for one in stripe.events if one["type"] == "customer.subscription.updated"]
    assert updates[0]["created"] == updates[1]["created"]
    calls = len(stripe.requests)
    hear(world, stripe, updates[1:])
    assert len(stripe.requests) == calls
    hear(world, stripe, updates[:1])
    assert [request.path for request in stripe.requests[calls:]] == [
        f"/v1/subscriptions/{life.subscriptions[0]}"
    ]
    assert reports(world)[-1] == "retrieved"
    assert seats(world, stripe) == 3


@pytest.mark.parametrize("fault", ["down", "error", "rate_limit", "cut"])
def test_a_contradiction_is_on_record_also_when_stripe_does_not_answer(
    stripe: StripeServer, life: Life, world: Services, fault: str
) -> None:
    life.live([Step("quantity", number=4), Step("quantity", number=3, days=1)])
    stripe.fail(FAULTS[fault])
    hear(world, stripe)
    assert "retrieved" not in reports(world)
    assert reports(world).count("customer.subscription.updated") == 2
    stripe.mend()
    drift(world, stripe)
    assert (seats(world, stripe), drift(world, stripe)) == (3, [])


FAULTS = {"down": "down", "error": "500", "rate_limit": "429", "cut": "cut"}


def test_a_contradiction_without_a_key_is_on_record(stripe: StripeServer, life: Life) -> None:
    world = services()
    life.live([Step("quantity", number=4), Step("quantity", number=3, days=1)])
    hear(world, stripe)
    assert reports(world).count("customer.subscription.updated") == 2


@pytest.mark.parametrize("fault", ["down", "500", "429", "cut"])
def test_when_stripe_does_not_answer_what_was_found_stays_and_the_next_run_goes_on(
    stripe: StripeServer, life: Life, world: Services, fault: str
) -> None:
    life.live([Step("wait", days=40)])
    stripe.fail(fault)
    with pytest.raises(StripeUnavailable):
        drift(world, stripe)
    stripe.mend()
    assert drift(world, stripe) != []
    assert seats(world, stripe) == 2


def test_a_key_that_stripe_refuses_is_named(stripe: StripeServer, world: Services) -> None:
    wrong = world._replace(stripe=StripeGateway("sk_test_wrong", stripe.url))
    with pytest.raises(StripeKeyRefused):
        drift(wrong, stripe)
    with pytest.raises(StripeNotConfigured):
        drift(services(), stripe)


def test_the_command_prints_what_was_missed_and_exits_with_1(
    stripe: StripeServer, life: Life, tmp_path: Any
) -> None:
    life.live([Step("wait", days=1)])
    keyfold = program(stripe, tmp_path)
    dry = keyfold.run("stripe", "reconcile", "--dry-run")
    assert dry.code == 1
    assert "nothing was recorded" in dry.err
    ran = keyfold.run("stripe", "reconcile")
    assert ran.code == 1
    assert life.subscriptions[0] in ran.out or "customer.subscription.created" in ran.out
    assert "recorded now" in ran.err
    again = keyfold.done("stripe", "reconcile")
    assert again.out == "the ledger is as Stripe has it\n"
    assert keyfold.json("subscriptions", "acme")["products"][0]["seats"] == 2
    stripe.fail("down")
    down = keyfold.run("stripe", "reconcile")
    assert (down.code, down.err.split(":")[0]) == (1, "stripe_unavailable")


def test_a_discount_that_was_missed_is_found_once(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("wait", days=1)])
    hear(world, stripe)
    (sub,) = stripe.get("/v1/subscriptions")["data"]
    coupon = stripe.post("/v1/coupons", {"percent_off": 50, "duration": "forever"})
    stripe.post(f"/v1/subscriptions/{sub['id']}", {"discounts": [{"coupon": coupon["id"]}]})
    stripe.events.clear()
    assert ("subscription", "acme", "discounts") in drift(world, stripe)
    assert drift(world, stripe) == []


def test_terms_that_were_not_kept_are_found_once(
    stripe: StripeServer, life: Life, world: Services
) -> None:
    life.live([Step("wait", days=1)])
    heard = deepcopy(list(stripe.events))
    for one in heard:
        if one["type"].startswith("customer.subscription."):
            for part in one["data"]["object"]["items"]["data"]:
                part["price"] = part["price"]["id"]
                part.pop("plan", None)
    hear(world, stripe, heard)
    assert [kind for kind, _, _ in drift(world, stripe)] == ["subscription"]
    assert drift(world, stripe) == []


PROGRAM_FAULTS = {"500": "stripe_unavailable", "wrong_key": "stripe_not_configured"}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("fault", PROGRAM_FAULTS)
def test_the_command_prints_what_it_recorded_before_stripe_failed(
    stripe: StripeServer, life: Life, tmp_path: Any, fault: str, as_json: bool
) -> None:
    life.live([Step("wait", days=1)])
    keyfold = program(stripe, tmp_path)
    stripe.fail(fault, path="/v1/subscriptions")
    arguments = ["stripe", "reconcile", *(["--json"] if as_json else [])]
    failed = keyfold.run(*arguments)
    assert (failed.code, failed.err.split(":")[0]) == (1, PROGRAM_FAULTS[fault])
    assert life.subscriptions[0] in failed.out or "customer.subscription.created" in failed.out
    if as_json:
        told = json.loads(failed.out)
        assert (told["dry_run"], told["complete"]) == (False, False)
        assert {one["kind"] for one in told["drift"]} == {"event"}
    again = keyfold.run(*arguments)
    assert "as Stripe has it" not in again.out
    stripe.mend()
    assert keyfold.done("stripe", "reconcile").out == "the ledger is as Stripe has it\n"


def program(stripe: StripeServer, tmp_path: Any) -> Program:
    clock = tmp_path / "clock"
    clock.write_text(iso(context(stripe).now))
    keyfold = Program(
        tmp_path,
        {
            "KEYFOLD_TEST_CLOCK": str(clock),
            "STRIPE_API_KEY": stripe.api_key,
            "STRIPE_API_BASE": stripe.url,
        },
    )
    keyfold.done("db", "upgrade")
    return keyfold


def test_an_invoice_of_which_the_payment_was_missed_for_forty_days_is_found_once(
    stripe: StripeServer, life: Life, world: Services, tmp_path: Any
) -> None:
    life.live([Step("wait", days=1)])
    paid = [one for one in stripe.events if one["type"].startswith("invoice.pa")]
    dropped = {one["id"] for one in paid}
    hear(world, stripe, [one for one in stripe.events if one["id"] not in dropped])
    (invoice,) = world.book.load(ACCOUNT, "acme").state.stripe.invoices.values()
    assert invoice.latest.status == "open"
    stripe.advance(days=40)
    hear(world, stripe, [one for one in stripe.events if one["id"] not in dropped])
    stripe.events.clear()
    open_invoices = [("acme", invoice.latest.invoice)]

    def found(*, dry_run: bool = False) -> list[tuple[str, str | None, str]]:
        told = reconcile_stripe(
            world, lambda: context(stripe), (), open_invoices=open_invoices, dry_run=dry_run
        )
        return [(one.kind, one.account, one.what) for one in told if one.kind == "invoice"]

    status = ("invoice", "acme", "status, amount paid, amount remaining")
    head = world.book.head()
    assert (found(dry_run=True), world.book.head()) == ([status], head)
    assert found() == [status]
    known = world.book.load(ACCOUNT, "acme").state.stripe.invoices[invoice.latest.invoice]
    assert (known.latest.status, known.latest.source) == ("paid", "retrieved")
    assert found() == []


def test_the_command_asks_for_invoices_that_are_open_on_record(
    stripe: StripeServer, life: Life, tmp_path: Any
) -> None:
    life.live([Step("wait", days=1)])
    dropped = {one["id"] for one in stripe.events if one["type"].startswith("invoice.pa")}
    kept = tmp_path / "events.json"
    kept.write_text(json.dumps([one for one in stripe.events if one["id"] not in dropped]))
    keyfold = program(stripe, tmp_path)
    keyfold.done("stripe", "import", str(kept))
    stripe.events.clear()
    first = keyfold.run("stripe", "reconcile")
    assert "status, amount paid, amount remaining" in first.out
    assert keyfold.done("stripe", "reconcile").out == "the ledger is as Stripe has it\n"
    asked = [one for one in stripe.requests if one.path.startswith("/v1/invoices/")]
    assert len(asked) == 1  # and no more: it is paid on record now
