"""The history of docs/casebook.md: ten accounts, each with something that somebody asks about.

It is told as commands, at moments of a spring, under a secret and with a chance that repeat
themselves: so that codes, ids and positions are those on the page.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from commands.change_subscription import terminate_subscription
from commands.give_access import create_token
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.record_stripe_event import record_event
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Book
from ledger.events import RequestContext
from ledger.refusals import Refusal
from ledger.store import schema
from ledger.stripe.objects import read_event
from tests.stripe.payloads import event, invoice, item, seconds, subscription
from tests.worlds import services

POS, INT = "cloud_pos", "integrations"
NOW = "2026-06-01T12:00:00Z"
# That of tests/worlds.py, as a setting.
SETTINGS = {"KEYFOLD_SECRET": base64.b64encode(bytes(range(32))).decode()}


class Teller:
    """Tells the history, account by account."""

    def __init__(self, world: Services) -> None:
        self.world = world
        self.actor = "operator"
        self.codes: dict[str, str] = {}
        self.told = 0
        self.events = 0

    def at(self, moment: str) -> RequestContext:
        self.told += 1
        now = datetime.fromisoformat(f"{moment}+00:00")
        return RequestContext(now, self.actor, f"req_case_{self.told:04}", test_clock=True)

    def order(self, name: str, moment: str, product: str = POS, **more: Any) -> str:
        tier = "growth" if product == INT else None
        order = Order(
            product, tier, more.get("seats", 2), more.get("months", 12), 1, "Harbour Systems"
        )
        issued = issue_keys(self.world, self.at(moment), order, idempotency_key=name)
        self.codes[name] = issued.keys[0].code
        return issued.keys[0].id

    def redeem(self, account: str, code: str, moment: str) -> str:
        wanted = Try(account, "counter", self.codes[code])
        return redeem_key(self.world, self.at(moment), wanted).subscription

    def sit(
        self, account: str, holder: str, moment: str, product: str = POS, tier: Any = None
    ) -> None:
        occupy_seat(self.world, self.at(moment), Sitting(account, product, tier, holder))

    def refused(self, command: Callable[[], object]) -> None:
        with suppress(Refusal):
            command()
            raise AssertionError("the history has a refusal here")

    def stripe(self, type: str, object: dict[str, Any], made: str, came: str | None = None) -> None:
        """Let an event of Stripe's come, which was made at the same moment or before."""
        self.events += 1
        at = datetime.fromisoformat(f"{made}+00:00")
        payload = event(type, object, at=at, id=f"evt_case_{self.events:02}")
        context = self.at(came or made)._replace(actor="stripe")
        record_event(self.world, context, read_event(payload), "webhook")


def tell(world: Services) -> dict[str, str]:
    """Tell everything into an empty ledger; answer the codes by name."""
    teller = Teller(world)
    portal = create_token(world, teller.at("2026-01-05T08:00:00"), "portal").token.id
    support = create_token(world, teller.at("2026-01-05T08:00:30"), "support").token.id
    teller.actor = portal
    for case in (_expired, _elsewhere, _revoked, _locked_out, _other_tier):
        case(teller, support)
    for case in (_reissued, _terminated, _late, _twice, _shrunk):
        case(teller, support)
    return teller.codes


def _expired(teller: Teller, _support: str) -> None:
    teller.order("corner-shop", "2026-02-20T09:00:00", months=3)
    teller.order("corner-shop-small", "2026-02-20T09:05:00", seats=1)
    teller.redeem("corner-shop", "corner-shop", "2026-02-28T09:00:00")
    teller.redeem("corner-shop", "corner-shop-small", "2026-02-28T09:05:00")
    for number in (1, 2, 3):
        teller.sit("corner-shop", f"till-{number}", f"2026-02-28T10:0{number}:00")


def _elsewhere(teller: Teller, _support: str) -> None:
    teller.order("lake-hotel", "2026-03-02T09:00:00")
    teller.redeem("lake-hotel-annexe", "lake-hotel", "2026-03-03T09:00:00")
    wanted = Try("lake-hotel", "front-desk", teller.codes["lake-hotel"])
    teller.refused(lambda: redeem_key(teller.world, teller.at("2026-03-04T09:00:00"), wanted))


def _revoked(teller: Teller, support: str) -> None:
    key = teller.order("book-stall", "2026-03-05T09:00:00")
    context = teller.at("2026-03-06T09:00:00")._replace(actor=support)
    revoke_key(teller.world, context, key, "Paid back to the reseller")
    wanted = Try("book-stall", "stall", teller.codes["book-stall"])
    teller.refused(lambda: redeem_key(teller.world, teller.at("2026-03-07T09:00:00"), wanted))


