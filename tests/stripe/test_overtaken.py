"""One subscription gives seats once, also when another command is through just before an append.

Each test decides on one thing, lets another command go in from start to end, and only then appends.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from commands.assign_subscription import assign_subscription
from commands.gateways.stripe import StripeGateway
from commands.link_customer import link_customer, unlink_customer
from commands.reconcile_stripe import reconcile_stripe
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.book import Appended, Book, Change, Dated
from ledger.events import RequestContext
from ledger.refusals import Refusal
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.stripe.objects import read_event, read_report
from projections.audit.rebuild import replay
from projections.lists.overview import held_elsewhere
from projections.views.account_at import Moment, account_at
from tests.drawn import holds_for
from tests.stripe.payloads import Json, changed, event, invoice, item, subscription
from tests.stripe_server import StripeServer
from tests.web.api import Api
from tests.worlds import DAY, MINUTE, NOON, another_worker, context, services
from web.app.context import EXTENSION

ACCOUNTS = ("acme", "beta", "gamma")
Step = Callable[[Services], None]


class OvertakenBook(Book):
    """A ledger in which another command goes in just before the next append."""

    between: Callable[[], None] | None = None

    def append(self, context: RequestContext, *changes: Change) -> Appended:
        between, self.between = self.between, None
        if between is not None:
            between()
        return super().append(context, *changes)


def telling(payload: Json) -> Step:
    return lambda world: void(record_event(world, context(NOON + DAY), read_event(payload), "file"))


def void(_: object) -> None:
    return None


def calling(command: Callable[..., object], *args: Any, **more: Any) -> Step:
    def step(world: Services) -> None:
        try:
            command(world, context(NOON + DAY), *args, **more)
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


def overtaken(before: list[Step], late: Step, early: Step) -> Services:
    """Let a step decide, another one go in, and then the first one append."""
    book = OvertakenBook("memory:")
    world = services(book)
    for step in before:
        step(world)
    other = another_worker(world)
    book.between = lambda: early(other)
    late(world)
    return another_worker(world)


def holders(world: Services) -> dict[str, int]:
    """Return which accounts have the subscription, and how many seats of it."""
    found = {}
    for name in ACCOUNTS:
        account = world.book.load(ACCOUNT, name).state
        if account.stripe.subscriptions or account.stripe.invoices:
            found[name] = account.pool("cloud_pos", None, NOON + DAY).seats
    return found


def check(world: Services) -> None:
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


@holds_for(
    50,
    150,
    st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=6),
    st.sampled_from(sorted(STEPS)),
    st.sampled_from(sorted(STEPS)),
)
def test_after_any_history_one_account_has_the_subscription(
    before: list[str], late: str, early: str
) -> None:
    check(overtaken([STEPS[one] for one in before], STEPS[late], STEPS[early]))


# Recorded before every append required whose the object is


def twice(api: Api, late: Json | None = None) -> None:
    """Put on record what a race left: the subscription is acme's, and beta has it too."""
    world = api.services
    SOLD(world)
    calling(assign_subscription, "acme", "sub_1", "Sold to them", moved_from="beta")(world)
    created = event("customer.subscription.created", subscription(account=None))
    if late is not None:
        telling(late)(world)
    for payload in (created, event("invoice.paid", invoice(), at=NOON)):
        report = read_report(read_event(payload), world.catalog).report
        assert report is not None
        beta = world.book.load(ACCOUNT, "beta")
        world.book.append(context(NOON + DAY), Change(beta, [Dated(report, NOON)]))


def listed(api: Api) -> list[tuple[str, str | None, str | None]]:
    """Return what the overview lists as held by the wrong account; the tables must agree."""
    tables = api.app.extensions[EXTENSION].wiring.tables
    told = [one.sentence for one in replay(api.services.book, tables)]
    found = [
        (one["stripe_object"], one["account"], one["claimed_by"])
        for one in api.get("admin", "/v1/overview").body["claims"]
        if one["why"] == "held"
    ]
    figures = api.get("admin", "/metrics").raw.decode()
    assert f'keyfold_stripe_objects_to_look_at{{why="held"}} {len(found):.1f}' in figures
    assert told == [
        f"{id} is on record with {holder}, though it is {account}'s: keyfold stripe reconcile"
        " mends it"
        for id, account, holder in found
    ]
    return found


