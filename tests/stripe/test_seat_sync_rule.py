"""What Stripe is told of billed seats, by the rule alone: facts in, one step out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ledger.catalog import parse
from ledger.events import Fact
from ledger.streams.account import seat_sync
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.seat_sync import SyncStatus, Verdict
from ledger.streams.account.seat_sync_state import SeatSyncs, Unanswered
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import (
    Meaning,
    StripeInvoiceLine,
    StripeInvoiceReported,
    StripeItem,
    StripePricesMapped,
    StripeSubscriptionReported,
)
from ledger.stripe.report_comparison import differing, is_news
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, SeatSyncStarted
from tests.stripe.billed_team import CATALOG, INCLUDED, TEAM
from tests.worlds import folded, rows

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
QUIET = timedelta(minutes=1)
PRODUCT = parse(CATALOG).products[0]

BASE = Meaning(TEAM, None, 0, INCLUDED, billed=True)
SEAT = Meaning(TEAM, None, 1, billed=True)


def item(id: str, meaning: Meaning | None, quantity: int | None, **fields: Any) -> StripeItem:
    given = {
        "id": id,
        "price": f"price_{id}",
        "lookup_key": None,
        "stripe_product": None,
        "quantity": quantity,
        "currency": "eur",
        "unit_amount": "2000",
        "interval": "month",
        "interval_count": 1,
        "usage_type": "licensed",
        "period_start": BEGIN,
        "period_end": END,
        "meaning": meaning,
    }
    return StripeItem(**{**given, **fields})


def report(*items: StripeItem, id: str = "sub_1", **fields: Any) -> StripeSubscriptionReported:
    given: dict[str, Any] = dict.fromkeys(StripeSubscriptionReported.__struct_fields__)
    given |= {
        "stripe_subscription": id,
        "customer": "cus_1",
        "source": "customer.subscription.updated",
        "created": BEGIN,
        "status": "active",
        "items": items,
        "started_at": BEGIN,
        "cancel_at_period_end": False,
        "discounts": (),
        "problems": (),
    }
    return StripeSubscriptionReported(**{**given, **fields})


def sold(quantity: int, **fields: Any) -> StripeSubscriptionReported:
    """Answer the base plan with so many further seats."""
    return report(item("si_base", BASE, 1), item("si_seat", SEAT, quantity), **fields)


def holders(count: int) -> list[Fact]:
    return [SeatOccupied(product=TEAM, tier=None, holder=f"user-{n}") for n in range(count)]


def account(*facts: Fact) -> Account:
    return folded(ACCOUNT, *((BEGIN, fact) for fact in facts))


def standing(*facts: Fact, at: datetime = NOW) -> SyncStatus:
    found = seat_sync.standing(account(*facts), PRODUCT, at)
    assert found is not None
    return found


def step(found: SyncStatus, at: datetime = NOW) -> tuple[str, str | None, int]:
    said = seat_sync.verdict(found, SeatSyncs(), at, QUIET, fetched=True)
    return said.why or said.outcome, said.step, said.wanted


# Which step


@dataclass(frozen=True)
class Case:
    """Of an item: the most that was billed, what it has, and what it is to have."""

    name: str
    billed: int
    quantity: int
    target: int
    then: tuple[str, str | None, int]
    status: str = "active"

    def __str__(self) -> str:
        return self.name


@rows(
    [
        Case("as it should be", 2, 2, 2, ("in_step", None, 0)),
        Case("a rise", 2, 2, 5, ("due", "raise", 5)),
        Case("a drop", 5, 5, 2, ("due", "lower", 2)),
        Case("a further drop", 5, 3, 2, ("due", "lower", 2)),
        Case("back up to what was billed", 5, 3, 5, ("due", "restore", 5)),
        Case("back up to less", 5, 3, 4, ("due", "restore", 4)),
        Case("beyond what was billed, from below", 5, 3, 7, ("due", "restore", 5)),
        Case("beyond what was billed, from there", 5, 5, 7, ("due", "raise", 7)),
        Case("to none", 5, 5, 0, ("due", "lower", 0)),
        Case("in a trial up", 1, 1, 4, ("due", "adjust", 4), "trialing"),
        Case("in a trial down", 4, 4, 1, ("due", "adjust", 1), "trialing"),
        Case("past due", 2, 2, 5, ("past_due", None, 0), "past_due"),
        Case("unpaid", 2, 2, 5, ("unpaid", None, 0), "unpaid"),
        Case("paused", 2, 2, 5, ("paused", None, 0), "paused"),
    ]
)
def test_a_step(case: Case) -> None:
    before = sold(case.billed, status=case.status)
    now = sold(case.quantity, status=case.status, created=BEGIN + timedelta(days=1))
    found = standing(before, now, *holders(INCLUDED + case.target))
    assert step(found) == case.then


def test_of_a_new_period_only_what_is_billed_in_it_counts() -> None:
    later = {"period_start": END, "period_end": END + timedelta(days=30)}
    renewed = report(
        item("si_base", BASE, 1, **later), item("si_seat", SEAT, 2, **later), created=END
    )
    found = standing(sold(5), renewed, *holders(INCLUDED + 4), at=END + timedelta(days=1))
    assert (found.billed, found.quantity) == (2, 2)
    assert step(found, END + timedelta(days=1)) == ("due", "raise", 4)


def test_what_a_subscription_had_in_a_trial_was_not_billed() -> None:
    trial = sold(9, status="trialing")
    found = standing(trial, sold(2, created=BEGIN + timedelta(days=1)), *holders(INCLUDED + 4))
    assert found.billed == 2
    assert step(found) == ("due", "raise", 4)


REPORTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 2), st.sampled_from(["active", "trialing"])),
    min_size=1,
    max_size=6,
)


@given(REPORTS, st.randoms(use_true_random=False))
def test_what_was_billed_is_the_same_in_whatever_order_reports_come(
    told: Sequence[tuple[int, int, str]], chance: Any
) -> None:
    reports = [
        report(
            item("si_seat", SEAT, quantity, period_start=BEGIN + timedelta(days=30 * period)),
            status=status,
            created=BEGIN + timedelta(days=30 * period, seconds=number),
        )
        for number, (quantity, period, status) in enumerate(told)
    ]
    shuffled = chance.sample(reports, len(reports))
    billed = account(*reports).stripe.subscriptions["sub_1"].billed
    assert account(*shuffled, *shuffled).stripe.subscriptions["sub_1"].billed == billed


@pytest.mark.parametrize(
    ("status", "proration", "counts"),
    [
        ("paid", False, True),
        ("paid", True, True),
        ("open", False, True),
        ("open", True, False),
        ("void", False, False),
        ("draft", False, False),
    ],
)
def test_what_is_on_an_invoice_of_the_period_was_billed(
    status: str, proration: bool, counts: bool
) -> None:
    line = StripeInvoiceLine(
        "il_1", 14000, 7, "price_si_seat", None, "si_seat", proration, BEGIN, END
    )
    given: dict[str, Any] = dict.fromkeys(StripeInvoiceReported.__struct_fields__)
    given |= {
        "invoice": "in_1",
        "source": "invoice.paid",
        "created": BEGIN,
        "stripe_subscription": "sub_1",
        "status": status,
        "lines": (line, replace(line, amount=-100, quantity=9), replace(line, item="si_other")),
        "discounts": (),
        "problems": (),
    }
    found = standing(sold(2), StripeInvoiceReported(**given))
    assert found.billed == (7 if counts else 2)


# Of what, and how many


def test_a_unit_may_be_several_seats() -> None:
    fives = replace(SEAT, per_unit=5)
    sold_in_fives = report(item("si_base", BASE, 1), item("si_seat", fives, 1))
    assert standing(sold_in_fives, *holders(INCLUDED + 5)).target == 1
    assert standing(sold_in_fives, *holders(INCLUDED + 6)).target == 2


def test_of_two_subscriptions_the_first_is_written_and_the_other_provides() -> None:
    second = report(
        item("si_b2", BASE, 1),
        item("si_s2", SEAT, 2),
        id="sub_2",
        started_at=BEGIN + timedelta(days=1),
    )
    found = standing(second, sold(0), *holders(10))
    assert found.subscription.id == "sub_1"
    assert found.target == 10 - INCLUDED - (INCLUDED + 2)


@pytest.mark.parametrize(
    ("sold_to", "count", "why"),
    [
        ([(0, 2)], INCLUDED + 2, ""),
        ([(0, 2)], INCLUDED + 1, "other_items"),
        ([(0, 2)], 0, "other_items"),
        ([(0, 0)], 0, ""),
        ([(0,), (0, 2)], INCLUDED * 2 + 2, ""),
        ([(0,), (0, 2)], INCLUDED * 2 + 1, "other_items"),
    ],
)
def test_seats_that_another_item_bills_and_nobody_needs_are_not_in_step(
    sold_to: list[tuple[int, ...]], count: int, why: str
) -> None:
    told = [
        report(
            item(f"si_base_{number}", BASE, 1),
            *(item(f"si_{number}_{n}", SEAT, its) for n, its in enumerate(quantities)),
            id=f"sub_{number}",
            started_at=BEGIN + timedelta(days=number),
        )
        for number, quantities in enumerate(sold_to)
    ]
    found = standing(*told, *holders(count))
    said = seat_sync.verdict(found, SeatSyncs(), NOW, None)
    assert (said.outcome, said.why) == ("left_alone" if why else "in_step", why)


def test_one_that_is_unpaid_does_not_keep_another_from_being_written() -> None:
    second = report(item("si_s2", SEAT, 2), id="sub_2", started_at=BEGIN + timedelta(days=1))
    assert standing(sold(0, status="unpaid"), second).subscription.id == "sub_2"
    assert standing(sold(0, status="past_due"), second).subscription.id == "sub_1"


def test_a_price_that_was_given_its_meaning_later_counts() -> None:
    unknown = report(item("si_seat", None, 2))
    assert seat_sync.standing(account(unknown), PRODUCT, NOW) is None
    mapped = StripePricesMapped(meanings={"price_si_seat": SEAT})
    assert standing(unknown, mapped, *holders(3)).target == 3


def test_a_product_that_is_not_billed_any_more_is_none_of_it() -> None:
    capped = replace(PRODUCT, seats="capped", included=0)
    assert seat_sync.standing(account(sold(2)), capped, NOW) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"usage_type": "metered", "quantity": None}, "metered"),
        ({"period_start": None, "period_end": None}, "no_period"),
    ],
)
def test_an_item_that_has_no_quantity_or_no_period_is_left_alone(
    changed: dict[str, Any], why: str
) -> None:
    fields: dict[str, Any] = {"quantity": 1, **changed}
    odd = report(item("si_seat", SEAT, fields.pop("quantity"), **fields))
    assert step(standing(odd, *holders(9)))[0] == why


@pytest.mark.parametrize("fetched", [False, True])
def test_a_quantity_that_is_not_known_is_no_quantity(fetched: bool) -> None:
    odd = report(item("si_base", BASE, 1), item("si_seat", SEAT, None))
    for count in (0, INCLUDED, INCLUDED + 2):
        found = standing(odd, *holders(count))
        said = seat_sync.verdict(found, SeatSyncs(), NOW, QUIET, fetched=fetched)
        assert (said.outcome, said.why) == ("left_alone", "unknown_quantity")


def test_the_base_plan_includes_the_same_whatever_its_quantity() -> None:
    found = standing(report(item("si_base", BASE, None)), *holders(INCLUDED + 1))
    assert step(found) == ("due", "raise", 1)


@pytest.mark.parametrize(
    ("other", "known"),
    [
        ({"items": (item("si_s2", SEAT, None),)}, False),
        ({"items": None}, False),
        ({"items": (item("si_s2", SEAT, 2),)}, True),
        ({"items": (item("si_x", Meaning("cloud_pos", None, 1), None),)}, True),
        ({"items": (item("si_s2", SEAT, None),), "status": "canceled"}, True),
        ({"items": None, "ended_at": BEGIN, "status": "canceled"}, True),
    ],
)
def test_what_another_subscription_provides_must_be_known(
    other: dict[str, Any], known: bool
) -> None:
    second = report(id="sub_2", **{"started_at": BEGIN + timedelta(days=1), **other})
    found = standing(second, sold(0), *holders(9))
    assert found.subscription.id == "sub_1"
    assert found.uncounted == (() if known else ("sub_2",))
    assert step(found)[0] == ("due" if known else "unknown_quantity")


def test_an_unknown_quantity_is_news_whatever_becomes_of_it() -> None:
    odd = report(item("si_base", BASE, 1), item("si_seat", SEAT, None))
    (known,) = account(odd).stripe.subscriptions.values()
    later = report(
        item("si_base", BASE, 1), item("si_seat", SEAT, 0), created=BEGIN + timedelta(hours=1)
    )
    assert differing(known, later) == ["items"]
    assert is_news(known, later)


def test_where_the_catalog_has_no_price_for_further_seats_nothing_is_added() -> None:
    yearly = report(item("si_base", BASE, 1, interval="year"))
    assert step(standing(yearly, *holders(9)))[0] == "no_price"
    monthly = report(item("si_base", BASE, 1))
    found = standing(monthly, *holders(9))
    assert found.price is not None
    assert (found.price.lookup_key, step(found)) == ("team_seat_month", ("due", "raise", 6))


# When


def test_a_period_that_is_over_by_what_we_know_is_looked_at() -> None:
    after = END + timedelta(minutes=5)
    found = standing(sold(1), *holders(9), at=after)
    assert seat_sync.verdict(found, SeatSyncs(), after, QUIET).outcome == "due"
    fetched = seat_sync.verdict(found, SeatSyncs(), after, QUIET, fetched=True)
    assert (fetched.why, fetched.until) == ("period_ends", after + timedelta(minutes=1))


def test_one_of_which_nothing_was_heard_is_asked_for_and_then_left_alone() -> None:
    late = END + timedelta(days=4)
    found = standing(sold(1), *holders(9), at=late)
    assert found.status == "unconfirmed"
    assert seat_sync.verdict(found, SeatSyncs(), late, QUIET).outcome == "due"
    assert seat_sync.verdict(found, SeatSyncs(), late, QUIET, fetched=True).why == "unconfirmed"


STARTED = SeatSyncStarted(
    product=TEAM,
    stripe_subscription="sub_1",
    item="si_seat",
    price=None,
    period_start=BEGIN,
    step="raise",
    quantity=1,
    wanted=3,
    billed=1,
    holders=6,
    idempotency_key="seats:1",
)
FAILED = SeatSyncFailed(
    product=TEAM, stripe_subscription="sub_1", code="card_declined", card=True,
    idempotency_key="seats:1",
)  # fmt: skip
DONE = SeatsSynced(
    product=TEAM, stripe_subscription="sub_1", item="si_seat", quantity=3, invoice="in_1",
    invoice_status="paid", outcome="answered", idempotency_key="seats:1",
)  # fmt: skip


def test_what_was_begun_comes_before_anything_else() -> None:
    state = account(sold(1), *holders(9), STARTED)
    found = standing(sold(1), *holders(9))
    said = seat_sync.verdict(found, state.seat_syncs, NOW, QUIET)
    assert said == Verdict("unfinished", unanswered=Unanswered(STARTED, BEGIN))


def test_what_was_refused_is_tried_after_longer_and_longer_until_something_is_done() -> None:
    waits = []
    for tries in range(1, 8):
        syncs = account(*[STARTED, FAILED] * tries).seat_syncs
        refused = syncs.refused[TEAM]
        assert refused.tries == tries
        waits.append((seat_sync.retry_at(refused) - refused.at) / timedelta(hours=1))
    assert waits == [1, 2, 4, 8, 16, 24, 24]
    assert TEAM not in account(STARTED, FAILED, STARTED, DONE).seat_syncs.refused


def test_only_what_was_refused_waits() -> None:
    syncs = SeatSyncs(refused=account(STARTED, FAILED).seat_syncs.refused)
    soon = BEGIN + timedelta(minutes=30)
    more = standing(sold(1), *holders(INCLUDED + 3), at=soon)
    assert seat_sync.verdict(more, syncs, soon, QUIET).why == "refused"
    fewer = standing(sold(1), *holders(INCLUDED), at=soon)
    assert seat_sync.verdict(fewer, syncs, soon, QUIET).step == "lower"
    assert seat_sync.verdict(more, syncs, soon, None).outcome == "due"


# What is given up


LATER = NOW + timedelta(minutes=3)
SIX = holders(INCLUDED + 3)


@pytest.mark.parametrize(
    ("now", "later", "what"),
    [
        ([sold(1), *SIX], NOW, "again"),
        ([sold(1), *SIX], LATER, "not_done"),
        ([sold(1), *SIX], NOW - timedelta(hours=1), "not_done"),
        ([sold(1), *holders(INCLUDED)], NOW, "under_way"),
        ([sold(1), *holders(INCLUDED)], LATER, "target_changed"),
        ([sold(1), *holders(INCLUDED + 9)], LATER, "target_changed"),
        ([sold(2), *SIX], NOW, "under_way"),
        ([sold(2), *SIX], LATER, "quantity_changed"),
        ([sold(1, status="past_due"), *SIX], NOW, "status_changed"),
        ([sold(1, id="sub_9"), *SIX], NOW, "status_changed"),
        ([report(item("si_seat", SEAT, 1, period_start=END)), *SIX], NOW, "period_over"),
    ],
)
def test_what_becomes_of_a_step_that_was_not_done(
    now: list[Fact], later: datetime, what: str
) -> None:
    unanswered = Unanswered(STARTED, NOW)
    syncs = SeatSyncs(unanswered=SeatSyncs().unanswered.set(TEAM, unanswered))
    assert seat_sync.carry_on(unanswered, standing(*now, at=NOW), syncs, later) == what


def test_a_step_on_what_is_gone_is_given_up() -> None:
    said = seat_sync.carry_on(Unanswered(STARTED, NOW), None, SeatSyncs(), NOW)
    assert said == "status_changed"


def test_what_was_given_up_does_not_wait_as_what_stripe_refused() -> None:
    soon = NOW + timedelta(minutes=30)
    for code in ("not_done", "target_changed", "key_expired", "period_over"):
        syncs = account(STARTED, replace(FAILED, code=code, card=False)).seat_syncs
        found = standing(sold(1), *holders(INCLUDED + 3), at=soon)
        assert seat_sync.verdict(found, syncs, soon, QUIET).outcome == "due"
