"""Statements: what happened to a reseller's keys in a month, whatever clocks said and when.

The rule is held by a story of many writers, some of whose clocks are wrong, and of readers whose
clock is right: what a month that was over was told as never changes, each thing that happened is in
one month, and all months together say what the keys are.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from hypothesis import strategies as st

from commands.amend_key import Amendment, amend_key
from commands.issue_keys import IssuedKey, Order, issue_keys
from commands.make_statement import make_statement
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger import months
from ledger.refusals import Refusal
from ledger.streams.key import KEY, stream_id
from ledger.streams.reseller import Reseller, StatementMade
from projections.lists.statements import ResellerStatement, draw_up, statement_view
from projections.lists.stores import Tables, open_tables
from tests.drawn import holds_for
from tests.worlds import DAY, NOON, context, services

ALPHA, BETA = "Alpha", "Beta"
YEARS_AHEAD = 800 * DAY


class World:
    """A ledger in memory, and the keys that were ever issued in it."""

    def __init__(self) -> None:
        self.services: Services = services()
        self.tables: Tables = open_tables("memory:")
        self.now = NOON
        self.keys: list[IssuedKey] = []
        self.tries = 0

    def issue(self, off: timedelta = 0 * DAY, count: int = 1, **of: object) -> IssuedKey:
        wanted = {"product": "cloud_pos", "tier": None, "seats": 5, "months": 12, **of}
        order = Order(**{"reseller": ALPHA, **wanted}, count=count)  # type: ignore[arg-type]
        made = issue_keys(self.services, context(self.now + off), order).keys
        self.keys += made
        return made[0]

    def redeem(self, key: IssuedKey, off: timedelta = 0 * DAY) -> None:
        self.tries += 1
        wanted = Try(f"a{self.tries}", f"s{self.tries}", key.code)
        redeem_key(self.services, context(self.now + off), wanted)

    def revoke(self, key: IssuedKey, off: timedelta = 0 * DAY) -> None:
        revoke_key(self.services, context(self.now + off), key.id, "They closed")

    def amend(self, key: IssuedKey, off: timedelta = 0 * DAY, **to: object) -> None:
        amendment = Amendment(reason="A slip", **to)  # type: ignore[arg-type]
        amend_key(self.services, context(self.now + off), key.id, amendment)

    def reissue(self, key: IssuedKey, off: timedelta = 0 * DAY) -> None:
        new = reissue_key(self.services, context(self.now + off), key.id, "Lost")
        self.keys.append(IssuedKey(new.id, new.code, new.masked))

    def told(self, month: str, name: str = ALPHA) -> ResellerStatement:
        def drawn_up(state: Reseller) -> StatementMade:
            return draw_up(self.services.book, self.tables, state, name, month, self.now)

        asked = context(self.now)
        return statement_view(name, make_statement(self.services, asked, name, month, drawn_up))

    def line(self, month: str, name: str = ALPHA) -> tuple[int, int, int, int, int]:
        found = self.told(month, name).totals
        return found.issued, found.seats, found.redeemed, found.revoked, found.lapsed


def test_a_clock_that_is_years_ahead_takes_nothing_along() -> None:
    world = World()
    world.issue(count=2)
    world.revoke(world.keys[0], YEARS_AHEAD)
    world.now += 40 * DAY
    world.issue(count=10)
    for key in world.keys[2:]:
        world.redeem(key)
    world.now += 60 * DAY
    assert world.line("2026-03") == (2, 10, 0, 0, 0)
    assert world.line("2026-04") == (10, 50, 10, 0, 0)
    assert world.line("2026-05") == (0, 0, 0, 0, 0)
    assert world.line("2028-05") == (0, 0, 0, 1, 0)


def test_what_comes_late_is_told_in_the_first_month_that_nobody_was_told() -> None:
    world = World()
    world.issue()
    world.now += 70 * DAY  # it is May
    march, april = world.told("2026-03"), world.told("2026-04")
    world.issue(off=-60 * DAY, seats=3)
    assert world.told("2026-03") == march
    assert world.told("2026-04") == april
    assert world.line("2026-05") == (1, 3, 0, 0, 0)


def test_a_month_that_nobody_was_told_takes_what_comes_late() -> None:
    world = World()
    world.issue()
    world.now += 70 * DAY
    world.issue()
    world.issue(off=-60 * DAY, seats=3)
    assert world.line("2026-03") == (2, 8, 0, 0, 0)
    assert world.line("2026-05") == (1, 5, 0, 0, 0)


def test_a_key_that_comes_late_lapses_once() -> None:
    world = World()
    world.now += 70 * DAY
    assert world.line("2026-03") == world.line("2026-04") == (0, 0, 0, 0, 0)
    world.issue(off=-69 * DAY, redeem_by=NOON + 10 * DAY)
    assert world.line("2026-03") == world.line("2026-04") == (0, 0, 0, 0, 0)
    assert world.line("2026-05") == (1, 5, 0, 0, 1)
    world.amend(world.keys[0], seats=4)
    world.now += 40 * DAY
    assert world.line("2026-06") == (0, 0, 0, 0, 0)


def test_an_amendment_in_the_same_month_leaves_what_the_key_is() -> None:
    world = World()
    key = world.issue(seats=50)
    world.now += DAY
    world.amend(key, seats=5, months=24)
    (line,) = world.told("2026-03").lines
    assert (line.months, line.issued, line.seats) == (24, 1, 5)


def test_a_later_amendment_is_told_with_its_sign_in_its_own_month() -> None:
    world = World()
    key = world.issue(seats=50)
    world.now += 31 * DAY
    world.amend(key, seats=5, months=24)
    assert world.line("2026-03") == (1, 50, 0, 0, 0)
    lines = {one.months: (one.issued, one.seats) for one in world.told("2026-04").lines}
    assert lines == {12: (-1, -50), 24: (1, 5)}
    assert world.line("2026-04") == (0, -45, 0, 0, 0)


def test_a_key_that_becomes_anothers_is_on_that_ones_statement() -> None:
    world = World()
    key = world.issue(seats=7)
    world.amend(key, reseller=BETA)
    assert world.line("2026-03") == (0, 0, 0, 0, 0)
    assert world.line("2026-03", BETA) == (1, 7, 0, 0, 0)
    world.now += 31 * DAY
    world.amend(key, reseller=ALPHA)
    assert world.line("2026-04") == (1, 7, 0, 0, 0)
    assert world.line("2026-04", BETA) == (-1, -7, 0, 0, 0)


# Any story


class Step(NamedTuple):
    """What is done next, to which key, by how wrong a clock, and how long after the last."""

    what: str
    which: int
    off: timedelta
    later: timedelta
    seats: int
    name: str


OFF = st.sampled_from([0 * DAY, 0 * DAY, 0 * DAY, YEARS_AHEAD, -YEARS_AHEAD, 40 * DAY, -40 * DAY])
STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["issue", "issue", "redeem", "revoke", "amend", "amend", "reissue", "ask"]),
        st.integers(0, 20),
        OFF,
        st.timedeltas(timedelta(0), 20 * DAY),
        st.integers(1, 9),
        st.sampled_from([ALPHA, BETA]),
    ),
    max_size=25,
)


def do(world: World, step: Step) -> None:
    key = world.keys[step.which % len(world.keys)] if world.keys else None
    match step.what:
        case "issue":
            world.issue(step.off, seats=step.seats, reseller=step.name)
        case "redeem" if key:
            world.redeem(key, step.off)
        case "revoke" if key:
            world.revoke(key, step.off)
        case "amend" if key:
            world.amend(key, step.off, seats=step.seats, reseller=step.name)
        case "reissue" if key:
            world.reissue(key, step.off)


@holds_for(20, 60, STEPS)
def test_over_any_story_a_past_month_stays_and_all_together_say_what_the_keys_are(
    steps: list[Step],
) -> None:
    world = World()
    for name in (ALPHA, BETA):
        world.issue(reseller=name)
    told: dict[tuple[str, str], ResellerStatement] = {}
    for step in steps:
        world.now += step.later
        with suppress(Refusal):
            do(world, step)
        if step.what == "ask":
            asked = months.name_of(world.now - (1 + step.which % 3) * 31 * DAY)
            told.setdefault((step.name, asked), world.told(asked, step.name))
        for (name, month), first in told.items():
            assert world.told(month, name) == first
    sums = _sums(world)
    for (name, month), first in told.items():
        assert world.told(month, name) == first
    keys = [world.services.book.load(KEY, stream_id(key.id)).state for key in world.keys]
    for name in (ALPHA, BETA):
        # Of a key and the one in its place, the latter; what was revoked was issued all the same.
        own = [key for key in keys if key and key.belongs_to(name) and key.replaced_by is None]
        assert sums[name, "issued"] == len(own)
        assert sums[name, "seats"] == sum(key.issued.seats for key in own)
    happened = Counter(name for name in ("redeemed", "revoked") for key in keys if key
                       and key.replaced_by is None and getattr(key, f"{name}_at"))  # fmt: skip
    for what in ("redeemed", "revoked"):
        assert sum(sums[name, what] for name in (ALPHA, BETA)) == happened[what]


def _sums(world: World) -> Counter[tuple[str, str]]:
    """Return all months' sums, as they are told to somebody who asks for them now."""
    sums: Counter[tuple[str, str]] = Counter()
    month = months.name_of(NOON - YEARS_AHEAD - 31 * DAY)
    while month <= months.name_of(world.now + YEARS_AHEAD + 31 * DAY):
        for name in (ALPHA, BETA):
            totals = world.told(month, name).totals
            for what in totals.__struct_fields__:
                sums[name, what] += getattr(totals, what)
        month = months.after(month)
    return sums