def _locked_out(teller: Teller, _support: str) -> None:
    teller.order("tea-room", "2026-05-30T09:00:00")
    for minute in range(5):
        moment = f"2026-06-01T11:5{minute}:00"
        mistyped = Try("tea-room", "kiosk", "POS-0000-0000-0000")
        teller.refused(
            lambda moment=moment, mistyped=mistyped: redeem_key(  # type: ignore[misc]
                teller.world, teller.at(moment), mistyped
            )
        )


def _other_tier(teller: Teller, _support: str) -> None:
    teller.order("garden", "2026-03-10T09:00:00", INT)
    teller.redeem("garden", "garden", "2026-03-11T09:00:00")
    teller.sit("garden", "webshop", "2026-03-11T09:30:00", INT, "growth")
    teller.refused(lambda: teller.sit("garden", "webshop", "2026-03-12T09:00:00", INT, "scale"))


def _late(teller: Teller, _support: str) -> None:
    began = datetime.fromisoformat("2026-05-10T09:00:00+00:00")
    bought = subscription(
        "sub_ferry", account="ferry-kiosk", began=began, customer="cus_ferry",
        items=[item("cloud_pos_month", 2, begins=began)],
    )  # fmt: skip
    teller.refused(lambda: teller.sit("ferry-kiosk", "till-1", "2026-05-11T08:00:00"))
    teller.stripe(
        "customer.subscription.created", bought, "2026-05-10T09:00:00", "2026-05-12T15:00:00"
    )
    teller.sit("ferry-kiosk", "till-1", "2026-05-12T16:00:00")


def _twice(teller: Teller, _support: str) -> None:
    for number, day in ((1, 3), (2, 4)):
        moment = f"2026-05-0{day}T10:00:00"
        began = datetime.fromisoformat(f"{moment}+00:00")
        id = f"sub_bakery_{number}"
        bought = subscription(
            id, account="bakery", began=began, customer="cus_bakery",
            items=[item("cloud_pos_month", 1, begins=began, id=f"si_bakery_{number}")],
        )  # fmt: skip
        paid = invoice(
            f"in_bakery_{number}", total=1500, customer="cus_bakery", number=f"KF-000{number}",
            created=seconds(began),
            parent={
                "type": "subscription_details",
                "subscription_details": {
                    "subscription": id, "metadata": {"keyfold_account": "bakery"},
                },
            },
        )  # fmt: skip
        teller.stripe("customer.subscription.created", bought, moment)
        teller.stripe("invoice.paid", paid, moment)


def _reissued(teller: Teller, support: str) -> None:
    key = teller.order("museum", "2026-04-01T09:00:00")
    context = teller.at("2026-04-02T09:00:00")._replace(actor=support)
    reissue_key(teller.world, context, key, "The card was lost in the post")
    wanted = Try("museum", "ticket-desk", teller.codes["museum"])
    teller.refused(lambda: redeem_key(teller.world, teller.at("2026-04-09T09:00:00"), wanted))


def _shrunk(teller: Teller, _support: str) -> None:
    began = datetime.fromisoformat("2026-05-15T09:00:00+00:00")

    def of(quantity: int) -> dict[str, Any]:
        return subscription(
            "sub_studio", account="studio", began=began, customer="cus_studio",
            items=[item("cloud_pos_month", quantity, begins=began, id="si_studio")],
        )  # fmt: skip

    teller.stripe("customer.subscription.created", of(3), "2026-05-15T09:00:00")
    for number in (1, 2, 3):
        teller.sit("studio", f"till-{number}", f"2026-05-15T10:0{number}:00")
    teller.stripe("customer.subscription.updated", of(2), "2026-05-20T09:00:00")


def _terminated(teller: Teller, support: str) -> None:
    teller.order("barge", "2026-04-20T09:00:00")
    bought = teller.redeem("barge", "barge", "2026-04-21T09:00:00")
    teller.sit("barge", "till-1", "2026-04-21T10:00:00")
    context = teller.at("2026-05-25T09:00:00")._replace(actor=support)
    terminate_subscription(teller.world, context, "barge", bought, "The barge is sold")


def fill(folder: Path) -> dict[str, str]:
    """Fill a ledger in a folder, with a clock that stands still; answer its codes by name."""
    url = f"sqlite:///{folder}/keyfold.db"
    schema.upgrade(url)
    (folder / "clock").write_text(NOW)
    with closing(Book(url, test_clock=True)) as book:
        return tell(services(book))
