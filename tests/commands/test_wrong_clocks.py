"""Machines whose clocks are wrong write to the ledger, and no account is taken out of service.

The same story is told twice: to a world in which every clock is right, and to one in which each
writer's clock is off by days or years. Whoever asks with a clock that is right gets the same
answers in both.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from commands.change_subscription import terminate_subscription
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.release_seat import release_seat
from commands.services import Services
from ledger.refusals import KeyNotAvailable, Refusal, TooManyAttempts
from ledger.streams.account.stream import ACCOUNT
from projections.views.account_at import Moment, account_at
from projections.views.diff import diff
from projections.views.explain import read_account
from projections.views.seat_history import seat_history
from projections.views.seats import seats
from projections.views.subscriptions import subscriptions
from tests.drawn import holds_for
from tests.worlds import NOON, another_worker, context, services

YEARS_AHEAD = timedelta(days=800)
MINUTE = timedelta(minutes=1)
ORDER = Order("cloud_pos", None, 2, 12, 1, "Northwind")


class Step(NamedTuple):
    """What is done next, by which of the writers, and how wrong its clock is then."""

    what: str
    who: str
    writer: int
    off: timedelta


OFF = st.sampled_from([timedelta(0), YEARS_AHEAD, -YEARS_AHEAD, 90 * MINUTE, -90 * MINUTE]) | (
    st.timedeltas(-timedelta(days=3_000), timedelta(days=3_000))
)
SEATING = st.builds(
    Step,
    st.sampled_from(["occupy", "occupy", "release"]),
    st.sampled_from(["till-1", "till-2", "till-3", "till-4", "till-5"]),
    st.integers(0, 2),
    OFF,
)
# What a key gives for a year is over at once where a clock redeems it that is years behind: that
# no later answer can mend. Any clock that is ahead will do.
REDEEMING = st.builds(
    Step,
    st.just("redeem"),
    st.just("key"),
    st.integers(0, 2),
    st.timedeltas(timedelta(0), timedelta(days=3_000)),
)
STEPS = st.lists(
    SEATING | REDEEMING | st.builds(Step, st.just("end"), st.just(""), st.just(0), OFF)
)


class World:
    """Three writers on one ledger."""

    def __init__(self) -> None:
        first = services()
        self.writers: list[Services] = [first, another_worker(first), another_worker(first)]
        self.keys = [issue_keys(first, context(NOON), ORDER).keys[0].code for _ in range(4)]
        self.used: list[str] = []

    def take(self, step: Step, at: datetime) -> str:
        """Do one thing; return what came of it, without the times."""
        world, by = self.writers[step.writer], context(at)
        try:
            match step.what:
                case "occupy":
                    occupy_seat(world, by, Sitting("acme", "cloud_pos", None, step.who))
                case "release":
                    release_seat(world, by, "acme", "cloud_pos", step.who)
                case "redeem" if self.keys:
                    code = self.keys.pop()
                    done = redeem_key(world, by, Try("acme", "s-1", code))
                    self.used.append(done.subscription)
                case "end" if self.used:
                    terminate_subscription(world, by, "acme", self.used.pop(0), "never paid")
        except Refusal as refusal:
            return refusal.code
        return "done"

    def licensed(self, at: datetime, reader: int = 0) -> Any:
        """Return who may work now, and how the pools stand."""
        world = self.writers[reader]
        asked = account_at(world.book, "acme", Moment(at))
        seen = seats(asked, world.catalog)
        (product, *_) = subscriptions(asked, world.catalog).products
        return (
            [(one.holder, one.licensed) for one in sorted(seen.items, key=lambda one: one.holder)],
            [(total.product, total.seats, total.used) for total in seen.totals],
            (product.seats, product.used, product.over),
        )


@holds_for(20, 60, st.lists(SEATING.filter(lambda s: abs(s.off) < timedelta(days=1))), st.data())
def test_clocks_that_are_hours_apart_change_no_answer(
    steps: list[Step], data: st.DataObject
) -> None:
    right, wrong = World(), World()
    for n, step in enumerate([Step("redeem", "", 0, timedelta(0)), *steps]):
        now = NOON + timedelta(days=2) + n * MINUTE
        assert wrong.take(step, now + step.off) == right.take(step, now)
        reader = data.draw(st.integers(0, 2))
        assert wrong.licensed(now, reader) == right.licensed(now, reader)


@holds_for(20, 60, STEPS)
def test_a_clock_that_was_wrong_changes_nothing_of_what_the_right_one_may_do(
    steps: list[Step],
) -> None:
    """Whatever the wrong clocks did, the right one then finds what those events say, as of now."""
    world = World()
    world.take(Step("redeem", "", 0, timedelta(0)), NOON)
    for n, step in enumerate(steps):
        world.take(step, NOON + n * MINUTE + step.off)
    now = NOON + timedelta(hours=1)
    state = world.writers[0].book.load(ACCOUNT, "acme").state
    running = [s for s in state.subscriptions.values() if not s.terminated_at]
    given_ = sum(s.seats for s in running if now < s.expires_at)
    in_order = sorted(state.seats.values(), key=lambda seat: (seat.occupied_at, seat.version))
    holders = [seat.holder for seat in in_order]
    licensed, _, product = world.licensed(now)
    assert {who for who, may in licensed if may} == set(holders[:given_])
    assert product == (given_, len(holders), max(0, len(holders) - given_))
    assert product[0] == given_


def test_an_account_goes_on_after_one_write_from_a_machine_that_was_years_ahead() -> None:
    world = World()
    world.take(Step("redeem", "", 0, timedelta(0)), NOON)
    world.take(Step("occupy", "till-1", 0, timedelta(0)), NOON)
    world.take(Step("release", "till-1", 1, YEARS_AHEAD), NOON + YEARS_AHEAD)
    world.take(Step("occupy", "till-3", 2, timedelta(0)), NOON + MINUTE)
    assert world.licensed(NOON + MINUTE)[0] == [("till-3", True)]
    code = world.keys.pop()
    redeemed = redeem_key(world.writers[0], context(NOON + MINUTE), Try("acme", "s-2", code))
    assert redeemed.at == NOON + MINUTE
    started = redeemed.account.state.subscriptions[redeemed.subscription].started_at
    assert started == NOON + MINUTE


def test_what_was_recorded_in_a_future_is_seen_by_whoever_asks_for_now() -> None:
    world = World()
    redeemed = redeem_key(
        world.writers[1], context(NOON + YEARS_AHEAD), Try("acme", "s-1", world.keys.pop())
    )
    world.take(Step("occupy", "till-1", 2, timedelta(0)), NOON)
    book, catalog = world.writers[0].book, world.writers[0].catalog
    assert world.licensed(NOON)[0] == [("till-1", True)]
    last = seat_history(book, "acme", Moment(NOON)).points[-1]
    assert (last.seats, last.used) == (2, 1)
    account, events = read_account(book, "acme", Moment(NOON))
    assert len(events) == 2
    assert account.moment.at == NOON
    found = diff(book, "acme", catalog, NOON - YEARS_AHEAD, None, now=NOON).differences
    assert ("subscription", redeemed.subscription) in {one.thing[:2] for one in found}


def test_what_a_clock_ahead_ended_has_ended() -> None:
    world = World()
    world.take(Step("redeem", "", 0, timedelta(0)), NOON)
    assert world.take(Step("end", "", 1, timedelta(0)), NOON + timedelta(days=100)) == "done"
    assert world.licensed(NOON)[2] == (0, 0, 0)


def test_seat_history_keeps_the_order_in_which_things_happened() -> None:
    world = World()
    world.take(Step("redeem", "", 0, timedelta(0)), NOON)
    world.take(Step("occupy", "till-1", 0, timedelta(0)), NOON + MINUTE)
    world.take(Step("release", "till-1", 1, timedelta(0)), NOON - YEARS_AHEAD)
    points = seat_history(world.writers[0].book, "acme", Moment(NOON + 9 * MINUTE)).points
    assert (points[-1].seats, points[-1].used) == (2, 0)


@pytest.mark.parametrize("off", [YEARS_AHEAD, -YEARS_AHEAD], ids=["ahead", "behind"])
def test_failed_tries_at_a_wrong_clock_lock_nobody_out_by_the_right_one(off: timedelta) -> None:
    world = World()
    for n in range(20):
        with suppress(TooManyAttempts), pytest.raises(KeyNotAvailable):
            redeem_key(
                world.writers[1],
                context(NOON + off),
                Try("acme", f"s-{n // 4}", "POS-ABCD-EFGH-JKMN"),
            )
    code = world.keys.pop()
    assert redeem_key(world.writers[0], context(NOON), Try("acme", "s-0", code)).at == NOON


@pytest.mark.parametrize("behind", [timedelta(0), timedelta(seconds=50), timedelta(seconds=110)])
def test_clocks_that_are_right_to_the_minute_put_nothing_before_what_it_follows(
    behind: timedelta,
) -> None:
    """One seat is left by a clock, and taken by another that is a little behind."""
    world = services()
    key = issue_keys(world, context(NOON), ORDER).keys[0]
    redeem_key(world, context(NOON), Try("acme", "s", key.code))
    later = NOON + 2 * MINUTE
    for holder in ("till-1", "till-2"):
        occupy_seat(world, context(NOON), Sitting("acme", "cloud_pos", None, holder))
    release_seat(world, context(later), "acme", "cloud_pos", "till-1", None)
    occupy_seat(
        another_worker(world), context(later - behind), Sitting("acme", "cloud_pos", None, "till-3")
    )
    for second in range(181):
        at = NOON + timedelta(seconds=second)
        found = seats(
            account_at(world.book, "acme", Moment(later + MINUTE, as_of=at)), world.catalog
        )
        assert [total.over for total in found.totals if total.product == "cloud_pos"] == [0], at
