"""Whose seat is it: rows in their order, filled by holders in theirs."""

from __future__ import annotations

import doctest
import random
from dataclasses import dataclass
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import pool
from ledger.pool import Filled, PoolRow, fill, in_order
from tests.worlds import DAY, NOON


def row(
    id: str,
    seats: int = 2,
    *,
    renews: bool = False,
    starts: int = 0,
    ends: int | None = 30,
) -> PoolRow:
    """A row that starts and ends so many days after noon."""
    expires_at = None if ends is None else NOON + ends * DAY
    return PoolRow(id, "cloud_pos", None, seats, renews, NOON + starts * DAY, expires_at)


@dataclass(frozen=True)
class Order:
    """`first` is filled before `second`: by this one difference, though all later ones speak
    against it.
    """

    by: str
    first: PoolRow
    second: PoolRow


ORDERS = [
    Order(
        "renewing first",
        row("b", renews=True, starts=5, ends=10),
        row("a", renews=False, starts=0, ends=90),
    ),
    Order("then without a known end", row("b", starts=5, ends=None), row("a", starts=0, ends=90)),
    Order("then the latest end", row("b", starts=5, ends=31), row("a", starts=0, ends=30)),
    Order("then the earliest start", row("b", starts=0), row("a", starts=1)),
    Order("then the id", row("a"), row("b")),
]


@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case.by)
def test_rows_are_filled_in_this_order(case: Order) -> None:
    assert in_order([case.first, case.second]) == [case.first, case.second]
    assert in_order([case.second, case.first]) == [case.first, case.second]


def test_ends_are_told_apart_to_the_microsecond() -> None:
    late = datetime.fromisoformat("2036-12-31T23:59:59.999999+00:00")
    early = datetime.fromisoformat("2036-12-31T23:59:59.999998+00:00")
    first, second = row("b")._replace(expires_at=late), row("a")._replace(expires_at=early)
    assert in_order([second, first]) == [first, second]


def standing(filled: Filled) -> tuple[list[tuple[str, int]], int, int, int, int]:
    rows = [(row.subscription, used) for row, used in filled.rows]
    return rows, filled.seats, filled.used, filled.over, filled.free


@dataclass(frozen=True)
class Filling:
    says: str
    rows: list[PoolRow]
    used: int
    then: tuple[list[tuple[str, int]], int, int, int, int]


LONG, SHORT = row("long", 5, ends=60), row("short", 2, ends=30)
FILLINGS = [
    Filling("nothing and nobody", [], 0, ([], 0, 0, 0, 0)),
    Filling("nobody sits", [SHORT, LONG], 0, ([("long", 0), ("short", 0)], 7, 0, 0, 7)),
    Filling("the first row first", [SHORT, LONG], 3, ([("long", 3), ("short", 0)], 7, 3, 0, 4)),
    Filling("then the next", [SHORT, LONG], 6, ([("long", 5), ("short", 1)], 7, 6, 0, 1)),
    Filling("just full", [SHORT, LONG], 7, ([("long", 5), ("short", 2)], 7, 7, 0, 0)),
    Filling("over", [SHORT, LONG], 9, ([("long", 5), ("short", 2)], 7, 9, 2, 0)),
    Filling("the long row ended", [SHORT], 6, ([("short", 2)], 2, 6, 4, 0)),
    Filling("everything ended", [], 6, ([], 0, 6, 6, 0)),
]


@pytest.mark.parametrize("case", FILLINGS, ids=lambda case: case.says)
def test_holders_fill_the_rows(case: Filling) -> None:
    assert standing(fill(case.rows, case.used)) == case.then


def test_each_holder_counts_against_one_row_by_its_rank() -> None:
    filled = fill([SHORT, LONG], 9)
    rows = [filled.row_at(rank) for rank in range(9)]
    assert rows == [LONG] * 5 + [SHORT] * 2 + [None] * 2


ROWS = st.lists(
    st.builds(
        row,
        st.uuids().map(str),
        st.integers(1, 9),
        renews=st.booleans(),
        starts=st.integers(0, 3),
        ends=st.one_of(st.none(), st.integers(4, 8)),
    ),
    max_size=6,
)


@given(ROWS, st.integers(0, 60), st.randoms(use_true_random=False))
def test_a_pool_adds_up_in_whatever_order_its_rows_come(
    rows: list[PoolRow], used: int, chance: random.Random
) -> None:
    filled = fill(rows, used)
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert fill(shuffled, used) == filled
    assert sum(here for _, here in filled.rows) == filled.used - filled.over
    assert all(0 <= here <= row.seats for row, here in filled.rows)
    assert filled.over == max(0, used - sum(row.seats for row in rows))
    assert filled.free == 0 or filled.over == 0
    # A row gets nobody before the one above it is full.
    for (above, here), (_, below) in zip(filled.rows, filled.rows[1:], strict=False):
        assert here == above.seats or below == 0


def test_the_example_in_the_module_holds() -> None:
    assert doctest.testmod(pool).failed == 0
