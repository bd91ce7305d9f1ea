"""One subscription gives seats once, also when another command is through just before an append.

Each test decides on one thing, lets another command go in from start to end, and only then appends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.assign_subscription import assign_subscription
from commands.link_customer import link_customer, unlink_customer
from commands.ports import Ports
from commands.record_stripe_event import record_event
from ledger.book import Appended, Book, Change
from ledger.events import Stamp
from ledger.refusals import Refusal
from ledger.streams.account import ACCOUNT
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.stripe_objects import read_event
from tests.stripe.payloads import Json, changed, event, invoice, item, subscription
from tests.worlds import DAY, MINUTE, NOON, another_worker, ports, stamp

ACCOUNTS = ("acme", "beta", "gamma")
Step = Callable[[Ports], None]


class OvertakenBook(Book):
    """A ledger in which another command goes in just before the next append."""

    between: Callable[[], None] | None = None

    def append(self, stamp: Stamp, *changes: Change) -> Appended:
        between, self.between = self.between, None
        if between is not None:
            between()
        return super().append(stamp, *changes)


def telling(payload: Json) -> Step:
    return lambda world: void(record_event(world, stamp(NOON + DAY), read_event(payload), "file"))


def void(_: object) -> None:
    return None


def calling(command: Callable[..., object], *args: Any, **more: Any) -> Step:
    def step(world: Ports) -> None:
        try:
            command(world, stamp(NOON + DAY), *args, **more)
        except Refusal:
            return

    return step


def session(account: str, **more: Any) -> Json:
    return {
        "id": "cs_1", "object": "checkout.session", "client_reference_id": account,
        "customer": "cus_1", "metadata": {"keyfold_account": account}, "mode": "subscription",
        "payment_status": "paid", "status": "complete", "subscription": "sub_1", **more,
    }  # fmt: skip


def four(account: str | None, **more: Any) -> Json:
    return subscription(account=account, items=[item("cloud_pos_month", 4)], **more)


SOLD = telling(event("checkout.session.completed", session("beta"), at=NOON + MINUTE))
STEPS: dict[str, Step] = {
    "sold to beta": SOLD,
    "created": telling(event("customer.subscription.created", subscription(account=None))),
    "created for acme": telling(event("customer.subscription.created", subscription())),
    "updated": telling(changed(four(None), at=NOON + 2 * MINUTE)),
    "updated for acme": telling(changed(four("acme"), at=NOON + 3 * MINUTE)),
    "updated for beta": telling(changed(four("beta"), at=NOON + 4 * MINUTE)),
    "paid": telling(event("invoice.paid", invoice())),
    "assigned to acme": calling(
        assign_subscription, "acme", "sub_1", "Sold to them", moved_from="beta"
    ),
    "assigned to gamma": calling(
        assign_subscription, "gamma", "sub_1", "Sold to them", moved_from="acme"
    ),
    "linked to gamma": calling(link_customer, "gamma", "cus_1"),
    "unlinked from gamma": calling(unlink_customer, "gamma", "cus_1", "Not theirs"),
}


def overtaken(before: list[Step], late: Step, early: Step) -> Ports:
    """Let a step decide, another one go in, and then the first one append."""
    book = OvertakenBook("memory:")
    world = ports(book)
    for step in before:
        step(world)
    other = another_worker(world)
    book.between = lambda: early(other)
    late(world)
    return another_worker(world)


def holders(world: Ports) -> dict[str, int]:
    """Return which accounts have the subscription, and how many seats of it."""
    found = {}
    for name in ACCOUNTS:
        account = world.book.load(ACCOUNT, name).state
        if account.stripe.subscriptions or account.stripe.invoices:
            found[name] = account.pool("cloud_pos", None, NOON + DAY).seats
    return found


def check(world: Ports) -> None:
    owner = world.book.load(STRIPE_OBJECT, "sub_1").state.account
    assert list(holders(world)) in ([], [owner])


@pytest.mark.parametrize("late", ["created", "updated"])
@pytest.mark.parametrize("early", ["assigned to acme", "created for acme"])
def test_a_report_never_lands_on_an_account_that_the_subscription_has_just_left(
    late: str, early: str
) -> None:
    world = overtaken([SOLD], STEPS[late], STEPS[early])
    STEPS["paid"](world)
    STEPS["updated"](world)
    assert holders(world) == {"acme": 4}


def test_of_any_two_commands_at_once_one_account_has_the_subscription() -> None:
    for first in ("sold to beta", "created", "updated for beta", "linked to gamma"):
        for late, early in itertools.product(STEPS.values(), repeat=2):
            check(overtaken([STEPS[first]], late, early))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=6),
    st.sampled_from(sorted(STEPS)),
    st.sampled_from(sorted(STEPS)),
)
def test_after_any_history_one_account_has_the_subscription(
    before: list[str], late: str, early: str
) -> None:
    check(overtaken([STEPS[one] for one in before], STEPS[late], STEPS[early]))
