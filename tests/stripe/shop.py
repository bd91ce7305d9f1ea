"""A vendor's Stripe account with prices, beside the API: where seats are bought, paid and shown.

with shop() as it:
    got = it.buy(seats=3)
    it.pay(got)                  # as the customer does; Stripe's events are delivered
    it.buy(seats=2)              # raises the quantity
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ledger.catalog import Catalog, builtin
from ledger.events import Fact
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from tests.stripe.payloads import WEBHOOK_SECRET, Json, deliver
from tests.stripe_server import StripeServer
from tests.web.api import Api, Got, memory_api
from tests.worlds import NOON
from web.app.settings import StripeSettings

BACK = "http://127.0.0.1:8000/docs"
SUCCESS = f"{BACK}?session_id={{CHECKOUT_SESSION_ID}}"
CHECKOUTS = "/v1/checkout/sessions"
ITEMS = "/v1/subscription_items"

# By lookup key: what each price costs, in cents.
PRICES = {
    "cloud_pos_month": ("month", 1500),
    "cloud_pos_year": ("year", 15000),
    "integrations_starter_month": ("month", 900),
    "integrations_growth_month": ("month", 2900),
    "integrations_growth_year": ("year", 29000),
}


@dataclass
class Shop:
    """The API and the Stripe account it is set up with."""

    api: Api
    stripe: StripeServer

    # Asking

    def buy(
        self,
        account: str = "acme",
        *,
        key: str | None = None,
        version: int | None = None,
        **changes: Any,
    ) -> Got:
        """Ask for a Checkout of two Cloud POS seats by the month, unless told otherwise."""
        body = {
            "product": "cloud_pos",
            "seats": 2,
            "interval": "month",
            "success_url": SUCCESS,
            "cancel_url": BACK,
            **changes,
        }
        headers = {"Idempotency-Key": key} if key else {}
        headers |= {"If-Match": f'"{version}"'} if version is not None else {}
        return self.api.post("portal", f"/v1/accounts/{account}/checkout", body, headers=headers)

    def portal(self, account: str = "acme", return_url: str = BACK) -> Got:
        body = {"return_url": return_url}
        return self.api.post("portal", f"/v1/accounts/{account}/stripe-portal", body)

    def billing(self, account: str = "acme", query: str = "") -> Json:
        got = self.api.get("portal", f"/v1/accounts/{account}/billing{query}")
        assert got.status == 200, got.body
        body: Json = got.body
        return body

    # What people and Stripe do

    def pay(self, bought: Got, **choices: Any) -> Json:
        """Pay at Checkout as the customer does, and deliver what Stripe has to say about it."""
        assert bought.status == 201, bought.body
        session = self.stripe.pay(bought.body["url"].rpartition("/")[2], **choices)
        self.deliver()
        return session

    def subscribe(self, account: str = "acme", **changes: Any) -> Json:
        """Buy, pay, and answer Stripe's subscription."""
        session = self.pay(self.buy(account, **changes))
        return self.stripe.get(f"/v1/subscriptions/{session['subscription']}")

    def deliver(self) -> None:
        """Deliver all that Stripe has to say since the last time."""
        events = self.stripe.events[self._delivered :]
        self._delivered = len(self.stripe.events)
        for event in events:
            assert deliver(self.api, event).status == 200

    _delivered: int = 0

    # Looking

    def account(self, id: str = "acme") -> Account:
        return self.api.services.book.load(ACCOUNT, id).state

    def version(self, id: str = "acme") -> int:
        return self.api.services.book.load(ACCOUNT, id).version

    def seats(self, product: str = "cloud_pos", tier: str | None = None) -> int:
        return self.account().pool(product, tier, self.api.clock.now).seats

    def quantities(self, subscription: str) -> dict[str, int]:
        """Answer the quantities that Stripe has, by the price's lookup key."""
        items = self.stripe.get(f"/v1/subscriptions/{subscription}")["items"]["data"]
        return {item["price"]["lookup_key"]: item["quantity"] for item in items}

    def invoices(self, subscription: str) -> list[tuple[str, int]]:
        """Answer a subscription's invoices: why, and how much was paid; the oldest first."""
        listed = self.stripe.get("/v1/invoices", {"subscription": subscription, "limit": 100})
        return [(one["billing_reason"], one["amount_paid"]) for one in reversed(listed["data"])]

    def facts(self, *kinds: type[Fact]) -> list[Fact]:
        found = [event.fact for event in self.api.services.book.follow(0)]
        return [fact for fact in found if isinstance(fact, kinds)]

    def asked(self, method: str, path: str) -> list[Any]:
        """Answer the requests that reached Stripe."""
        return [
            one
            for one in self.stripe.requests
            if one.method == method and one.path.startswith(path)
        ]


@contextmanager
def shop(
    catalog: Catalog | None = None, prices: Mapping[str, tuple[str, int]] = PRICES
) -> Iterator[Shop]:
    """Answer an empty ledger and a Stripe account with prices."""
    with StripeServer(now=int(NOON.timestamp())) as stripe:
        product = stripe.post("/v1/products", {"name": "Seats"})["id"]
        for key, (interval, amount) in prices.items():
            stripe.post("/v1/prices", price(product, key, interval, amount))
        settings = StripeSettings(stripe.api_key, (WEBHOOK_SECRET,), stripe.url)
        yield Shop(memory_api(catalog=catalog or builtin(), stripe=settings), stripe)


def price(product: str, lookup_key: str, interval: str, amount: int) -> Json:
    return {
        "product": product,
        "currency": "eur",
        "unit_amount": amount,
        "lookup_key": lookup_key,
        "recurring": {"interval": interval},
    }
