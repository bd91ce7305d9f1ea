"""What an event changes of what is coming, whatever an account's history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ledger.events import Event
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import Meaning, StripeItem, StripeSubscriptionReported
from ledger.stripe.subscriptions import SILENCE_MAX, subscription_id
from projections.views.account_notices import Coming, changes, steps_of
from tests.drawn import holds_for
from tests.ledger.facts import any_history
from tests.worlds import NOON, SECOND, event

DAY = timedelta(days=1)
DAYS = (30, 7, 1)


def coming(*events: Any) -> list[Coming]:
    """Return what was told, and is to come, after some events."""
    found: dict[tuple[str, str], dict[Any, Coming]] = {}
    account = ACCOUNT.initial
    for one in events:
        after = ACCOUNT.fold(account, [one])
        told = changes(account, after, one.recorded_at, DAYS)
        for place in told.dropped:
            rows = found.get(place, {})
            for at in [at for at in rows if at > one.recorded_at]:
                del rows[at]
        for new in told.added:
            assert new.at >= one.recorded_at
            found.setdefault((new.kind, new.subject), {}).setdefault(new.at, new)
        account = after
    return sorted((one for rows in found.values() for one in rows.values()), key=lambda one: one.at)


@holds_for(40, 200, any_history(ACCOUNT))
def test_whatever_happened_nothing_is_told_of_the_past_and_no_time_is_too_far(
    events: list[Event[Any]],
) -> None:
    whole = coming(*events)
    for size in range(len(events)):
        now = events[size].recorded_at
        told = [one for one in coming(*events[: size + 1]) if one.at <= now]
        assert told == [one for one in whole if one.at <= now]


@holds_for(40, 200, any_history(ACCOUNT))
def test_a_pool_has_what_the_account_says_that_it_has(events: list[Event[Any]]) -> None:
    account = ACCOUNT.fold(ACCOUNT.initial, events)
    now = NOON + len(events) * SECOND
    for place in account.places():
        steps = steps_of(account, place, now)
        moments = {now, *(at for at in account.steps() if at > now)}
        assert {at for at, _ in steps} <= moments
        for moment in moments:
            pool = account.pool(*place, moment)
            supply = [supply for at, supply in steps if at <= moment][-1]
            assert supply == (pool.seats, any(row.open for row, _ in pool.rows))


def report(number: int, period_end: Any, **fields: Any) -> StripeSubscriptionReported:
    item = {
        **dict.fromkeys(StripeItem.__struct_fields__),
        "id": "si_1",
        "price": "price_1",
        "quantity": 3,
        "discounts": (),
        "period_end": period_end,
        "meaning": Meaning(product="cloud_pos", tier=None, per_unit=1),
    }
    told = {
        **dict.fromkeys(StripeSubscriptionReported.__struct_fields__),
        "stripe_subscription": "sub_1",
        "source": "customer.subscription.updated",
        "stripe_event": f"evt_{number}",
        "created": NOON + number * DAY,
        "status": "active",
        "started_at": NOON,
        "items": (StripeItem(**item),),
        "cancel_at_period_end": False,
        "discounts": (),
        "problems": (),
    }
    return StripeSubscriptionReported(**{**told, **fields})


def test_what_renews_at_stripe_is_not_ending_and_is_told_of_when_nothing_is_heard() -> None:
    ends = NOON + 31 * DAY
    first = event(report(1, ends), NOON + DAY)
    silent = ends + SILENCE_MAX + timedelta(microseconds=1)
    assert [(one.kind, one.at) for one in coming(first)] == [
        ("subscription.started", NOON + DAY),
        ("subscription.unconfirmed", silent),
    ]
    renewed = event(report(40, ends + 31 * DAY), NOON + 40 * DAY, 2)
    assert [one.kind for one in coming(first, renewed)] == [
        "subscription.started", "subscription.unconfirmed", "subscription.unconfirmed",
    ]  # fmt: skip
    canceled = event(report(20, ends, cancel_at_period_end=True), NOON + 20 * DAY, 2)
    told = coming(first, canceled)
    assert [(one.kind, one.facts.get("days"), one.at) for one in told[1:]] == [
        ("subscription.ending", 30, NOON + 20 * DAY),
        ("subscription.ending", 7, ends - 7 * DAY),
        ("subscription.ending", 1, ends - DAY),
        ("subscription.ended", None, ends),
    ]
    assert {one.subject for one in told} == {subscription_id("sub_1")}
