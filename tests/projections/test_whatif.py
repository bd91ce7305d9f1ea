"""What another rule would have done: who would have worked, who would have been let in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given

from commands.occupy_seat import Sitting, occupy_seat
from ledger.book import Book
from ledger.refusals import NoSeatAvailable
from projections.views.whatif import Policy, PolicyError, WhatIf, parse, what_if
from tests.projections.histories import STEPS, Told, happened, recorded
from tests.projections.telling import at, short, told
from tests.worlds import context, services

NOW = at("2026-06-01 00:00")
# A month of two seats, a year of one; three sit.
LEDGER = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-01 09:30  redeem b cloud_pos 1 seats 12 months
    2026-03-02 08:00  sit till-1 cloud_pos
    2026-03-02 08:01  sit till-2 cloud_pos
    2026-03-02 08:02  sit till-3 cloud_pos
    2026-04-20 09:00  leave till-1 cloud_pos
"""


def affected(
    book: Book, policy: Policy
) -> list[tuple[str, timedelta, timedelta, str | None, str | None]]:
    return [
        (one.holder, one.gained, one.lost, short(one.first), short(one.last))
        for one in what_if(book, policy, NOW).holders
    ]


def test_the_rule_that_holds_affects_nobody() -> None:
    found = what_if(told(LEDGER), Policy(), NOW)
    assert found == WhatIf(Policy(), 6, 1, [], [])


def test_a_grace_lets_those_work_on_who_lost_their_seat() -> None:
    days = timedelta(days=10)
    assert affected(told(LEDGER), Policy(grace_days=10)) == [
        ("till-2", days, timedelta(0), "2026-04-01 09:00", "2026-04-11 09:00"),
        ("till-3", days, timedelta(0), "2026-04-01 09:00", "2026-04-11 09:00"),
    ]


def test_a_grace_goes_on_until_now_and_no_further() -> None:
    (_, last) = affected(told(LEDGER), Policy(grace_days=3650))
    assert last == (
        "till-3",
        NOW - at("2026-04-01 09:00"),
        timedelta(0),
        "2026-04-01 09:00",
        short(NOW),
    )


@pytest.mark.parametrize("end", ["terminate", "suspend"])
def test_a_terminated_or_suspended_subscription_gets_none(end: str) -> None:
    ledger = f"""
        2026-03-01 09:00  redeem a cloud_pos 1 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-20 09:00  {end} a
    """
    assert affected(told(ledger), Policy(grace_days=30)) == []


def test_newest_first_lets_others_work() -> None:
    found = affected(told(LEDGER), Policy(holders="newest_first"))
    left = at("2026-04-20 09:00") - at("2026-04-01 09:00")
    rest = NOW - at("2026-04-20 09:00")
    nothing = timedelta(0)
    assert found == [
        ("till-1", nothing, left, "2026-04-01 09:00", "2026-04-20 09:00"),
        ("till-2", nothing, rest, "2026-04-20 09:00", short(NOW)),
        ("till-3", left + rest, nothing, "2026-04-01 09:00", short(NOW)),
    ]


def test_who_was_refused_would_have_been_let_in() -> None:
    book = told(LEDGER)
    world = services(book)
    with pytest.raises(NoSeatAvailable):
        occupy_seat(
            world, context(at("2026-04-22 09:00")), Sitting("acme", "cloud_pos", None, "till-4")
        )
    assert what_if(book, Policy(grace_days=14), NOW).let_in == []
    (one,) = what_if(book, Policy(grace_days=30), NOW).let_in
    assert (one.holder, short(one.at), one.position) == ("till-4", "2026-04-22 09:00", book.head())


def test_nothing_is_changed() -> None:
    book = told(LEDGER)
    before = list(book.follow(0))
    what_if(book, Policy(grace_days=30, holders="newest_first"), NOW)
    assert list(book.follow(0)) == before


@given(STEPS.map(happened))
def test_a_grace_takes_nothing_from_anybody(history: list[Told]) -> None:
    found = what_if(recorded(history), Policy(grace_days=5), at("2029-01-01 00:00"))
    for one in found.holders:
        assert one.lost == timedelta(0)
        assert timedelta(0) < one.gained
        assert one.first < one.last


@given(STEPS.map(happened))
def test_the_rule_that_holds_never_affects_anybody(history: list[Told]) -> None:
    assert what_if(recorded(history), Policy(), at("2029-01-01 00:00")).holders == []


@pytest.mark.parametrize(
    "text",
    ["grace_days = -1", "grace_days = 'ten'", "grace = 3", "holders = 'tallest'", "grace_days ="],
)
def test_a_policy_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse(text)


def test_a_policy_is_read() -> None:
    assert parse('grace_days = 14\nholders = "newest_first"') == Policy(14, "newest_first")
    assert parse("") == Policy()
