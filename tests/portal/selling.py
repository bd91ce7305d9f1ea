"""A vendor that sells by Stripe: the served program, and the stand-in for Stripe beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tests.cli.program import Program
from tests.portal.vendor import Vendor
from tests.stripe.billed_team import CATALOG
from tests.stripe.payloads import WEBHOOK_SECRET
from tests.stripe.shop import PRICES, price
from tests.stripe_server import StripeServer
from tests.stripe_server.delivery import body_of, signed

CHECKOUT = "https://checkout.stripe.com/c/pay/"
PORTAL = "https://billing.stripe.com/p/session/"
# The product whose seats are billed: 100.00 a month with three seats, 20.00 for each further one.
TEAM_PRICES = {"team_month": ("month", 100_00), "team_seat_month": ("month", 20_00)}
PUBLIC_URL = "http://127.0.0.1:8000"
BACK = f"{PUBLIC_URL}/docs"
DAY_S = 24 * 3600


@dataclass(kw_only=True)
class Seller(Vendor):
    """A vendor with Stripe."""

    stripe: StripeServer
    delivered: int = 0

    def deliver(self) -> None:
        """Deliver all that Stripe has to say since the last time."""
        events = self.stripe.events[self.delivered :]
        self.delivered = len(self.stripe.events)
        for event in events:
            body = body_of(event)
            headers = signed(body, WEBHOOK_SECRET, int(time.time()))
            status = self.send("/webhooks/stripe", body.encode(), headers)
            assert status == 200, event["type"]

    def checkout(self, account: str, **changes: Any) -> str:
        """Start a Checkout by the API, and answer its session."""
        body = {
            "product": "cloud_pos",
            "seats": 2,
            "interval": "month",
            "success_url": BACK,
            "cancel_url": BACK,
            **changes,
        }
        url = self.ask("POST", f"/v1/accounts/{account}/checkout", body, "portal")["url"]
        return str(url).removeprefix(CHECKOUT)

    def pay(self, session: str) -> str:
        """Pay as the customer does, deliver what Stripe says, and answer the subscription."""
        paid = self.stripe.pay(session)
        self.deliver()
        return str(paid["subscription"])

    def subscribe(self, account: str, **changes: Any) -> str:
        """Let an account have a subscription of Stripe's, and answer its id."""
        return self.pay(self.checkout(account, **changes))

    def sent_back(self, url: str) -> str:
        """Return the address of this server that Stripe leads back to."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC_URL
        return self.url + parts.path + (f"?{parts.query}" if parts.query else "")


@contextmanager
def selling(
    folder: Path,
    *,
    billed: bool = False,
    since_days: int = 0,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Seller]:
    """Serve a program that sells by Stripe.

    Args:
        billed: sell a product whose seats are billed, as the third guide's.
        since_days: so long ago is it at Stripe, where time can be let go by.
        settings: further ones of the program.
    """
    with StripeServer(now=int(time.time()) - since_days * DAY_S) as stripe:
        product = stripe.post("/v1/products", {"name": "Seats"})["id"]
        for key, (interval, amount) in (TEAM_PRICES if billed else PRICES).items():
            stripe.post("/v1/prices", price(product, key, interval, amount))
        own = {
            "STRIPE_API_KEY": stripe.api_key,
            "STRIPE_API_BASE": stripe.url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            # As behind a proxy: Stripe leads back there, and not to the port that serves.
            "KEYFOLD_PUBLIC_URL": PUBLIC_URL,
        }
        if billed:
            (folder / "catalog.toml").write_text(CATALOG)
            own["KEYFOLD_CATALOG"] = "catalog.toml"
        program = Program(folder, {**own, **settings})
        program.done("db", "upgrade")
        with program.served() as server:
            yield Seller(program, server, stripe=stripe)


def at_stripe(seller: Seller, subscription: str) -> dict[str, Any]:
    """Return a subscription as Stripe has it, to be changed there."""
    every = seller.stripe.world.all("subscription")
    return next(one for one in every if one["id"] == subscription)
