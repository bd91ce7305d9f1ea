"""The Subscriptions view by hand: ends, calendar months, and the two times of a question."""

from __future__ import annotations

import pytest

from tests.projections.telling import asked
from tests.projections.views import NO_INTEGRATIONS, NO_POS, Situation, pos, row

A = "POS-••••-••••-AAAA"
YEAR = "2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months"
MONTH = "2026-03-01 09:00  redeem a cloud_pos 5 seats 1 month"
EARLY = """
    2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
    2026-03-05 10:00 recorded 2026-03-20 10:00  sit till-1 cloud_pos
"""
LEFT_EARLY = """
    2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
    2026-03-02 09:00  sit till-1 cloud_pos
    2026-03-05 10:00 recorded 2026-03-20 10:00  leave till-1 cloud_pos
"""
ENDED_EARLY = """
    2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
    2026-03-02 09:00  sit till-1 cloud_pos
    2026-05-01 12:00  terminate a
"""
NEW_CODE = """
    2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
    2026-04-01 09:00  reissue a POS-••••-••••-NEW2
"""

BEGINNINGS_AND_ENDS = [
    Situation(
        "an account that nothing happened to shows every product, empty",
        "",
        asked("2026-03-01 09:00"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "a key gives its seats from the very moment it is redeemed",
        YEAR,
        asked("2026-06-01 00:00", as_of="2026-03-01 09:00"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a microsecond before it was redeemed there is nothing",
        YEAR,
        asked("2026-06-01 00:00", as_of="2026-03-01 08:59:59.999999"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "a row is active up to the last microsecond before its end",
        MONTH,
        asked("2026-04-01 08:59:59.999999"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "at its end, inside a day, a row is gone",
        MONTH,
        asked("2026-04-01 09:00"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "at its end a row is listed as expired when ended ones are asked for",
        MONTH,
        asked("2026-04-01 09:00"),
        [
            pos(
                0, 0, 0,
                row("kfsub_a", A, 5, 0, "expired", "2026-03-01 09:00", "2026-04-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
        ended=True,
    ),
    Situation(
        "the microsecond of the redemption is the microsecond of the end: still active before",
        "2026-03-01 09:00:00.000002  redeem a cloud_pos 5 seats 1 month",
        asked("2026-04-01 09:00:00.000001"),
        [
            pos(
                5, 0, 0,
                row(
                    "kfsub_a", A, 5, 0, "active",
                    "2026-03-01 09:00:00.000002", "2026-04-01 09:00:00.000002",
                ),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "the microsecond of the redemption is the microsecond of the end: ended at it",
        "2026-03-01 09:00:00.000002  redeem a cloud_pos 5 seats 1 month",
        asked("2026-04-01 09:00:00.000002"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "when the only row ends its holders stay, and are over",
        """
        2026-03-01 09:00  redeem a cloud_pos 5 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 08:00  sit till-2 cloud_pos
        """,
        asked("2026-04-01 09:00"),
        [pos(0, 2, 2), NO_INTEGRATIONS],
    ),
    Situation(
        "a terminated row is active up to the microsecond before",
        ENDED_EARLY,
        asked("2026-06-01 00:00", as_of="2026-05-01 11:59:59.999999"),
        [
            pos(5, 1, 0, row("kfsub_a", A, 5, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a terminated row is gone from the moment on, and its holder over",
        ENDED_EARLY,
        asked("2026-05-01 12:00"),
        [pos(0, 1, 1), NO_INTEGRATIONS],
    ),
    Situation(
        "a terminated row is listed with the end that it would have had",
        ENDED_EARLY,
        asked("2026-06-01 00:00"),
        [
            pos(
                0, 1, 1,
                row("kfsub_a", A, 5, 0, "terminated", "2026-03-01 09:00", "2027-03-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
        ended=True,
    ),
    Situation(
        "long after its first end a terminated row is still a terminated one",
        ENDED_EARLY,
        asked("2028-01-01 00:00"),
        [
            pos(
                0, 1, 1,
                row("kfsub_a", A, 5, 0, "terminated", "2026-03-01 09:00", "2027-03-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
        ended=True,
    ),
]  # fmt: skip

TWO_TIMES = [
    Situation(
        "as of a day between two facts, only the first has happened",
        """
        2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
        2026-03-05 10:00  sit till-1 cloud_pos
        2026-03-09 10:00  leave till-1 cloud_pos
        """,
        asked("2026-06-01 00:00", as_of="2026-03-07 00:00"),
        [
            pos(5, 1, 0, row("kfsub_a", A, 5, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "who sat down and left in the same microsecond is not there in it",
        """
        2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
        2026-03-05 10:00  sit till-1 cloud_pos
        2026-03-05 10:00  leave till-1 cloud_pos
        """,
        asked("2026-06-01 00:00", as_of="2026-03-05 10:00"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "as of a future day the row is still there if it lasts that long",
        YEAR,
        asked("2026-03-02 00:00", as_of="2027-03-01 08:59:59.999999"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "as of a future day the row has ended and the holder is over, if nothing more happens",
        """
        2026-03-01 09:00  redeem a cloud_pos 5 seats 12 months
        2026-03-01 10:00  sit till-1 cloud_pos
        """,
        asked("2026-03-02 00:00", as_of="2027-03-01 09:00"),
        [pos(0, 1, 1), NO_INTEGRATIONS],
    ),
    Situation(
        "a seat that was recorded late was not known before",
        EARLY,
        asked("2026-06-01 00:00", as_of="2026-03-10 00:00", known_at="2026-03-20 09:59:59.999999"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a seat that was recorded late is known from then on, as of when it was taken",
        EARLY,
        asked("2026-06-01 00:00", as_of="2026-03-05 10:00", known_at="2026-03-20 10:00"),
        [
            pos(5, 1, 0, row("kfsub_a", A, 5, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a seat that was recorded late was not taken before it occurred, whatever is known",
        EARLY,
        asked("2026-06-01 00:00", as_of="2026-03-05 09:59:59.999999"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "with what was known before, a seat given back early was still taken",
        LEFT_EARLY,
        asked("2026-06-01 00:00", as_of="2026-03-10 00:00", known_at="2026-03-10 00:00"),
        [
            pos(5, 1, 0, row("kfsub_a", A, 5, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "with what is known now, a seat given back early was free",
        LEFT_EARLY,
        asked("2026-06-01 00:00", as_of="2026-03-10 00:00"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a redemption that was recorded late runs from when it occurred",
        "2026-03-01 09:00 recorded 2026-03-25 17:00  redeem a cloud_pos 5 seats 1 month",
        asked("2026-06-01 00:00", as_of="2026-03-15 00:00"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a redemption that was recorded late is unknown to who asks with earlier knowledge",
        "2026-03-01 09:00 recorded 2026-03-25 17:00  redeem a cloud_pos 5 seats 1 month",
        asked("2026-06-01 00:00", as_of="2026-03-15 00:00", known_at="2026-03-25 16:59"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "known_at alone asks about now: who did not know of the end still counts the row",
        ENDED_EARLY,
        asked("2026-06-01 00:00", known_at="2026-04-01 00:00"),
        [
            pos(5, 1, 0, row("kfsub_a", A, 5, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "known_at alone asks about now: a row that has run out since has run out",
        MONTH,
        asked("2026-06-01 00:00", known_at="2026-03-02 00:00"),
        [NO_POS, NO_INTEGRATIONS],
    ),
    Situation(
        "a reissued code shows on the row, which stays as it is",
        NEW_CODE,
        asked("2026-06-01 00:00"),
        [
            pos(
                5, 0, 0,
                row(
                    "kfsub_a", "POS-••••-••••-NEW2", 5, 0, "active",
                    "2026-03-01 09:00", "2027-03-01 09:00",
                ),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "as of a moment before the reissue the row shows the old code",
        NEW_CODE,
        asked("2026-06-01 00:00", as_of="2026-04-01 08:59:59.999999"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "who did not know of the reissue sees the old code on a later day, too",
        NEW_CODE,
        asked("2026-06-01 00:00", as_of="2026-05-01 00:00", known_at="2026-03-31 00:00"),
        [
            pos(5, 0, 0, row("kfsub_a", A, 5, 0, "active", "2026-03-01 09:00", "2027-03-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize("situation", BEGINNINGS_AND_ENDS + TWO_TIMES, ids=lambda s: s.id)
def test_the_view_at_a_moment(situation: Situation) -> None:
    assert situation.answer() == situation.products


@pytest.mark.parametrize(
    ("redeemed", "months", "ends"),
    [
        pytest.param("2026-01-31 12:30", 1, "2026-02-28 12:30", id="january 31 to february 28"),
        pytest.param("2028-01-31 12:30", 1, "2028-02-29 12:30", id="january 31 to a leap day"),
        pytest.param("2026-03-31 00:00", 1, "2026-04-30 00:00", id="march 31 to april 30"),
        pytest.param("2026-04-30 00:00", 1, "2026-05-30 00:00", id="april 30 to may 30, not 31"),
        pytest.param("2026-02-28 08:00", 1, "2026-03-28 08:00", id="february 28 to march 28"),
        pytest.param("2026-12-31 08:00", 2, "2027-02-28 08:00", id="over the year's end"),
        pytest.param("2026-12-15 08:00", 1, "2027-01-15 08:00", id="december to january"),
        pytest.param(
            "2026-08-31 23:59:59.999999", 6, "2027-02-28 23:59:59.999999", id="the last microsecond"
        ),
        pytest.param("2028-02-29 00:00", 12, "2029-02-28 00:00", id="a leap day plus a year"),
        pytest.param("2028-02-29 00:00", 48, "2032-02-29 00:00", id="a leap day to the next"),
        pytest.param("2028-02-29 00:00", 24, "2030-02-28 00:00", id="a leap day plus two years"),
        pytest.param("2096-02-29 00:00", 48, "2100-02-28 00:00", id="2100 is no leap year"),
        pytest.param("2027-02-28 00:00", 12, "2028-02-28 00:00", id="february 28 is no last day"),
        pytest.param("2026-02-28 06:00", 120, "2036-02-28 06:00", id="the longest: ten years"),
    ],
)  # fmt: skip
def test_months_are_calendar_months(redeemed: str, months: int, ends: str) -> None:
    ledger = f"{redeemed}  redeem a cloud_pos 3 seats {months} months"
    shown = [
        pos(3, 0, 0, row("kfsub_a", A, 3, 0, "active", redeemed, ends)),
        NO_INTEGRATIONS,
    ]
    assert Situation("", ledger, asked(redeemed), shown).answer() == shown
