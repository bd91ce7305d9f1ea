"""What the stand-in's own tests buy: a base plan with seats."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.stripe_server import StripeServer


class Shop(NamedTuple):
    """Ids of what there is to buy, in cents a month: base 2000, seat 500; base 20000 a year."""

    base: str
    seat: str
    yearly: str
    customer: str


def open_shop(stripe: StripeServer) -> Shop:
    """Make the product, its prices and a customer."""
    product = stripe.post("/v1/products", {"name": "Cloud POS"})["id"]
    return Shop(
        price(stripe, product, 2000),
        price(stripe, product, 500, lookup_key="seat"),
        price(stripe, product, 20000, interval="year"),
        stripe.post("/v1/customers", {"email": "shop@example.com"})["id"],
    )


def price(
    stripe: StripeServer, product: str, amount: int, interval: str = "month", **more: Any
) -> str:
    """Make a price; return its id."""
    given = {
        "product": product,
        "currency": "usd",
        "unit_amount": amount,
        "recurring": {"interval": interval},
        **more,
    }
    return str(stripe.post("/v1/prices", given)["id"])


def subscribe(stripe: StripeServer, shop: Shop, seats: int = 3, **more: Any) -> dict[str, Any]:
    """Subscribe the customer to the base and some seats."""
    items = [{"price": shop.base}, {"price": shop.seat, "quantity": seats}]
    given = {"customer": shop.customer, "items": items, **more}
    return stripe.post("/v1/subscriptions", given)


def bills(stripe: StripeServer, subscription: str) -> list[dict[str, Any]]:
    """Return the invoices of a subscription, oldest first."""
    found = stripe.get("/v1/invoices", {"subscription": subscription, "limit": 100})
    return list(reversed(found["data"]))


def kinds(stripe: StripeServer, since: int = 0) -> list[str]:
    """Return the types of the events from a place on."""
    return [event["type"] for event in stripe.events[since:]]
