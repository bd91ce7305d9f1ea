"""Seats that are added to a Stripe subscription: to which, by which item, and when not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from immutables import Map
from msgspec.structs import replace

from ledger.catalog import builtin
from ledger.refusals import (
    FieldError,
    IdempotencyKeyReused,
    InvalidRequest,
    Refusal,
    SeatsFollowHolders,
    SubscriptionNotChangeable,
)
from ledger.streams.account import purchases
from ledger.streams.account.purchases import Priced, Wanted
from ledger.stripe.facts import Meaning, StripeSubscriptionReported
from ledger.stripe.objects import read_subscription
from ledger.stripe.reader import Origin
from ledger.stripe.requests import StripeSeatsAnswered
from ledger.stripe.subscriptions import StripeSubscription, with_report
from tests.stripe.payloads import item, subscription
from tests.worlds import DAY, MINUTE, NOON, event

POS = Wanted("cloud_pos", None, 2, "month", "what")
GROWTH = Wanted("integrations", "growth", 2, "month", "what")
STARTER = item("integrations_starter_month", 3)
YEARLY = {"interval": "year", "interval_count": 1, "usage_type": "licensed"}


def reported(id: str = "sub_1", began: timedelta = timedelta(), **more: Any) -> StripeSubscription:
    told = subscription(id, began=NOON + began, **more)
    origin = Origin("customer.subscription.updated", NOON, "evt_1")
    report = read_subscription(told, origin, builtin()).report
    assert isinstance(report, StripeSubscriptionReported)
    return with_report(None, report, 1)


def yearly(id: str, **more: Any) -> StripeSubscription:
    told = item("cloud_pos_year", 2)
    return reported(id, items=[{**told, "price": {**told["price"], "recurring": YEARLY}}], **more)


@dataclass(frozen=True)
class Choice:
    says: str
    given: list[StripeSubscription]
    chosen: str | None
    wanted: Wanted = POS


# Each loser is better in all that counts less.
CHOICES = [
    Choice("none at all", [], None),
    Choice("none of the product", [reported(items=[STARTER])], None),
    Choice("one that ended", [reported(status="canceled", ended_at=int(NOON.timestamp()))], None),
    Choice("one that can be changed", [yearly("a"), reported("b", status="past_due")], "a"),
    Choice(
        "one that has the tier",
        [
            reported("a", items=[item("integrations_growth_month", 1)]),
            reported("b", MINUTE, items=[STARTER]),
        ],
        "a",
        GROWTH,
    ),
    Choice("one that is paid as often", [reported("a"), yearly("b", began=MINUTE)], "a"),
    Choice(
        "one that renews", [reported("a"), reported("b", MINUTE, cancel_at_period_end=True)], "a"
    ),
    Choice("the one that started last", [reported("b"), reported("a", MINUTE)], "a"),
    Choice("the greater id", [reported("a"), reported("b")], "b"),
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.says)
@pytest.mark.parametrize("turned", [False, True])
def test_which_subscription_is_added_to(choice: Choice, turned: bool) -> None:
    given = choice.given[::-1] if turned else choice.given
    place = purchases.find_seat_target(given, {}, choice.wanted, NOON + MINUTE * 2)
    assert (place.subscription.id if place else None) == choice.chosen


def ask(of: StripeSubscription, wanted: Wanted = POS, **mapped: Meaning) -> Any:
    place = purchases.find_seat_target([of], mapped, wanted, NOON + MINUTE)
    assert place is not None
    (fact,) = purchases.ask(place, wanted, Priced("price_new", 1), NOON + MINUTE)
    return fact


def test_an_item_is_raised_where_there_is_one() -> None:
    fact = ask(reported())
    assert (fact.item, fact.price) == ("si_cloud_pos_month", None)
    assert (fact.quantity_before, fact.quantity, fact.seats_after) == (2, 4, 4)


def test_an_item_is_added_for_another_tier() -> None:
    fact = ask(reported(items=[STARTER]), GROWTH)
    assert (fact.item, fact.price) == (None, "price_new")
    assert (fact.quantity_before, fact.quantity, fact.seats_after) == (0, 2, 2)


def test_seats_that_are_sold_in_fives_are_added_in_fives() -> None:
    fives = reported(items=[item(None, 2, price="price_fives")])
    meaning = Meaning("cloud_pos", None, 5)
    fact = ask(fives, POS._replace(seats=10), price_fives=meaning)
    assert (fact.quantity, fact.seats_after) == (4, 20)
    with pytest.raises(InvalidRequest):
        ask(fives, POS._replace(seats=4), price_fives=meaning)


REFUSED: list[tuple[StripeSubscription, Wanted, Refusal]] = [
    *(
        (reported(status=status), POS, SubscriptionNotChangeable("sub_1", status))
        for status in ("past_due", "unpaid", "incomplete", "paused", "a_new_word")
    ),
    (
        reported(pause_collection={"behavior": "void", "resumes_at": None}),
        POS._replace(interval="year"),
        SubscriptionNotChangeable("sub_1", "paused"),
    ),
    (
        reported(),
        POS._replace(interval="year"),
        InvalidRequest(FieldError("/interval", "must be month: that is how often sub_1 is paid")),
    ),
    (
        reported(),
        POS._replace(seats=99_999),
        InvalidRequest(FieldError("/seats", "must leave at most 100000 in all: there are 2")),
    ),
]


@pytest.mark.parametrize(("given", "wanted", "refusal"), REFUSED, ids=str)
def test_when_it_is_not_added_to(
    given: StripeSubscription, wanted: Wanted, refusal: Refusal
) -> None:
    with pytest.raises(type(refusal)) as caught:
        ask(given, wanted)
    assert str(caught.value) == str(refusal)


def test_seats_that_are_billed_by_their_holders_are_not_added_to() -> None:
    billed = Meaning("cloud_pos", None, 1, billed=True)
    with pytest.raises(SeatsFollowHolders):
        ask(
            reported(items=[item(None, 2, price="price_billed")]),
            POS._replace(interval="year"),
            price_billed=billed,
        )


def test_a_change_is_under_way_until_it_is_answered() -> None:
    fact = ask(reported(), POS._replace(request="k-1"))
    begun = purchases.fold(Map(), event(fact, NOON, 3))
    (asked,) = purchases.of(begun, "sub_1")
    assert asked.under_way
    (answered,) = purchases.answer(begun, asked, "refused", "card_declined")
    assert answered == StripeSeatsAnswered(
        stripe_subscription="sub_1", asked=3, outcome="refused", reason="card_declined"
    )
    over = purchases.fold(begun, event(answered, NOON + DAY, 4))
    assert purchases.of(over, "sub_1") == (replace(asked, outcome="refused"),)
    assert purchases.answer(over, asked, "done") == []


def test_a_request_is_known_by_its_key_or_while_it_is_under_way() -> None:
    keyed = POS._replace(request="k-1")
    begun = purchases.fold(Map(), event(ask(reported(), keyed), NOON, 3))
    (asked,) = purchases.of(begun, "sub_1")
    done = begun.set(3, replace(asked, outcome="done"))
    refused = begun.set(3, replace(asked, outcome="refused"))
    assert purchases.repeated(begun, keyed) == purchases.repeated(begun, POS) == asked
    assert purchases.repeated(done, keyed) == done[3]
    assert purchases.repeated(done, POS) is None
    assert purchases.repeated(refused, keyed) is None
    assert purchases.repeated(begun, POS._replace(fingerprint="other")) is None
    with pytest.raises(IdempotencyKeyReused):
        purchases.repeated(refused, keyed._replace(fingerprint="other"))
