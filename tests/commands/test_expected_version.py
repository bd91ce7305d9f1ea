"""A write on the version that was seen is refused when another goes in just before its append."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import pytest
from msgspec.structs import replace

import commands
from commands.assign_subscription import assign_subscription
from commands.change_subscription import (
    extend_subscription,
    suspend_subscription,
    terminate_subscription,
    transfer_subscription,
)
from commands.clear_attempts import clear_attempts
from commands.issue_keys import issue_keys
from commands.link_customer import link_customer, unlink_customer
from commands.occupy_seat import Sitting, occupy_seat
from commands.open_portal_session import Granted, end_portal_sessions, make_link
from commands.record_stripe_event import record_event
from commands.redeem_key import Try, redeem_key
from commands.release_seat import release_seat
from commands.replace_holder import Replacement, replace_holder
from commands.services import Services
from ledger.refusals import VersionMismatch
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.objects import read_event
from tests.stripe import payloads
from tests.worlds import POS_ORDER, SECRET, another_worker, context, issue, services, watched

KEY = SECRET.derive("portal links")
# These ask Stripe; tests/stripe has them.
OF_STRIPE = {"start_checkout", "open_stripe_portal"}
# What runs has begun and gives its seats: as the other changes of a subscription, by one function.
NOTHING_TO_CHANGE = {"start_subscription", "resume_subscription"}


class Seen(NamedTuple):
    """What a caller has seen of `acme`.

    Attributes:
        code: of a key that nobody has redeemed.
        subscription: that `acme` has, if any.
    """

    world: Services
    version: int
    code: str
    subscription: str


Write = Callable[[Seen], object]


def redeem(seen: Seen, code: str) -> object:
    wanted = Try("acme", "s-1", code)
    return redeem_key(seen.world, context(), wanted, expected_version=seen.version)


def change(seen: Seen, command: Callable[..., object], **options: object) -> object:
    options["expected_version"] = seen.version
    return command(seen.world, context(), "acme", seen.subscription, "so agreed", **options)


WRITES: dict[str, Write] = {
    "redeem_key": lambda seen: redeem(seen, seen.code),
    "redeem_key with a wrong code": lambda seen: redeem(seen, "POS-AAAA-AAAA-AAAA"),
    "clear_attempts": lambda seen: clear_attempts(
        seen.world, context(), "acme", "by phone", expected_version=seen.version
    ),
    "make_link": lambda seen: make_link(
        seen.world, KEY, context(), Granted("acme"), expected_version=seen.version
    ),
    "end_portal_sessions": lambda seen: end_portal_sessions(
        seen.world, context(), "acme", "left", expected_version=seen.version
    ),
    "link_customer": lambda seen: link_customer(
        seen.world, context(), "acme", "cus_2", expected_version=seen.version
    ),
    "assign_subscription": lambda seen: assign_subscription(
        seen.world, context(), "acme", "sub_2", "sold", expected_version=seen.version
    ),
}
WRITES_ON_SOMETHING: dict[str, Write] = {
    "occupy_seat": lambda seen: occupy_seat(
        seen.world,
        context(),
        Sitting("acme", "cloud_pos", None, "till-2"),
        expected_version=seen.version,
    ),
    "release_seat": lambda seen: release_seat(
        seen.world, context(), "acme", "cloud_pos", "till-1", expected_version=seen.version
    ),
    "replace_holder": lambda seen: replace_holder(
        seen.world,
        context(),
        Replacement("acme", "cloud_pos", None, "till-2", "till-1"),
        expected_version=seen.version,
    ),
    "extend_subscription": lambda seen: change(seen, extend_subscription, days=1),
    "suspend_subscription": lambda seen: change(seen, suspend_subscription),
    "transfer_subscription": lambda seen: change(seen, transfer_subscription, to="beta"),
    "terminate_subscription": lambda seen: change(seen, terminate_subscription),
    "unlink_customer": lambda seen: unlink_customer(
        seen.world, context(), "acme", "cus_1", "left", expected_version=seen.version
    ),
}
CASES = [
    *(pytest.param(write, False, id=f"{name}, nothing there") for name, write in WRITES.items()),
    *(pytest.param(one, True, id=name) for name, one in (WRITES | WRITES_ON_SOMETHING).items()),
]


def test_every_command_that_takes_a_version_is_looked_at_here() -> None:
    modules = [
        importlib.import_module(f"commands.{one.name}")
        for one in pkgutil.iter_modules(commands.__path__)
    ]
    found = {
        name
        for module in modules
        for name, one in inspect.getmembers(module, inspect.isfunction)
        if one.__module__ == module.__name__
        and "expected_version" in inspect.signature(one).parameters
    }
    looked_at = {name.partition(" ")[0] for name in WRITES | WRITES_ON_SOMETHING}
    assert found == looked_at | OF_STRIPE | NOTHING_TO_CHANGE


@pytest.mark.parametrize(("write", "has_something"), CASES)
def test_a_write_on_a_version_that_is_over_by_its_append_is_refused_and_leaves_nothing(
    write: Write, has_something: bool
) -> None:
    book, store = watched()
    world, other = services(book), another_worker(services(book))
    subscription = ""
    if has_something:
        subscription = redeem_key(
            other, context(), Try("acme", "s", issue(other).code)
        ).subscription
        occupy_seat(other, context(), Sitting("acme", "cloud_pos", None, "till-1"))
        link_customer(other, context(), "acme", "cus_1")
    waits = payloads.subscription(id="sub_2", account=None, customer=None)
    created = payloads.event("customer.subscription.created", waits)
    record_event(other, context(), read_event(created), "file")
    order = issue_keys(other, context(), replace(POS_ORDER, count=2))
    rivals, ours = (key.code for key in order.keys)
    version = other.book.load(ACCOUNT, "acme").version
    heads: list[int] = []

    def rival() -> None:
        redeem_key(other, context(), Try("acme", "s-2", rivals))
        heads.append(other.book.head())

    store.overtake = rival
    with pytest.raises(VersionMismatch) as caught:
        write(Seen(world, version, ours, subscription))
    assert caught.value.version == version + 1
    assert [other.book.head()] == heads
