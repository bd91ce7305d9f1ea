"""Events on their way: signed, doubled, lost, late, and as older versions of the API have them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest
import stripe as sdk

from tests.stripe_server import StripeServer, in_disorder
from tests.stripe_server.shop import Shop, subscribe

SECRET = "whsec_of_the_test"


class Inbox(NamedTuple):
    """Somewhere to deliver to: what came, as (body, signature)."""

    url: str
    came: list[tuple[bytes, str]]
    statuses: list[int]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Take deliveries, and answer them with `statuses` in turn, then with 200."""
    came: list[tuple[bytes, str]] = []
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((body, self.headers["Stripe-Signature"]))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield Inbox(f"http://127.0.0.1:{server.server_address[1]}/hook", came, statuses)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_delivery_is_signed_as_stripe_signs(
    stripe: StripeServer, shop: Shop, inbox: Inbox
) -> None:
    done = stripe.deliver(inbox.url, SECRET)
    assert [one.status for one in done] == [200] * len(stripe.events)
    for (body, signature), event in zip(inbox.came, stripe.events, strict=True):
        assert sdk.WebhookSignature.verify_header(body.decode(), signature, SECRET)
        assert f"t={stripe.clock}," in signature
        assert json.loads(body) == event
    assert stripe.deliver(inbox.url, SECRET) == []


def test_each_endpoint_gets_the_types_it_asked_for_in_its_version(
    stripe: StripeServer, shop: Shop, inbox: Inbox
) -> None:
    client = stripe.client()
    old = client.v1.webhook_endpoints.create(
        {
            "url": inbox.url,
            "enabled_events": ["customer.subscription.created"],
            "api_version": "2020-08-27",
        }
    )
    new = client.v1.webhook_endpoints.create({"url": inbox.url, "enabled_events": ["*"]})
    assert "secret" not in client.v1.webhook_endpoints.retrieve(old.id)
    subscribe(stripe, shop)
    made = [event for event in stripe.events if event["type"] == "customer.subscription.created"]
    stripe.deliver(events=made)
    assert [json.loads(body)["api_version"] for body, _ in inbox.came] == [
        "2020-08-27",
        "2026-10-28.endive",
    ]
    for (body, signature), endpoint in zip(inbox.came, (old, new), strict=True):
        assert endpoint.secret is not None
        assert sdk.WebhookSignature.verify_header(body.decode(), signature, endpoint.secret)


def test_what_was_not_answered_is_found_in_the_list(
    stripe: StripeServer, shop: Shop, inbox: Inbox
) -> None:
    inbox.statuses.append(500)
    stripe.deliver(inbox.url, SECRET)
    failed = stripe.get("/v1/events", {"delivery_success": False})
    assert [one["id"] for one in failed["data"]] == [stripe.events[0]["id"]]


def test_disorder_is_the_same_for_the_same_seed(stripe: StripeServer, shop: Shop) -> None:
    events = stripe.events
    bad = in_disorder(events, seed=5, shuffle=True, duplicate=0.5, drop=0.3)
    assert bad == in_disorder(events, seed=5, shuffle=True, duplicate=0.5, drop=0.3)
    assert bad != in_disorder(events, seed=6, shuffle=True, duplicate=0.5, drop=0.3)
    assert in_disorder(events) == events
    doubled = in_disorder(events, duplicate=1.0)
    assert len(doubled) == 2 * len(events)
    assert in_disorder(events, drop=1.0) == []
    late = in_disorder(events, delay=2, seed=1)
    assert sorted(one["id"] for one in late) == sorted(one["id"] for one in events)


def _sent(stripe: StripeServer, version: str, kind: str) -> dict[str, Any]:
    events = [event for event in stripe.events_as(version) if event["type"] == kind]
    assert events[-1]["api_version"] == version
    return dict(events[-1]["data"])


def test_periods_were_on_the_subscription_before_basil(stripe: StripeServer, shop: Shop) -> None:
    made = subscribe(stripe, shop)
    end = made["items"]["data"][0]["current_period_end"]
    kind = "customer.subscription.created"
    for version in ("2019-05-16", "2020-08-27", "2023-10-16", "2025-02-24.acacia"):
        old = _sent(stripe, version, kind)["object"]
        assert old["current_period_end"] == end
        assert all("current_period_end" not in item for item in old["items"]["data"])
    events = stripe.events_as("2020-08-27", mixed=True)
    both = next(one["data"]["object"] for one in events if one["type"] == kind)
    assert both["current_period_end"] == both["items"]["data"][0]["current_period_end"] == end
    assert both["billing_mode"] == made["billing_mode"]
    basil = _sent(stripe, "2025-03-31.basil", kind)["object"]
    assert "current_period_end" not in basil
    assert basil["items"]["data"][0]["current_period_end"] == end
    assert "price" not in _sent(stripe, "2019-05-16", kind)["object"]["items"]["data"][0]
    assert (
        _sent(stripe, "2019-05-16", kind)["object"]["items"]["data"][0]["plan"]["id"] == shop.base
    )
    stripe.advance(days=31)
    renewed = _sent(stripe, "2020-08-27", "customer.subscription.updated")
    assert renewed["previous_attributes"]["current_period_end"] == end
    assert renewed["object"]["current_period_start"] == end


def test_discounts_were_one_object_before_basil(stripe: StripeServer, shop: Shop) -> None:
    coupon = stripe.post("/v1/coupons", {"percent_off": 10, "duration": "forever"})["id"]
    subscribe(stripe, shop, discounts=[{"coupon": coupon}])
    kind = "customer.subscription.created"
    old = _sent(stripe, "2020-08-27", kind)["object"]
    assert old["discount"]["coupon"]["percent_off"] == 10
    assert "discounts" not in old
    acacia = _sent(stripe, "2025-02-24.acacia", kind)["object"]
    assert acacia["discounts"] == [acacia["discount"]["id"]]
    now = _sent(stripe, "2026-10-28.endive", kind)["object"]
    assert "discount" not in now
    assert now["discounts"] == acacia["discounts"]


def test_an_invoice_named_its_subscription_and_its_charge_before_basil(
    stripe: StripeServer, shop: Shop
) -> None:
    made = subscribe(stripe, shop)
    old = _sent(stripe, "2020-08-27", "invoice.paid")["object"]
    assert (old["subscription"], old["paid"]) == (made["id"], True)
    assert stripe.get(f"/v1/charges/{old['charge']}")["payment_intent"] == old["payment_intent"]
    line = old["lines"]["data"][1]
    assert line["price"]["id"] == line["plan"]["id"] == shop.seat
    assert line["subscription_item"] == made["items"]["data"][1]["id"]
    basil = _sent(stripe, "2025-08-27.basil", "invoice.paid")["object"]
    assert "charge" not in basil
    assert basil["parent"]["subscription_details"]["subscription"] == made["id"]
