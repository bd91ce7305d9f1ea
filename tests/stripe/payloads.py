"""What Stripe sends, in small: objects and events of the current shape, changed as a test likes.

    sub = subscription("sub_1", items=[item("cloud_pos_month", 3)])
    body = event("customer.subscription.updated", sub, at=NOON)
    deliver(api, body)

Whole and old shapes come from the stand-in server, which is held against the library's own types.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import stripe

from tests.web.api import Api, Got
from tests.worlds import DAY, NOON
from web.app.settings import StripeSettings

Json = dict[str, Any]

WEBHOOK_SECRET = "whsec_test_of_deliveries"
TEST_KEY = "sk_test_of_nobody"
TAKING = StripeSettings(webhook_secrets=(WEBHOOK_SECRET,))

_numbers = count(1)


def seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def item(
    lookup_key: str | None,
    quantity: int | None,
    *,
    id: str | None = None,
    price: str | None = None,
    begins: datetime = NOON,
    days: int = 30,
    **more: Any,
) -> Json:
    return {
        "id": id or f"si_{lookup_key or price}",
        "object": "subscription_item",
        "current_period_start": seconds(begins),
        "current_period_end": seconds(begins + timedelta(days=days)),
        "discounts": [],
        "metadata": {},
        "price": {
            "id": price or f"price_{lookup_key}",
            "object": "price",
            "currency": "eur",
            "lookup_key": lookup_key,
            "metadata": {},
            "product": f"prod_{lookup_key}",
            "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
            "unit_amount": 1500,
            "unit_amount_decimal": "1500",
        },
        "quantity": quantity,
        **more,
    }


def subscription(
    id: str = "sub_1",
    *,
    items: Sequence[Json] | None = None,
    account: str | None = "acme",
    began: datetime = NOON,
    **more: Any,
) -> Json:
    """Answer a subscription: Cloud POS with two seats unless other items are given."""
    given = [item("cloud_pos_month", 2, begins=began)] if items is None else list(items)
    return {
        "id": id,
        "object": "subscription",
        "billing_mode": {"type": "flexible"},
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "collection_method": "charge_automatically",
        "created": seconds(began),
        "currency": "eur",
        "customer": "cus_1",
        "discounts": [],
        "ended_at": None,
        "items": {"object": "list", "data": given, "has_more": False, "url": "/v1/…"},
        "latest_invoice": "in_1",
        "livemode": False,
        "metadata": {"keyfold_account": account} if account else {},
        "pause_collection": None,
        "schedule": None,
        "start_date": seconds(began),
        "status": "active",
        "trial_end": None,
        "trial_start": None,
        **more,
    }


def ended(of: Json, at: datetime) -> Json:
    return {**of, "status": "canceled", "canceled_at": seconds(at), "ended_at": seconds(at)}


def invoice(id: str = "in_1", *, status: str = "paid", total: int = 3000, **more: Any) -> Json:
    return {
        "id": id,
        "object": "invoice",
        "amount_due": total,
        "amount_paid": total if status == "paid" else 0,
        "amount_remaining": 0 if status == "paid" else total,
        "attempt_count": 1,
        "billing_reason": "subscription_cycle",
        "created": seconds(NOON),
        "currency": "eur",
        "customer": "cus_1",
        "lines": {"object": "list", "data": [], "has_more": False, "url": "/v1/…"},
        "livemode": False,
        "metadata": {},
        "number": "KF-0001",
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": "sub_1", "metadata": {}},
        },
        "period_end": seconds(NOON),
        "period_start": seconds(NOON - 30 * DAY),
        "status": status,
        "subtotal": total,
        "total": total,
        "total_discount_amounts": [],
        "total_taxes": [],
        **more,
    }


def event(
    type: str, object: Json, *, at: datetime = NOON, id: str | None = None, **more: Any
) -> Json:
    return {
        "id": id or f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": seconds(at),
        "data": {"object": object},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
        **more,
    }


def changed(of: Json, *, at: datetime = NOON, **more: Any) -> Json:
    return event("customer.subscription.updated", of, at=at, **more)


def signature(body: bytes, at: datetime, secret: str = WEBHOOK_SECRET) -> str:
    text = body.decode("utf-8", "surrogateescape")
    header: str = stripe.WebhookSignature.generate_signature_header(
        text, secret, timestamp=int(at.timestamp())
    )
    return header


def deliver(api: Api, payload: Json, *, secret: str = WEBHOOK_SECRET) -> Got:
    """Deliver an event as Stripe does, signed now."""
    body = json.dumps(payload).encode()
    return deliver_body(api, body, {"Stripe-Signature": signature(body, api.clock.now, secret)})


def deliver_body(api: Api, body: bytes, headers: dict[str, str]) -> Got:
    return api.ask(
        None,
        "POST",
        "/webhooks/stripe",
        headers=headers,
        data=body,
        content_type="application/json; charset=utf-8",
    )


def rows(api: Api, account: str = "acme", product: str = "cloud_pos", **query: str) -> list[Json]:
    """Answer the rows of one product in the Subscriptions view, ended ones too."""
    return panel(api, account, product, all="true", **query)["rows"]


def panel(api: Api, account: str = "acme", product: str = "cloud_pos", **query: str) -> Json:
    """Answer one product of the Subscriptions view."""
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    got = api.get("portal", f"/v1/accounts/{account}/subscriptions?{asked}")
    assert got.status == 200, got
    found: Json = next(one for one in got.body["products"] if one["product"] == product)
    return found
