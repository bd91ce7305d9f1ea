"""A product whose seats are billed, sold by the stand-in for Stripe: a world to move people in.

    with BilledTeam() as team:
        team.take(5); team.wait(minutes=2)
        team.sync()
        team.paid()         # what the customer has paid so far, in minor units

The base plan costs 100.00 a month and includes three seats; each further one costs 20.00.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from commands.gateways.stripe import StripeGateway
from commands.occupy_seat import Sitting, occupy_seat
from commands.record_stripe_event import record_event
from commands.release_seat import release_seat
from commands.services import Services
from commands.sync_billed_seats import Synced, sync_seats
from ledger.book import Book
from ledger.catalog import Catalog, parse
from ledger.events import Fact, RequestContext
from ledger.streams.account.seat_sync import QUIET_DEFAULT_S
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.objects import read_event
from tests.cli.program import Program
from tests.stripe_server import Settings, StripeServer
from tests.worlds import context, services

TEAM = "team"
ACME = "acme"
INCLUDED = 3
BASE_AMOUNT = 100_00
SEAT_AMOUNT = 20_00
QUIET = timedelta(seconds=QUIET_DEFAULT_S)

CATALOG = """
[[products]]
id = "team"
name = "Team"
prefix = "TEAM"
seat = "user"
seats = "billed"
included = 3
prices = [
  { lookup_key = "team_month", interval = "month", base = true },
  { lookup_key = "team_seat_month", interval = "month" },
]

[[products]]
id = "cloud_pos"
name = "Cloud POS"
prefix = "POS"
seat = "certificate"
"""


def catalog() -> Catalog:
    return parse(CATALOG)


@dataclass
class BilledTeam:
    """One account on one subscription; our clock is Stripe's.

    Attributes:
        subscription, item: Stripe's ids; the item for further seats is None while there is none.
    """

    stripe: StripeServer
    world: Services
    customer: str
    subscription: str
    base_price: str
    seat_price: str
    people: list[str] = field(default_factory=list)
    joined: int = 0
    heard: int = 0

    # Time

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.stripe.clock, UTC)

    def context(self) -> RequestContext:
        return context(self.now, actor="seat_sync")

    def wait(self, **parts: float) -> None:
        """Let time go by; what Stripe tells meanwhile is heard."""
        self.wait_until(self.now + timedelta(**parts))

    def wait_until(self, moment: datetime, *, hear: bool = True) -> None:
        self.stripe.advance_to(int(moment.timestamp()))
        if hear:
            self.hear()

    def hear(self) -> None:
        """Take the events that Stripe has made since."""
        events = self.stripe.events[self.heard :]
        self.heard = len(self.stripe.events)
        for event in events:
            record_event(
                self.world, context(self.now, actor="stripe"), read_event(event), "webhook"
            )

    # People

    def take(self, count: int = 1) -> None:
        for _ in range(count):
            self.joined += 1
            name = f"user-{self.joined}"
            occupy_seat(self.world, context(self.now), Sitting(ACME, TEAM, None, name))
            self.people.append(name)

    def give_back(self, count: int = 1) -> None:
        for _ in range(count):
            release_seat(self.world, context(self.now), ACME, TEAM, self.people.pop())

    # Seats

    def sync(self, quiet: timedelta | None = None, world: Services | None = None) -> Synced:
        """Bring Stripe into step, and hear its echo."""
        (synced,) = sync_seats(world or self.world, self.context, ACME, quiet)
        self.hear()
        return synced

    def account(self) -> Account:
        return self.world.book.load(ACCOUNT, ACME).state

    def facts(self, *kinds: type[Fact]) -> list[Any]:
        """Answer the account's facts of some kinds, in order."""
        events = self.world.book.history(ACCOUNT, ACME)[1]
        return [event.fact for event in events if isinstance(event.fact, kinds)]

    # Stripe

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        found = self.stripe.get(f"/v1/subscriptions/{self.subscription}")
        return {item["price"]["id"]: item for item in found["items"]["data"]}

    @property
    def item(self) -> str | None:
        item = self.items.get(self.seat_price)
        return str(item["id"]) if item else None

    @property
    def quantity(self) -> int:
        item = self.items.get(self.seat_price)
        return int(item["quantity"]) if item else 0

    @property
    def period_end(self) -> datetime:
        end = self.items[self.base_price]["current_period_end"]
        return datetime.fromtimestamp(end, UTC)

    def invoices(self) -> list[dict[str, Any]]:
        """Answer the invoices, the oldest first."""
        found = self.stripe.world.all("invoice")
        return [invoice for invoice in found if invoice["customer"] == self.customer]

    def paid(self) -> int:
        """Answer what the customer has paid, in minor units."""
        return sum(invoice["amount_paid"] for invoice in self.invoices())

    def writes(self) -> list[Any]:
        """Answer the calls that changed the subscription."""
        path = f"/v1/subscriptions/{self.subscription}"
        return [one for one in self.stripe.requests if (one.method, one.path) == ("POST", path)]


@contextmanager
def billed_team(
    *,
    seats: int = 0,
    book: Book | None = None,
    mode: str = "flexible",
    credit: str = "current_quantity",
    trial_days: int = 0,
    seed: int = 0,
) -> Iterator[BilledTeam]:
    """Sell the base plan, with further seats if there are any, and hear of it.

    Args:
        mode, credit: how Stripe reckons prorations, as the stand-in's settings have it.
    """
    settings = Settings(flexible_credit=credit)
    with StripeServer(seed=seed, settings=settings) as server:
        world = services(book, catalog=catalog())
        world = world._replace(stripe=StripeGateway(server.api_key, server.url))
        yield sold(server, world, seats=seats, mode=mode, trial_days=trial_days)


def sold(
    server: StripeServer,
    world: Services,
    *,
    seats: int = 0,
    mode: str = "flexible",
    trial_days: int = 0,
) -> BilledTeam:
    base = _price(server, "team_month", BASE_AMOUNT)
    seat = _price(server, "team_seat_month", SEAT_AMOUNT)
    customer = server.post("/v1/customers", {})["id"]
    further = [{"price": seat, "quantity": seats}] if seats else []
    subscription = server.post(
        "/v1/subscriptions",
        {
            "customer": customer,
            "items": [{"price": base, "quantity": 1}, *further],
            "billing_mode": {"type": mode},
            "metadata": {"keyfold_account": ACME},
            **({"trial_period_days": trial_days} if trial_days else {}),
        },
    )
    team = BilledTeam(server, world, customer, subscription["id"], base, seat)
    team.hear()
    return team


def _price(server: StripeServer, lookup_key: str, amount: int) -> str:
    price = server.post(
        "/v1/prices",
        {
            "currency": "eur",
            "unit_amount": amount,
            "lookup_key": lookup_key,
            "recurring": {"interval": "month"},
            "product_data": {"name": lookup_key},
        },
    )
    return str(price["id"])


def program(folder: Path, server: StripeServer, **settings: str) -> Program:
    """Answer `keyfold` on a ledger of its own, with the product and with this Stripe."""
    (folder / "catalog.toml").write_text(CATALOG)
    own = {
        "KEYFOLD_DATABASE_URL": f"sqlite:///{folder / 'keyfold.db'}",
        "KEYFOLD_SECRET": base64.b64encode(bytes(range(32))).decode(),
        "KEYFOLD_CATALOG": str(folder / "catalog.toml"),
        "STRIPE_API_KEY": server.api_key,
        "STRIPE_API_BASE": server.url,
    }
    keyfold = Program(folder, {**own, **settings})
    keyfold.done("db", "upgrade")
    return keyfold
