"""Payment methods and payment intents: Stripe's test cards by name, and what each of them does.

Source: https://docs.stripe.com/testing
"""

from __future__ import annotations

from typing import Any

from tests.stripe_server import checkout
from tests.stripe_server.errors import Json, declined
from tests.stripe_server.payments import attempt, new_intent
from tests.stripe_server.refunds import open_dispute
from tests.stripe_server.world import World, copied


def routes(route: Any, retrieve: Any) -> list[Any]:
    """Return the calls of this module."""
    methods, intents = "/v1/payment_methods", "/v1/payment_intents"
    return [
        route("POST", methods, "payment_method_create", create_method),
        route("GET", f"{methods}/*", "payment_method_retrieve", retrieve("payment_method")),
        route("POST", f"{methods}/*/attach", "payment_method_attach", attach),
        route("POST", intents, "payment_intent_create", create_intent),
        route("GET", f"{intents}/*", "payment_intent_retrieve", retrieve("payment_intent")),
        route("POST", f"{intents}/*/confirm", "payment_intent_confirm", confirm),
        # What Checkout's own page calls; Stripe's CLI does it too, no SDK knows it.
        route("GET", "/v1/payment_pages/*", "", page_of_session),
        route("POST", "/v1/payment_pages/*/confirm", "", confirm_page),
    ]


def fails(method: str | None) -> bool:
    """Say whether Stripe's test card of that name is refused."""
    return method is not None and ("Fail" in method or "Declined" in method)


def create_method(world: World, params: Json) -> Json:
    """Make a payment method; numbers are not looked at."""
    given = params.get("billing_details") or {}
    return _card(world, world.new_id("pm"), {name: given.get(name) for name in ("email", "name")})


def _card(world: World, name: str, owner: Json) -> Json:
    return world.add(
        {
            "id": name,
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": {"address": None, "phone": None, "tax_id": None, **owner},
            "card": {
                "brand": "visa",
                "checks": None,
                "country": "US",
                "exp_month": 12,
                "exp_year": 2099,
                "fingerprint": None,
                "funding": "credit",
                "generated_from": None,
                "last4": "4242",
                "networks": {"available": ["visa"], "preferred": None},
                "three_d_secure_usage": {"supported": True},
                "wallet": None,
            },
            "created": world.clock,
            "customer": None,
            "livemode": world.settings.livemode,
            "metadata": {},
            "type": "card",
        }
    )


def attach(world: World, params: Json, name: str) -> Json:
    """Give a customer a payment method; one of Stripe's test cards becomes their own."""
    customer = world.get("customer", params["customer"], "customer", 400)
    method = world.tables["payment_method"].get(name)
    if method is None:
        method = _card(world, world.new_id("pm"), {"email": None, "name": None})
    method["customer"] = customer["id"]
    world.without_card.discard(customer["id"])
    world.with_card.add(customer["id"])
    if fails(name):
        world.failing[customer["id"]] = "card_declined"
    world.emit("payment_method.attached", method)
    return method


def create_intent(world: World, params: Json) -> Json:
    """Make a payment intent, and pay it where that is asked."""
    intent = new_intent(world, params["amount"], params["currency"], params.get("customer"))
    intent["description"] = params.get("description")
    intent["metadata"] = params.get("metadata") or {}
    method = params.get("payment_method")
    world.emit("payment_intent.created", intent)
    if params.get("confirm"):
        _pay(world, intent, method)
    return intent


def confirm(world: World, params: Json, name: str) -> Json:
    """Pay a payment intent."""
    intent = world.get("payment_intent", name)
    _pay(world, intent, params.get("payment_method"))
    return intent


def _pay(world: World, intent: Json, method: str | None) -> None:
    failing = copied(world.failing)
    if fails(method):
        world.failing[intent["customer"] or ""] = "card_declined"
    failure = attempt(world, intent)
    world.failing = failing
    if failure is not None:
        raise declined(failure)
    if method is not None and "Dispute" in method:
        open_dispute(world, intent["latest_charge"])


def page_of_session(world: World, params: Json, name: str) -> Json:
    """Return what Checkout's page shows."""
    return world.get("checkout.session", name)


def confirm_page(world: World, params: Json, name: str) -> Json:
    """Complete a session, as the button on Checkout's page does."""
    return checkout.pay(world, name)
