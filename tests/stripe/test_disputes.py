"""Refunds and disputes of ordinary invoices, which name no invoice, reach the account that paid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from commands.gateways.stripe import StripeGateway
from commands.link_customer import link_customer
from commands.ports import Ports
from commands.record_stripe_event import record_event
from ledger.events import Stamp
from ledger.streams.stripe import StripeChargeReported
from ledger.stripe_objects import read_event
from tests.stripe.histories import Life, Step
from tests.stripe_server import StripeServer
from tests.worlds import ports, recorded


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def world(stripe: StripeServer) -> Ports:
    return ports()._replace(stripe=StripeGateway(stripe.api_key, stripe.url))


def stamp(stripe: StripeServer) -> Stamp:
    return Stamp(datetime.fromtimestamp(stripe.clock, UTC), "operator", "req_1")


def hear(world: Ports, stripe: StripeServer, events: list[Any]) -> list[str]:
    """Record events; return what became of those about refunds and disputes."""
    found: list[str] = []
    for one in events:
        outcome = record_event(world, stamp(stripe), read_event(one), "webhook").outcome
        if one["type"].startswith(("charge.dispute", "charge.refunded")):
            found.append(outcome)
    return found


def told_of(world: Ports, account: str = "acme") -> list[str]:
    return [
        event.fact.kind
        for event in recorded(world)
        if isinstance(event.fact, StripeChargeReported) and event.stream == f"account-{account}"
    ]


@pytest.fixture
def charge(stripe: StripeServer) -> str:
    """Live through a first payment; return its charge."""
    Life(stripe).live([Step("subscribe", number=2), Step("wait", days=1)])
    paid = [one for one in stripe.events if one["type"] == "charge.succeeded"]
    return str(paid[-1]["data"]["object"]["id"])


def test_a_dispute_of_an_invoice_is_on_the_accounts_record(
    stripe: StripeServer, world: Ports, charge: str
) -> None:
    dispute = stripe.dispute(charge)
    assert (hear(world, stripe, stripe.events), told_of(world)) == (["reported"], ["dispute"])
    calls, heard = len(stripe.requests), len(stripe.events)
    stripe.close_dispute(dispute["id"], won=True)
    assert hear(world, stripe, stripe.events[heard:]) == ["reported"]
    assert (told_of(world), len(stripe.requests)) == (["dispute"] * 2, calls)


def test_whose_a_dispute_is_follows_from_the_subscription_also_when_it_comes_first(
    stripe: StripeServer, world: Ports, charge: str
) -> None:
    stripe.dispute(charge)
    assert hear(world, stripe, stripe.events[::-1]) == ["waiting"]
    assert told_of(world) == ["dispute"]


def test_a_refund_of_a_shared_customer_is_on_the_record_of_the_subscriptions_account(
    stripe: StripeServer, world: Ports, charge: str
) -> None:
    customer = stripe.get(f"/v1/charges/{charge}")["customer"]
    link_customer(world, stamp(stripe), "beta", customer)
    stripe.post("/v1/refunds", {"charge": charge})
    assert hear(world, stripe, stripe.events) == ["reported"]
    assert (told_of(world), told_of(world, "beta")) == (["charge"], [])


@pytest.mark.parametrize("fault", ["down", "500", "429"])
def test_while_stripe_does_not_answer_it_waits_until_the_next_word_of_it(
    stripe: StripeServer, world: Ports, charge: str, fault: str
) -> None:
    dispute = stripe.dispute(charge)
    stripe.fail(fault)
    heard = len(stripe.events)
    assert (hear(world, stripe, stripe.events), told_of(world)) == (["waiting"], [])
    stripe.mend()
    stripe.close_dispute(dispute["id"], won=False)
    assert hear(world, stripe, stripe.events[heard:]) == ["reported"]
    assert told_of(world) == ["dispute"] * 2


def test_a_payment_without_an_invoice_waits(stripe: StripeServer, world: Ports) -> None:
    of = {"id": "du_1", "object": "dispute", "charge": "ch_1", "payment_intent": "pi_1"}
    payload = {
        "id": "evt_1", "object": "event", "type": "charge.dispute.created", "livemode": False,
        "created": stripe.clock, "data": {"object": of},
    }  # fmt: skip
    assert hear(world, stripe, [payload]) == ["waiting"]