LATE = changed(four(None), at=NOON + 2 * MINUTE)


def test_a_subscription_on_record_with_two_accounts_is_told_wherever_it_is_looked_for(
    api: Api,
) -> None:
    assert listed(api) == []
    twice(api, LATE)
    assert holders(api.services) == {"acme": 4, "beta": 2}
    assert listed(api) == [("sub_1", "acme", "beta")]


@pytest.mark.parametrize("late", [LATE, None])
@pytest.mark.parametrize("account", ACCOUNTS)
def test_to_assign_it_mends_it_for_all_time(api: Api, late: Json | None, account: str) -> None:
    twice(api, late)
    world = api.services
    moved_from = "acme" if account != "acme" else None
    done = assign_subscription(world, context(NOON + DAY), account, "sub_1", "So it is", moved_from)
    assert done.position == world.book.head()
    assert holders(world) == {account: 4 if late else 2}
    assert list(done.account.state.stripe.invoices) == ["in_1"]
    assert listed(api) == []
    for minutes in (-1, 0, 1, 2, 5, 24 * 60):
        moment = Moment(NOON + DAY, as_of=NOON + minutes * MINUTE)
        at = [account_at(world.book, one, moment).account.stripe for one in ACCOUNTS]
        assert sum(bool(one.subscriptions) for one in at) <= 1
    head = world.book.head()
    assign_subscription(world, context(NOON + DAY), account, "sub_1", "So it is")
    assert world.book.head() == head


@pytest.mark.parametrize("late", [LATE, None])
def test_reconciling_mends_it_once(api: Api, late: Json | None) -> None:
    twice(api, late)
    with StripeServer() as stripe:
        world = api.services._replace(stripe=StripeGateway(stripe.api_key, stripe.url))

        def drift(*, dry_run: bool = False) -> list[tuple[str, str | None, str]]:
            tables = api.app.extensions[EXTENSION].wiring.tables
            found = [one.stripe_object for one in held_elsewhere(world.book, tables)]
            told = reconcile_stripe(
                world, lambda: context(NOON + DAY), (), held_elsewhere=found, dry_run=dry_run
            )
            return [(one.id, one.account, one.what) for one in told]

        head = world.book.head()
        assert drift(dry_run=True) == [("sub_1", "acme", "is beta's as well")]
        assert world.book.head() == head
        assert drift() == [("sub_1", "acme", "is beta's as well")]
        assert holders(world) == {"acme": 4 if late else 2}
        assert (drift(), listed(api)) == ([], [])


def test_what_landed_on_an_account_that_it_had_been_taken_from_waits_again(api: Api) -> None:
    world = api.services
    STEPS["linked to gamma"](world)
    STEPS["created"](world)
    STEPS["unlinked from gamma"](world)
    report = read_report(read_event(LATE), world.catalog).report
    assert report is not None
    gamma = world.book.load(ACCOUNT, "gamma")
    world.book.append(context(NOON + DAY), Change(gamma, [report]))
    tables = api.app.extensions[EXTENSION].wiring.tables
    assert [one.account for one in held_elsewhere(world.book, tables)] == [None]
    with StripeServer() as stripe:
        asking = world._replace(stripe=StripeGateway(stripe.api_key, stripe.url))
        told = list(
            reconcile_stripe(asking, lambda: context(NOON + DAY), (), held_elsewhere=["sub_1"])
        )
    assert [one.what for one in told] == ["is gamma's as well"]
    assert (holders(world), listed(api)) == ({}, [])
    calling(link_customer, "beta", "cus_1")(world)
    assert holders(world) == {"beta": 4}
