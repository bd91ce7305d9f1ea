"""Billed seats and the money for them, with Stripe's own library against the stand-in."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import Retrieved
from commands.issue_keys import Order, issue_keys
from commands.redeem_key import Try, redeem_key
from commands.replace_holder import Replacement, replace_holder
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripeSubscriptionReported
from ledger.stripe.requests import SeatsSynced, SeatSyncFailed, SeatSyncStarted
from projections.views.account_at import Moment, account_at
from projections.views.seats import seat as seat_view
from tests.stripe.billed_team import (
    ACME,
    BASE_AMOUNT,
    INCLUDED,
    QUIET,
    SEAT_AMOUNT,
    TEAM,
    BilledTeam,
    billed_team,
)
from tests.worlds import context

# How Stripe may reckon a change within a period.
RECKONINGS = pytest.mark.parametrize(
    ("mode", "credit"),
    [
        ("classic", "current_quantity"),
        ("flexible", "current_quantity"),
        ("flexible", "debited_quantity"),
    ],
)


def rest_of_period(team: BilledTeam, amount: int) -> int:
    """Answer what an amount for a whole period is for what is left of it."""
    item = team.items[team.base_price]
    start, end = item["current_period_start"], item["current_period_end"]
    return int(Fraction(amount * (end - team.stripe.clock), end - start) + Fraction(1, 2))


# Rises and drops


def test_the_seats_of_the_base_plan_cost_nothing_more() -> None:
    with billed_team() as team:
        team.take(INCLUDED)
        assert team.sync().outcome == "in_step"
        assert team.paid() == BASE_AMOUNT
        assert team.writes() == []


@RECKONINGS
def test_the_first_further_seat_is_billed_at_once_for_the_rest_of_the_period(
    mode: str, credit: str
) -> None:
    with billed_team(mode=mode, credit=credit) as team:
        team.wait(days=10)
        team.take(INCLUDED + 1)
        synced = team.sync()
        assert (synced.quantity, synced.outcome) == (1, "in_step")
        assert team.quantity == 1
        assert team.paid() == BASE_AMOUNT + rest_of_period(team, SEAT_AMOUNT)
        assert [step.invoice_status for step in synced.steps] == ["paid"]


@RECKONINGS
def test_a_rise_is_billed_at_once_and_only_what_is_more(mode: str, credit: str) -> None:
    with billed_team(seats=2, mode=mode, credit=credit) as team:
        team.wait(days=10)
        before = team.paid()
        team.take(INCLUDED + 5)
        team.sync()
        five, two = (rest_of_period(team, n * SEAT_AMOUNT) for n in (5, 2))
        assert team.paid() - before == five - two
        assert [one.step for one in team.facts(SeatSyncStarted)] == ["raise"]


@RECKONINGS
def test_a_drop_takes_effect_at_the_next_billing_cycle(mode: str, credit: str) -> None:
    with billed_team(seats=4, mode=mode, credit=credit) as team:
        team.take(INCLUDED + 4)
        team.wait(days=10)
        team.give_back(3)
        before = team.paid()
        team.sync()
        assert (team.quantity, team.paid()) == (1, before)
        team.wait(days=25)
        assert team.paid() - before == BASE_AMOUNT + SEAT_AMOUNT


@RECKONINGS
def test_a_seat_given_back_and_taken_again_in_a_period_is_billed_once(
    mode: str, credit: str
) -> None:
    with billed_team(mode=mode, credit=credit) as team:
        team.take(INCLUDED + 2)
        team.sync()
        paid = team.paid()
        for _ in range(3):
            team.wait(days=2)
            team.give_back(2)
            team.sync()
            team.wait(days=2)
            team.take(2)
            team.sync()
        assert (team.quantity, team.paid()) == (2, paid)


@RECKONINGS
def test_after_a_drop_only_what_is_above_what_was_billed_is_billed(mode: str, credit: str) -> None:
    with billed_team(seats=5, mode=mode, credit=credit) as team:
        team.take(INCLUDED + 3)
        team.sync()
        team.wait(days=10)
        team.take(3)
        before = team.paid()
        synced = team.sync()
        assert [(step.step, step.wanted) for step in synced.steps] == [("restore", 5), ("raise", 6)]
        six, five = (rest_of_period(team, n * SEAT_AMOUNT) for n in (6, 5))
        assert team.paid() - before == six - five


def test_what_was_lowered_is_billed_again_in_the_next_period() -> None:
    with billed_team(seats=5) as team:
        team.take(INCLUDED + 2)
        team.sync()
        team.wait(days=32)
        before = team.paid()
        team.take(1)
        assert [step.step for step in team.sync().steps] == ["raise"]
        assert team.paid() > before


def test_nothing_is_written_where_stripe_has_what_is_wanted_already() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 1)
        items = [{"price": team.seat_price, "quantity": 1}]
        team.stripe.post(f"/v1/subscriptions/{team.subscription}", {"items": items})
        synced = team.sync()
        assert (synced.outcome, synced.quantity, synced.steps) == ("in_step", 1, [])
        assert team.writes() == []


def test_our_own_echo_only_confirms() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 1)
        team.sync()
        subscription = team.account().stripe.subscriptions[team.subscription]
        echoes = [one for one in team.facts(StripeSubscriptionReported) if one.stripe_event]
        assert echoes[-1].items == subscription.items
        assert team.sync().steps == []
        assert len(team.writes()) == 1


def test_a_renewal_that_nobody_told_us_of_is_read_before_anything_is_written() -> None:
    with billed_team(seats=5) as team:
        team.take(INCLUDED + 2)
        team.sync()
        team.wait_until(team.period_end + timedelta(hours=5), hear=False)
        team.take(2)
        before = team.paid()
        assert [step.step for step in team.sync().steps] == ["raise"]
        four, two = (rest_of_period(team, n * SEAT_AMOUNT) for n in (4, 2))
        assert team.paid() - before == four - two


def test_every_call_carries_a_key_of_its_own_also_for_the_same_quantity() -> None:
    with billed_team(seats=2) as team:
        team.take(INCLUDED + 2)
        for change in (team.give_back, team.take, team.give_back):
            change(1)
            team.sync()
        keys = [one.idempotency_key for one in team.writes()]
        assert len(set(keys)) == len(keys) == 3
        assert keys == [one.idempotency_key for one in team.facts(SeatSyncStarted)]
        assert all(team.item in key for key in keys)


# What keys provide


def test_seats_that_a_key_provides_are_used_before_any_is_billed() -> None:
    with billed_team() as team:
        order = Order(TEAM, None, seats=4, months=1, count=1, reseller="Northwind")
        key = issue_keys(team.world, context(team.now), order).keys[0]
        redeem_key(team.world, context(team.now), Try(ACME, "s-1", key.code))
        team.take(INCLUDED + 6)
        assert team.sync().target == 2
        assert team.quantity == 2
        team.wait(days=32)
        assert team.sync().target == 6
        assert team.quantity == 6


# When it is left alone


def test_a_subscription_that_is_past_due_is_not_touched_until_it_is_paid() -> None:
    with billed_team(seats=1) as team:
        team.take(INCLUDED + 1)
        team.stripe.fail_payments(team.customer)
        team.wait(days=31, hours=2)
        team.take(2)
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("left_alone", "past_due")
        assert team.writes() == []
        team.stripe.mend_payments(team.customer)
        team.wait(days=4)
        assert team.sync().quantity == 3


def test_a_subscription_whose_collection_is_paused_is_not_touched() -> None:
    with billed_team(seats=1) as team:
        pause = {"pause_collection": {"behavior": "void"}}
        team.stripe.post(f"/v1/subscriptions/{team.subscription}", pause)
        team.hear()
        team.take(INCLUDED + 3)
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("left_alone", "paused")
        assert team.writes() == []


def test_of_a_subscription_that_has_ended_there_is_nothing_to_say() -> None:
    with billed_team(seats=1) as team:
        team.take(INCLUDED + 3)
        team.stripe.delete(f"/v1/subscriptions/{team.subscription}")
        team.hear()
        with pytest.raises(ValueError, match="not enough values"):
            team.sync()
        assert team.writes() == []


def test_a_trial_follows_the_holders_and_bills_them_from_its_end() -> None:
    with billed_team(seats=1, trial_days=14) as team:
        team.take(INCLUDED + 4)
        synced = team.sync()
        assert [(step.step, step.quantity) for step in synced.steps] == [("adjust", 4)]
        assert team.paid() == 0
        team.wait(days=15)
        assert team.paid() == BASE_AMOUNT + 4 * SEAT_AMOUNT


# When it waits


def test_stripe_is_told_once_the_seats_have_been_quiet() -> None:
    with billed_team() as team:
        team.take(INCLUDED)
        for _ in range(3):
            team.take(2)
            assert team.sync(QUIET).why == "quiet"
            team.wait(seconds=59)
            assert team.sync(QUIET).why == "quiet"
        assert team.writes() == []
        team.wait(seconds=1)
        assert team.sync(QUIET).quantity == 6
        assert len(team.writes()) == 1


def test_seats_that_go_on_moving_are_told_of_after_ten_minutes() -> None:
    with billed_team() as team:
        told_at = []
        for second in range(0, 1500, 50):
            team.take(1)
            if team.sync(QUIET).steps:
                told_at.append(second)
            team.wait(seconds=50)
        assert told_at[0] == 600
        assert len(told_at) == 2


def test_the_last_minutes_of_a_period_are_not_waited_through() -> None:
    with billed_team(seats=2) as team:
        team.take(INCLUDED + 2)
        team.wait_until(team.period_end - timedelta(seconds=100))
        team.give_back(2)
        assert team.sync(QUIET).quantity == 0
        before = team.paid()
        team.wait(hours=2)
        assert team.paid() - before == BASE_AMOUNT


def test_within_a_minute_of_a_periods_end_nothing_is_written() -> None:
    with billed_team(seats=2) as team:
        team.wait_until(team.period_end - timedelta(seconds=59))
        team.take(INCLUDED + 4)
        synced = team.sync()
        assert (synced.outcome, synced.why) == ("waiting", "period_ends")
        assert synced.until == team.period_end + timedelta(minutes=1)
        team.wait_until(synced.until)
        assert team.sync().quantity == 4


# When the card is refused


def test_a_refused_card_changes_nothing_and_is_tried_again_after_an_hour() -> None:
    with billed_team(seats=1) as team:
        team.take(INCLUDED + 2)
        team.stripe.fail_payments(team.customer)
        before = team.paid()
        synced = team.sync(QUIET - QUIET)
        assert [step.refused for step in synced.steps] == ["card_declined"]
        assert (synced.outcome, synced.why) == ("waiting", "refused")
        assert (team.quantity, team.paid()) == (1, before)
        (failed,) = team.facts(SeatSyncFailed)
        assert failed.card
        team.wait(minutes=59)
        assert team.sync(QUIET).steps == []
        team.stripe.mend_payments(team.customer)
        team.wait(minutes=1)
        assert team.sync(QUIET).quantity == 2
        assert len(team.facts(SeatsSynced)) == 1


def test_while_the_card_is_refused_a_drop_is_still_told() -> None:
    with billed_team(seats=2) as team:
        team.take(INCLUDED + 3)
        team.stripe.fail_payments(team.customer)
        team.sync()
        team.give_back(2)
        assert team.sync().quantity == 1


# Nobody is refused


def test_a_billed_seat_is_never_refused_and_licensed_while_a_subscription_lives() -> None:
    with billed_team() as team:
        team.take(50)
        assert all(_licensed(team, name) for name in team.people)
        assert team.account().pool(TEAM, None, team.now).over == 0


def test_when_the_subscription_has_ended_what_a_key_provides_still_holds() -> None:
    with billed_team() as team:
        order = Order(TEAM, None, seats=2, months=12, count=1, reseller="Northwind")
        key = issue_keys(team.world, context(team.now), order).keys[0]
        redeem_key(team.world, context(team.now), Try(ACME, "s-1", key.code))
        team.take(6)
        team.stripe.delete(f"/v1/subscriptions/{team.subscription}")
        team.hear()
        assert [_licensed(team, name) for name in team.people] == [True] * 2 + [False] * 4
        team.take(1)
        assert not _licensed(team, team.people[-1])


def _licensed(team: BilledTeam, holder: str) -> bool:
    asked = account_at(team.world.book, ACME, Moment(team.now))
    assert asked.version == team.world.book.load(ACCOUNT, ACME).version
    return seat_view(asked, TEAM, holder).licensed


def test_what_stripe_is_slow_to_tell_is_known_when_it_has_told() -> None:
    with billed_team() as team:
        team.take(INCLUDED + 2)

        class Slow(StripeGateway):
            def subscription(self, id: str, **more: Any) -> Retrieved:
                found = super().subscription(id, **more)
                team.wait_until(team.now + timedelta(seconds=30), hear=False)
                return found

        team.wait(minutes=5)
        changed = {"cancel_at_period_end": True}
        team.stripe.post(f"/v1/subscriptions/{team.subscription}", changed)
        before, asked_at = team.world.book.head(), team.now
        slow = team.world._replace(stripe=Slow(team.stripe.api_key, team.stripe.url))
        team.sync(world=slow)
        told = [
            event.recorded_at
            for event in team.world.book.follow(before)
            if isinstance(event.fact, StripeSubscriptionReported)
        ]
        assert told
        assert min(told) >= asked_at + timedelta(seconds=30)


def test_a_user_who_takes_anothers_seat_costs_nothing_more() -> None:
    with billed_team() as team:
        team.take(5)
        team.wait(minutes=2)
        team.sync()
        paid, writes = team.paid(), len(team.writes())
        wanted = Replacement(ACME, TEAM, None, "user-9", "user-1")
        replace_holder(team.world, context(team.now), wanted)
        team.wait(minutes=2)
        team.sync()
        assert (team.paid(), len(team.writes())) == (paid, writes)
        assert len(team.account().seats) == 5
