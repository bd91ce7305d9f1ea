"""What a customer pays for billed seats, month after month, against a reckoning by hand.

The model knows nothing of the program, of Stripe's quantities or of how they are written: it knows
who sat there when, when the price list says that this is billed, and what a month costs.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from ledger.stripe.requests import SeatsSynced, SeatSyncStarted
from tests.stripe.billed_team import (
    BASE_AMOUNT,
    INCLUDED,
    QUIET,
    SEAT_AMOUNT,
    BilledTeam,
    billed_team,
)

RECKONINGS = [
    ("classic", "current_quantity"),
    ("flexible", "current_quantity"),
    ("flexible", "debited_quantity"),
]
MONTHS = 5  # of each customer
IN_EVERY_RUN = 20
IN_ALL = 200  # customers, so 1,000 months

MINUTE = timedelta(minutes=1)


def month_start(number: int) -> datetime:
    year, month = divmod(number, 12)
    return datetime(2026 + year, month + 1, 1, tzinfo=UTC)


# By hand


@dataclass
class Bill:
    """What is owed, by a price list: base plan, so many further seats, each rise at once.

    Attributes:
        taken: further seats as last told.
        charged: further seats that this month has been charged for.
    """

    month: int = 0
    taken: int = 0
    charged: int = 0
    total: int = BASE_AMOUNT

    def until(self, moment: datetime) -> None:
        """Begin every month that has begun by a moment."""
        while month_start(self.month + 1) <= moment:
            self.month += 1
            self.charged = self.taken
            self.total += BASE_AMOUNT + self.charged * SEAT_AMOUNT

    def told(self, moment: datetime, holders: int) -> None:
        self.until(moment)
        self.taken = max(holders - INCLUDED, 0)
        if self.taken > self.charged:
            self.total += self._rest(moment, self.taken) - self._rest(moment, self.charged)
            self.charged = self.taken

    def _rest(self, moment: datetime, seats: int) -> int:
        """Answer what seats cost for the rest of the month, to the nearest cent."""
        start, end = month_start(self.month), month_start(self.month + 1)
        second = timedelta(seconds=1)
        rest = Fraction((end - moment) // second, (end - start) // second)
        return int(seats * SEAT_AMOUNT * rest + Fraction(1, 2))


def told_at(last_change: datetime) -> datetime:
    """Answer when Stripe is told of seats that last moved at a moment, by the documentation.

    After a minute without a change; but at once where the month's last minute would have begun
    meanwhile, unless it already has.
    """
    number = 0
    while month_start(number + 1) <= last_change:
        number += 1
    closes = month_start(number + 1) - MINUTE
    return last_change if last_change < closes <= last_change + MINUTE else last_change + MINUTE


# At random


@dataclass(frozen=True)
class Burst:
    """Joins and leaves within seconds of each other, as plus and minus; at least one."""

    at: datetime
    changes: tuple[int, ...]


def bursts(chance: random.Random) -> list[Burst]:
    """Answer the comings and goings of some months, many of them about the first of one."""
    moments = set()
    for number in range(MONTHS):
        start, end = month_start(number), month_start(number + 1)
        for _ in range(chance.randint(0, 6)):
            moments.add(
                start + timedelta(seconds=chance.randrange(int((end - start).total_seconds())))
            )
        if chance.random() < 0.6:
            moments.add(end + timedelta(seconds=chance.randint(-240, 60)))
    found: list[Burst] = []
    for at in sorted(moments):
        if not found or at - found[-1].at > timedelta(minutes=10):
            changes = tuple(chance.choice((1, 1, 1, -1, -1)) for _ in range(chance.randint(1, 5)))
            found.append(Burst(at, changes))
    return found


def live(team: BilledTeam, bill: Bill, burst: Burst, chance: random.Random) -> None:
    """Let it happen, with the program asked to sync at every turn."""
    team.wait_until(burst.at)
    for change in burst.changes:
        if change > 0:
            team.take(1)
        elif team.people:
            team.give_back(1)
        last = team.now
        if chance.random() < 0.5 and change is not burst.changes[-1]:
            team.wait(seconds=chance.randint(1, 9))
    # Whenever the server happens to look, seats are told of when they are due.
    due = told_at(last)
    while team.now < due:
        if team.sync(QUIET).outcome == "in_step":
            break
        team.wait_until(min(due, team.now + timedelta(seconds=25)))
    assert team.sync(QUIET).outcome == "in_step"
    bill.told(due, len(team.people))


def months(seed: int) -> None:
    """Let a customer live some months, and hold what was paid against the bill."""
    chance = random.Random(seed)
    mode, credit = RECKONINGS[seed % len(RECKONINGS)]
    bill = Bill()
    with billed_team(mode=mode, credit=credit, seed=seed) as team:
        for burst in bursts(chance):
            live(team, bill, burst, chance)
            assert team.quantity == bill.taken
        # A renewal's invoice is a draft for an hour.
        team.wait_until(max(month_start(MONTHS), team.now) + timedelta(hours=2))
        bill.until(team.now)
        assert team.paid() == bill.total
        assert {one["status"] for one in team.invoices()} == {"paid"}
        hold_every_seat_to_once(team)


def hold_every_seat_to_once(team: BilledTeam) -> None:
    """Hold the invoices' lines to this: of each month every seat is on them once, and none is free.

    Over a month, the seats that were charged, less those given back on the same invoices, are the
    most that were taken at a time when Stripe had been told.
    """
    on_invoices: dict[int, int] = {}
    for invoice in team.invoices():
        for line in invoice["lines"]["data"]:
            if line["pricing"]["price_details"]["price"] == team.seat_price:
                sign = -1 if line["description"].startswith("Unused") else 1
                end = line["period"]["end"]
                on_invoices[end] = on_invoices.get(end, 0) + sign * line["quantity"]
    told: dict[int, list[int]] = {}
    events = zip(team.facts(SeatSyncStarted), team.facts(SeatsSynced), strict=True)
    for started, synced in events:
        told.setdefault(int(started.period_start.timestamp()), []).append(synced.quantity)
        told[int(started.period_start.timestamp())].append(started.quantity)
    for number in range(MONTHS):
        start, end = (int(month_start(one).timestamp()) for one in (number, number + 1))
        if start in told:
            assert on_invoices.get(end, 0) == max(told[start])


@pytest.mark.parametrize("seed", range(IN_EVERY_RUN))
def test_random_months_cost_what_the_price_list_says(seed: int) -> None:
    months(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(IN_EVERY_RUN, IN_ALL))
def test_more_random_months_cost_what_the_price_list_says(seed: int) -> None:
    months(seed)
