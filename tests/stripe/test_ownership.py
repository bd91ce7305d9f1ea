"""Whose a Stripe subscription is: the same, in whatever order Stripe and people say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st

from commands.link_customer import link_customer
from commands.record_stripe_event import record_event
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_draft import Draft
from commands.stripe_ownership import CONFLICT, begin
from ledger.book import Change
from ledger.refusals import CustomerLinkedElsewhere
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER, StripeSubscriptionAssigned
from ledger.streams.stripe_event import UNPROVEN
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.stripe.facts import StripeSubscriptionReported
from ledger.stripe.objects import read_event, read_report
from ledger.stripe.requests import StripeCheckoutStarted
from tests.drawn import holds_for
from tests.stripe.payloads import Json, changed, event, invoice, item, subscription
from tests.worlds import DAY, MINUTE, NOON, context, services

ACCOUNTS = ("acme", "beta", "gamma")
Step = Callable[[Services], None]


def session(claimed: str | None = "acme", account: str | None = None, **more: Any) -> Json:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "client_reference_id": claimed,
        "customer": "cus_1",
        "metadata": {"keyfold_account": account} if account else {},
        "mode": "subscription",
        "payment_status": "paid",
        "status": "complete",
        "subscription": "sub_1",
        **more,
    }


def completed(of: Json) -> Json:
    return event("checkout.session.completed", of, at=NOON + MINUTE)


def created(of: Json) -> Json:
    return event("customer.subscription.created", of)


def tell(world: Services, payload: Json) -> tuple[str, tuple[str, ...]]:
    """Record an event; return what became of it, and its problems."""
    recorded = record_event(world, context(NOON + DAY), read_event(payload), "webhook")
    problems = next(
        one.fact.problems
        for one in world.book.follow(0)
        if one.stream == f"stripe_event-{payload['id']}" and hasattr(one.fact, "problems")
    )
    return recorded.outcome, problems


def begun(world: Services, account: str = "acme", checkout: str = "cs_1") -> None:
    """Put on record that a Checkout was begun for an account, as buying seats does."""
    fact = StripeCheckoutStarted(
        checkout=checkout, product="cloud_pos", tier=None, seats=2, interval="month",
        fingerprint="f",
    )  # fmt: skip

    def attempt() -> None:
        draft = Draft(world)
        draft.add(draft.account(account), fact)
        begin(draft, checkout, account)
        draft.append(context(NOON + DAY))

    retry_on_conflict(attempt)


def link(world: Services, account: str = "acme") -> None:
    try:
        link_customer(world, context(NOON + DAY), account, "cus_1")
    except CustomerLinkedElsewhere:
        assert account != "acme"


def seats(world: Services, accounts: Iterable[str] = ACCOUNTS) -> dict[str, int]:
    """Return the Cloud POS seats of each account that has any."""
    counted = {
        name: world.book.load(ACCOUNT, name).state.pool("cloud_pos", None, NOON + DAY).seats
        for name in accounts
    }
    return {name: count for name, count in counted.items() if count}


def owner(world: Services, id: str = "sub_1") -> str | None:
    return world.book.load(STRIPE_OBJECT, id).state.account


def linked(world: Services, id: str = "cus_1") -> str | None:
    return world.book.load(STRIPE_CUSTOMER, id).state.account


def run(steps: Iterable[Step]) -> Services:
    world = services()
    for step in steps:
        step(world)
    return world


def telling(payload: Json) -> Step:
    def step(world: Services) -> None:
        tell(world, payload)

    return step


def unnamed(**more: Any) -> Json:
    return subscription(account=None, **more)


# What a browser can set


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"payment_status": "no_payment_required"},
        {"mode": "setup", "subscription": None},
        {"mode": "payment", "subscription": None, "payment_intent": "pi_1"},
        {"customer": None},
    ],
)
def test_a_reference_that_a_browser_can_set_gives_nothing_and_is_flagged(more: Json) -> None:
    world = services()
    outcome, problems = tell(world, completed(session(**more)))
    assert (outcome, problems) == ("waiting", (UNPROVEN,))
    tell(world, created(unnamed()))
    tell(world, event("invoice.paid", invoice()))
    assert seats(world) == {}
    assert (owner(world), linked(world)) == (None, None)


def test_a_reference_counts_where_the_metadata_say_the_same() -> None:
    world = services()
    assert tell(world, completed(session(account="acme"))) == ("reported", ())
    tell(world, created(unnamed()))
    assert (seats(world), linked(world)) == ({"acme": 2}, "acme")


def test_metadata_count_and_a_reference_beside_them_does_not() -> None:
    world = services()
    tell(world, completed(session(claimed="beta", account="acme")))
    tell(world, created(unnamed()))
    assert seats(world) == {"acme": 2}


def test_a_checkout_of_one_account_gives_nothing_to_another_that_is_named_by_the_browser() -> None:
    world = services()
    begun(world, "acme", "cs_other")
    assert tell(world, completed(session())) == ("waiting", (UNPROVEN,))
    begun(world, "beta")
    assert (seats(world), owner(world, "cs_1")) == ({}, "beta")


def test_a_checkout_begun_before_sessions_had_a_stream_counts() -> None:
    world = services()
    fact = StripeCheckoutStarted(
        checkout="cs_1", product="cloud_pos", tier=None, seats=2, interval="month", fingerprint="f"
    )
    world.book.append(context(NOON), Change(world.book.load(ACCOUNT, "acme"), [fact]))
    assert tell(world, completed(session())) == ("reported", ())
    tell(world, created(unnamed()))
    assert seats(world) == {"acme": 2}


# Any order

OURS: list[tuple[str, Step]] = [
    ("session", telling(completed(session()))),
    ("created", telling(created(unnamed()))),
    ("updated", telling(changed(unnamed(status="past_due"), at=NOON + 2 * MINUTE))),
    ("invoice", telling(event("invoice.paid", invoice()))),
    ("link", link),
    ("begun", begun),
]


@holds_for(40, 120, st.permutations(OURS), st.sets(st.sampled_from(["link", "updated", "invoice"])))
def test_a_sale_of_our_own_is_the_accounts_in_any_order(
    steps: list[tuple[str, Step]], left_out: set[str]
) -> None:
    world = run(step for name, step in steps if name not in left_out)
    assert seats(world) == {"acme": 2}
    assert (owner(world), owner(world, "cs_1"), linked(world)) == ("acme",) * 3
    account = world.book.load(ACCOUNT, "acme").state
    assert account.stripe.customers == ("cus_1",)
    assert list(account.stripe.invoices) == ([] if "invoice" in left_out else ["in_1"])
    assert world.book.load(STRIPE_CUSTOMER, "cus_1").state.waiting == ()


@holds_for(
    40,
    120,
    st.permutations(["session", "created", "updated", "invoice", "link", "begun"]),
    st.sets(st.sampled_from(["session", "created", "updated", "invoice"]), min_size=1),
    st.sampled_from(["acme", "beta"]),
)
def test_what_names_the_account_anywhere_gives_the_same_owner_in_any_order(
    order: list[str], naming: set[str], linked_to: str
) -> None:
    """The customer may be linked to another account: who is named outright has the subscription.

    Metadata that were added to a subscription of somebody else's customer come too late for that.
    """
    if linked_to == "beta" and not naming & {"session", "created"}:
        return

    def named(what: str) -> str | None:
        return "acme" if what in naming else None

    of_invoice: Json = {
        "parent": {
            "type": "subscription_details",
            "subscription_details": {
                "subscription": "sub_1",
                "metadata": {"keyfold_account": "acme"} if "invoice" in naming else {},
            },
        }
    }
    steps: dict[str, Step] = {
        "session": telling(completed(session(account=named("session")))),
        "created": telling(created(subscription(account=named("created")))),
        "updated": telling(
            changed(subscription(account=named("updated"), status="past_due"), at=NOON + 2 * MINUTE)
        ),
        "invoice": telling(event("invoice.paid", invoice(**of_invoice))),
        "link": lambda world: link(world, linked_to),
        "begun": begun,
    }
    world = run(steps[name] for name in order)
    assert (seats(world), owner(world)) == ({"acme": 2}, "acme")
    assert list(world.book.load(ACCOUNT, "acme").state.stripe.invoices) == ["in_1"]
    assert not world.book.load(ACCOUNT, "beta").state.stripe.invoices


@pytest.mark.parametrize("customer", ["cus_1", None])
def test_metadata_that_move_leave_the_seats_with_the_first_in_any_order(
    customer: str | None,
) -> None:
    moved = [
        created(subscription(customer=customer, customer_account="acct_1")),
        changed(subscription(customer=customer, account="beta"), at=NOON + MINUTE),
        changed(subscription(customer=customer, account="gamma"), at=NOON + 2 * MINUTE),
        changed(subscription(customer=customer, account=None), at=NOON + 3 * MINUTE),
    ]
    for order in itertools.permutations(moved):
        world = run(map(telling, order))
        assert (seats(world), owner(world)) == ({"acme": 2}, "acme"), order


def test_an_account_that_is_named_later_is_flagged() -> None:
    world = services()
    tell(world, created(subscription(customer=None)))
    outcome, problems = tell(
        world, changed(subscription(customer=None, account="beta"), at=NOON + MINUTE)
    )
    assert (outcome, problems) == ("reported", (CONFLICT,))
    assert world.book.load(STRIPE_OBJECT, "sub_1").state.claimed == ("beta",)


# Customers that change, or are not there


@pytest.mark.parametrize("other", ["beta", None])
def test_under_another_customer_it_is_still_the_same_accounts(other: str | None) -> None:
    world = services()
    if other:
        link_customer(world, context(NOON), other, "cus_2")
    tell(world, created(subscription()))
    more = unnamed(customer="cus_2", items=[item("cloud_pos_month", 5)])
    assert tell(world, changed(more, at=NOON + MINUTE))[0] == "reported"
    assert seats(world) == {"acme": 5}
    assert linked(world, "cus_2") == other


def test_without_a_customer_it_waits_until_an_object_names_the_account() -> None:
    world = services()
    assert tell(world, created(unnamed(customer=None)))[0] == "waiting"
    tell(world, event("invoice.paid", invoice(customer=None)))
    tell(world, changed(subscription(customer=None, items=[item("cloud_pos_month", 3)]),
                        at=NOON + MINUTE))  # fmt: skip
    assert seats(world) == {"acme": 3}
    assert list(world.book.load(ACCOUNT, "acme").state.stripe.invoices) == ["in_1"]


def test_reports_under_several_customers_wait_for_one_owner() -> None:
    world = services()
    tell(world, created(unnamed()))
    tell(world, changed(unnamed(customer="cus_2"), at=NOON + MINUTE))
    tell(world, changed(unnamed(customer=None), at=NOON + 2 * MINUTE))
    link_customer(world, context(NOON + DAY), "acme", "cus_2")
    assert (seats(world), owner(world)) == ({"acme": 2}, "acme")
    link_customer(world, context(NOON + DAY), "beta", "cus_1")
    assert seats(world) == {"acme": 2}


def test_of_two_customers_at_once_one_gets_the_subscription() -> None:
    for _ in range(10):
        world = services()
        for account, customer in (("acme", "cus_1"), ("beta", "cus_2")):
            link_customer(world, context(NOON), account, customer)
        payloads = [changed(unnamed(customer=one), at=NOON) for one in ("cus_1", "cus_2")]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(partial(tell, world), payloads))
        assert sum(seats(world).values()) == 2
        assert list(seats(world)) == [owner(world)]


# What was recorded before a subscription had a stream of its own


def test_seats_that_two_accounts_had_on_record_are_the_firsts_from_the_next_word_on() -> None:
    world = services()._replace(stripe_holders=lambda _: ("acme", "beta"))
    report = read_report_of(world, subscription(customer=None))
    for account in ("acme", "beta"):
        world.book.append(context(NOON), Change(world.book.load(ACCOUNT, account), [report]))
    assert seats(world) == {"acme": 2, "beta": 2}
    tell(world, changed(subscription(customer=None, account="beta"), at=NOON + MINUTE))
    assert (seats(world), owner(world)) == ({"acme": 2}, "acme")


def test_seats_under_two_customers_on_record_are_the_firsts_from_the_next_word_on() -> None:
    world = services()._replace(stripe_holders=lambda _: ("acme", "beta"))
    for account, customer in (("acme", "cus_1"), ("beta", "cus_2")):
        report = read_report_of(world, subscription(customer=customer))
        assigned = StripeSubscriptionAssigned(stripe_subscription="sub_1", account=account)
        world.book.append(
            context(NOON),
            Change(world.book.load(ACCOUNT, account), [report]),
            Change(world.book.load(STRIPE_CUSTOMER, customer), [assigned]),
        )
    tell(world, changed(subscription(customer="cus_2"), at=NOON + MINUTE))
    assert (seats(world), owner(world)) == ({"acme": 2}, "acme")


def test_what_was_assigned_by_its_customer_before_stays_so() -> None:
    world = services()
    assigned = StripeSubscriptionAssigned(stripe_subscription="sub_1", account="acme")
    loaded = world.book.load(STRIPE_CUSTOMER, "cus_1")
    world.book.append(context(NOON), Change(loaded, [assigned]))
    tell(world, created(subscription(account="beta")))
    assert (seats(world), owner(world)) == ({"acme": 2}, "acme")


def read_report_of(world: Services, of: Json) -> StripeSubscriptionReported:
    report = read_report(read_event(created(of)), world.catalog).report
    assert isinstance(report, StripeSubscriptionReported)
    return report


# Disputes


def dispute(**more: Any) -> Json:
    of = {"id": "dp_1", "object": "dispute", "amount": 3000, "currency": "eur", **more}
    return event("charge.dispute.created", of, at=NOON + 2 * MINUTE)


def refunded() -> Json:
    of = {
        "id": "ch_1", "object": "charge", "amount": 3000, "amount_refunded": 100,
        "currency": "eur", "customer": "cus_1", "payment_intent": "pi_1",
    }  # fmt: skip
    return event("charge.refunded", of)


PAID: dict[str, Json] = {
    "at the top": {"charge": "ch_1", "payment_intent": "pi_1"},
    "in its payments": {
        "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}
    },
}


@pytest.mark.parametrize("by", [{"charge": "ch_1"}, {"payment_intent": "pi_1"}])
def test_a_dispute_reaches_the_account_by_its_charge_or_payment_in_any_order(by: Json) -> None:
    steps = [telling(created(subscription())), telling(refunded()), telling(dispute(**by))]
    for order in itertools.permutations(steps):
        world = run(order)
        assert kinds_on(world) == {"charge", "dispute"}


@pytest.mark.parametrize("paid", PAID.values(), ids=PAID)
def test_a_dispute_reaches_the_account_by_the_payment_of_its_invoice(paid: Json) -> None:
    steps = [
        telling(created(unnamed())),
        telling(event("invoice.paid", invoice(**paid))),
        telling(dispute(charge="ch_9", payment_intent="pi_1")),
        link,
    ]
    for order in itertools.permutations(steps):
        assert kinds_on(run(order)) == {"dispute"}


def test_a_dispute_reaches_the_account_whose_charge_was_on_record_before() -> None:
    world = services()._replace(stripe_holders=lambda id: ("acme",) if id == "ch_1" else ())
    assert tell(world, dispute(charge="ch_1"))[0] == "reported"
    assert kinds_on(world) == {"dispute"}


def test_a_dispute_of_a_shared_customer_is_of_the_account_whose_invoice_was_paid() -> None:
    world = services()
    tell(world, created(subscription()))
    tell(world, created(subscription("sub_2", account="beta")))
    parent = {"type": "subscription_details", "subscription_details": {"subscription": "sub_2"}}
    tell(world, event("invoice.paid", invoice(parent=parent, **PAID["at the top"])))
    tell(world, dispute(charge="ch_1"))
    assert (kinds_on(world), kinds_on(world, "beta")) == (set(), {"dispute"})


def kinds_on(world: Services, account: str = "acme") -> set[str]:
    return {
        one.fact.kind  # type: ignore[attr-defined]
        for one in world.book.follow(0)
        if one.stream == f"account-{account}" and one.name.startswith("stripe.charge_reported")
    }
