"""Refunds and disputes of ordinary invoices, which name no invoice, reach the account that paid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from commands.gateways.stripe import StripeGateway
from commands.link_customer import link_customer
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.events import RequestContext
from ledger.stripe.facts import StripeChargeReported
from ledger.stripe.objects import read_event
from tests.stripe.histories import Life, Step
from tests.stripe.payloads import TAKING, Json, deliver, event, invoice, subscription
from tests.stripe.test_overtaken import OvertakenBook
from tests.stripe_server import StripeServer
from tests.web.api import Api, memory_api
from tests.worlds import DAY, MINUTE, NOON, recorded, services
from tests.worlds import context as at


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def world(stripe: StripeServer) -> Services:
    return services()._replace(stripe=StripeGateway(stripe.api_key, stripe.url))


def context(stripe: StripeServer) -> RequestContext:
    return RequestContext(datetime.fromtimestamp(stripe.clock, UTC), "operator", "req_1")


def hear(world: Services, stripe: StripeServer, events: list[Any]) -> list[str]:
    """Record events; return what became of those about refunds and disputes."""
    found: list[str] = []
    for one in events:
        outcome = record_event(world, context(stripe), read_event(one), "webhook").outcome
        if one["type"].startswith(("charge.dispute", "charge.refunded")):
            found.append(outcome)
    return found


def told_of(world: Services, account: str = "acme") -> list[str]:
    return [
        event.fact.kind
        for event in recorded(world)
        if isinstance(event.fact, StripeChargeReported) and event.stream == f"account-{account}"
    ]


@pytest.fixture
def charge(stripe: StripeServer) -> str:
    """Live through a payment, of which no `invoice_payment.paid` comes; return its charge."""
    Life(stripe).live([Step("subscribe", number=2), Step("wait", days=1)])
    stripe.events[:] = [one for one in stripe.events if one["type"] != "invoice_payment.paid"]
    paid = [one for one in stripe.events if one["type"] == "charge.succeeded"]
    return str(paid[-1]["data"]["object"]["id"])


def test_a_dispute_of_an_invoice_is_on_the_accounts_record(
    stripe: StripeServer, world: Services, charge: str
) -> None:
    dispute = stripe.dispute(charge)
    assert (hear(world, stripe, stripe.events), told_of(world)) == (["reported"], ["dispute"])
    calls, heard = len(stripe.requests), len(stripe.events)
    stripe.close_dispute(dispute["id"], won=True)
    assert hear(world, stripe, stripe.events[heard:]) == ["reported"]
    assert (told_of(world), len(stripe.requests)) == (["dispute"] * 2, calls)


def test_whose_a_dispute_is_follows_from_the_subscription_also_when_it_comes_first(
    stripe: StripeServer, world: Services, charge: str
) -> None:
    stripe.dispute(charge)
    assert hear(world, stripe, stripe.events[::-1]) == ["waiting"]
    assert told_of(world) == ["dispute"]


def test_a_refund_of_a_shared_customer_is_on_the_record_of_the_subscriptions_account(
    stripe: StripeServer, world: Services, charge: str
) -> None:
    customer = stripe.get(f"/v1/charges/{charge}")["customer"]
    link_customer(world, context(stripe), "beta", customer)
    stripe.post("/v1/refunds", {"charge": charge})
    assert hear(world, stripe, stripe.events) == ["reported"]
    assert (told_of(world), told_of(world, "beta")) == (["charge"], [])


@pytest.mark.parametrize("fault", ["down", "500", "429"])
def test_while_stripe_does_not_answer_it_waits_until_the_next_word_of_it(
    stripe: StripeServer, world: Services, charge: str, fault: str
) -> None:
    dispute = stripe.dispute(charge)
    stripe.fail(fault)
    heard = len(stripe.events)
    assert (hear(world, stripe, stripe.events), told_of(world)) == (["waiting"], [])
    stripe.mend()
    stripe.close_dispute(dispute["id"], won=False)
    assert hear(world, stripe, stripe.events[heard:]) == ["reported"]
    assert told_of(world) == ["dispute"] * 2


def test_a_payment_without_an_invoice_waits(stripe: StripeServer, world: Services) -> None:
    of = {"id": "du_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}
    payload = {
        "id": "evt_1", "object": "event", "type": "charge.dispute.created", "livemode": False,
        "created": stripe.clock, "data": {"object": of},
    }  # fmt: skip
    assert hear(world, stripe, [payload]) == ["waiting"]


# By deliveries alone, without a key


def paid_by(invoice: str = "in_1", payment: str = "pi_1") -> Json:
    of = {
        "id": "inpay_1", "object": "invoice_payment", "invoice": invoice, "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": payment},
    }  # fmt: skip
    return event("invoice_payment.paid", of, at=NOON + MINUTE)


def disputed() -> Json:
    of = {"id": "du_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}
    return event("charge.dispute.created", of, at=NOON + DAY)


TOLD = {
    "created": event("customer.subscription.created", subscription()),
    "paid": event("invoice.paid", invoice(), at=NOON + MINUTE),
    "by": paid_by(),
    "disputed": disputed(),
}


@pytest.mark.parametrize("order", [*itertools.permutations(TOLD)], ids="-".join)
def test_an_invoices_payment_tells_whose_a_dispute_is_in_each_order(
    api: Api, order: tuple[str, ...]
) -> None:
    for name in order:
        assert deliver(api, TOLD[name]).status == 200
    assert told_of(api.services) == ["dispute"]
    assert deliver(api, {**disputed(), "id": "evt_closed"}).body["outcome"] == "reported"


def test_an_invoice_that_is_recorded_at_the_same_time_gets_its_payment() -> None:
    for early, late in (("paid", "by"), ("by", "paid")):
        api = memory_api(stripe=TAKING)
        deliver(api, TOLD["created"])
        book = OvertakenBook("memory:")
        book.store = api.services.book.store
        world = api.services._replace(book=book)

        def go(name: str, world: Services = api.services) -> None:
            record_event(world, at(NOON + DAY), read_event(TOLD[name]), "webhook")

        book.between = partial(go, early)
        go(late, world)
        go("disputed")
        assert told_of(api.services) == ["dispute"]


def test_a_payment_of_no_invoice_is_ignored(api: Api) -> None:
    payload = paid_by()
    payload["data"]["object"]["payment"] = {"type": "payment_record", "payment_record": "pr_1"}
    assert deliver(api, payload).body["outcome"] == "ignored"
