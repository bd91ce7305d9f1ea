"""Whose a subscription is, is the same in whatever order Stripe's deliveries come.

An owner is told by each report for itself; the strongest word has it, and of equals the earliest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import strategies as st

from commands.link_customer import link_customer, unlink_customer
from commands.record_stripe_event import record_event
from commands.services import Services
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.stripe.objects import read_event
from tests.drawn import holds_for
from tests.stripe.payloads import Json, changed, event, invoice, item, subscription
from tests.worlds import DAY, MINUTE, NOON, context, services

ACCOUNTS = ("xenon", "yes", "zebra")
LINKED = {"cus_1": "yes", "cus_2": "xenon"}


def linked(**customers: str) -> Services:
    world = services()
    for customer, account in customers.items():
        link_customer(world, context(NOON), account, customer)
    return world


def tell(world: Services, payload: Json) -> None:
    record_event(world, context(NOON + DAY), read_event(payload), "webhook")


def created(account: str | None = None, **more: Any) -> Json:
    return event("customer.subscription.created", subscription(account=account, **more))


def updated(account: str | None = None, *, minute: int = 1, seats: int = 3, **more: Any) -> Json:
    of = subscription(account=account, items=[item("cloud_pos_month", seats)], **more)
    return changed(of, at=NOON + minute * MINUTE)


def holders(world: Services) -> dict[str, int]:
    found = {}
    for name in ACCOUNTS:
        state = world.book.load(ACCOUNT, name).state
        if state.stripe.subscriptions:
            found[name] = state.pool("cloud_pos", None, NOON + DAY).seats
    return found


def told_of(world: Services) -> tuple[str | None, dict[str, int], set[str]]:
    """Return whose it is, who has seats of it, and who claims it."""
    state = world.book.load(STRIPE_OBJECT, "sub_1").state
    return state.account, holders(world), set(state.claimed)


def in_each_order(payloads: Sequence[Json], **customers: str) -> Any:
    """Return what comes of deliveries, which must be the same in each order."""
    found = []
    for order in itertools.permutations(payloads):
        world = linked(**customers)
        for payload in order:
            tell(world, payload)
        found.append(told_of(world))
    assert all(one == found[0] for one in found), found
    return found[0]


def test_metadata_that_were_added_later_do_not_outdo_the_customers_account() -> None:
    later = [created(), updated("zebra")]
    assert in_each_order(later, cus_1="yes") == ("yes", {"yes": 3}, {"zebra"})


def test_an_earlier_word_without_metadata_shows_that_they_were_added_later() -> None:
    later = [updated(minute=1), updated("zebra", minute=2)]
    assert in_each_order(later, cus_1="yes") == ("yes", {"yes": 3}, {"zebra"})
    first = [updated("zebra", minute=1), updated(minute=2)]
    assert in_each_order(first, cus_1="yes") == ("zebra", {"zebra": 3}, set())


def test_metadata_at_creation_outdo_the_customers_account() -> None:
    first = [created("zebra"), updated("zebra"), updated(minute=2)]
    assert in_each_order(first, cus_1="yes") == ("zebra", {"zebra": 3}, set())


def test_under_two_customers_it_is_the_firsts_by_stripes_order() -> None:
    both = [created(), updated(customer="cus_2"), updated(customer="cus_2", minute=2)]
    assert in_each_order(both, cus_1="yes", cus_2="xenon")[:2] == ("yes", {"yes": 3})
    later = [updated(), updated(customer="cus_2", minute=2, seats=5)]
    assert in_each_order(later, cus_1="yes", cus_2="xenon")[:2] == ("yes", {"yes": 5})


def test_of_two_words_of_one_second_the_same_one_counts_in_each_order() -> None:
    both = [updated("zebra"), updated("xenon")]
    owner, seats, claims = in_each_order(both)
    assert (list(seats), {owner} | claims) == ([owner], {"xenon", "zebra"})


def test_an_account_that_is_named_first_and_again_keeps_it_in_each_order() -> None:
    again = [created(), updated("yes", minute=5), updated("zebra", minute=3)]
    assert in_each_order(again, cus_1="yes")[0] == "yes"


PAYLOADS = {
    "created": created(),
    "created under another customer": created(customer="cus_2"),
    "created without one": created(customer=None),
    **{
        f"updated {minute} {account} {customer}": updated(
            account, minute=minute, seats=minute + 2, customer=customer
        )
        for minute, account, customer in itertools.product(
            (1, 2, 3), (None, "yes", "zebra"), ("cus_1", "cus_2")
        )
    },
    "paid": event("invoice.paid", invoice(), at=NOON + 2 * MINUTE),
    "sold": event(
        "checkout.session.completed",
        {
            "id": "cs_1", "object": "checkout.session", "client_reference_id": None,
            "customer": "cus_1", "metadata": {"keyfold_account": "xenon"}, "status": "complete",
            "mode": "subscription", "payment_status": "paid", "subscription": "sub_1",
        },
        at=NOON + MINUTE,
    ),
}  # fmt: skip


@holds_for(
    50,
    250,
    st.lists(st.sampled_from(sorted(PAYLOADS)), min_size=2, max_size=6, unique=True),
    st.randoms(use_true_random=False),
)
def test_the_owner_and_the_claims_are_the_same_in_any_order_of_delivery(
    chosen: list[str], random: Any
) -> None:
    shuffled = list(chosen)
    random.shuffle(shuffled)

    def run(order: Iterable[str]) -> tuple[str | None, dict[str, int]]:
        world = linked(**LINKED)
        for one in order:
            tell(world, PAYLOADS[one])
        return told_of(world)[:2]

    assert run(chosen) == run(shuffled)


def test_what_names_its_account_stays_when_the_customer_is_another_ones() -> None:
    """Somebody took the customer away by a call; what a late delivery tells is no word on that."""
    world = services()
    tell(world, updated("zebra"))
    unlink_customer(world, context(NOON + DAY), "zebra", "cus_1", "They share it")
    link_customer(world, context(NOON + DAY), "yes", "cus_1")
    tell(world, created())
    assert holders(world) == {"zebra": 3}


def test_a_link_that_somebody_makes_counts_for_what_is_told_after_it() -> None:
    """It takes nothing from another account that has the subscription by then."""
    for is_linked_first, owner in ((True, "yes"), (False, "xenon")):
        world = linked(cus_2="xenon")
        tell(world, updated(customer="cus_2"))
        steps = [
            lambda world=world: link_customer(world, context(NOON + DAY), "yes", "cus_1"),
            lambda world=world: tell(world, created()),
        ]
        for step in steps if is_linked_first else steps[::-1]:
            step()
        assert holders(world) == {owner: 3}


def test_which_of_two_subscriptions_links_their_customer_is_for_the_order_of_arrival() -> None:
    """A link is on record for people to see and to act on, so that it is never taken back."""
    both = [created("yes"), created("zebra", id="sub_2")]
    found = []
    for order in (both, both[::-1]):
        world = services()
        for payload in order:
            tell(world, payload)
        found.append(world.book.load(STRIPE_CUSTOMER, "cus_1").state.account)
        assert set(holders(world)) == {"yes", "zebra"}
    assert found == ["yes", "zebra"]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_the_account_that_a_customer_is_linked_to_keeps_what_it_is_told_of(
    order: tuple[int, ...],
) -> None:
    world = linked(cus_1="yes")
    payloads = [created(), updated("yes", minute=1), updated("yes", minute=2)]
    for number in order:
        tell(world, payloads[number])
    unlink_customer(world, context(NOON + DAY), "yes", "cus_1", "Not theirs")
    assert holders(world) == {"yes": 3}  # it names the account itself
