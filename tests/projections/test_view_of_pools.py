"""The Subscriptions view by hand: rows that fill one another's place, and tiers."""

from __future__ import annotations

import pytest

from tests.projections.telling import asked
from tests.projections.views import (
    NO_INTEGRATIONS,
    NO_POS,
    Situation,
    integrations,
    pos,
    row,
)

A, B, C, D = (f"POS-••••-••••-{letter * 4}" for letter in "ABCD")
INT_A, INT_B, INT_C = (f"INT-••••-••••-{letter * 4}" for letter in "ABC")

TWO_KEYS = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-02 09:00  redeem b cloud_pos 3 seats 12 months
    2026-03-03 08:00  sit till-1 cloud_pos
    2026-03-03 08:01  sit till-2 cloud_pos
    2026-03-03 08:02  sit till-3 cloud_pos
    2026-03-03 08:03  sit till-4 cloud_pos
"""
# The row of two months is first in order, and goes first.
LONGER_GOES = """
    2026-03-01 09:00  redeem a cloud_pos 3 seats 2 months
    2026-03-01 10:00  redeem b cloud_pos 2 seats 1 month
    2026-03-02 08:00  sit till-1 cloud_pos
    2026-03-02 08:01  sit till-2 cloud_pos
    2026-03-02 08:02  sit till-3 cloud_pos
    2026-03-02 08:03  sit till-4 cloud_pos
    2026-03-15 12:00  terminate a
"""
TIERS = """
    2026-03-01 09:00  redeem a integrations/growth 2 seats 12 months
    2026-03-01 09:10  redeem b integrations/starter 1 seat 1 month
    2026-03-02 08:00  sit shop integrations/starter
    2026-03-02 08:01  sit depot integrations/growth
"""
FOUR_ENDS = """
    2026-01-01 00:00  redeem a cloud_pos 1 seat 3 months
    2026-01-02 00:00  redeem b cloud_pos 2 seats 12 months
    2026-01-03 00:00  redeem c cloud_pos 3 seats 2 months
    2026-01-04 00:00  redeem d cloud_pos 4 seats 12 months
    2026-02-01 00:00  terminate b
"""

POOLS = [
    Situation(
        "of two keys the one that ends last is filled first",
        TWO_KEYS,
        asked("2026-03-04 00:00", as_of="2026-03-03 08:01"),
        [
            pos(
                5, 2, 0,
                row("kfsub_b", B, 3, 2, "active", "2026-03-02 09:00", "2027-03-02 09:00"),
                row("kfsub_a", A, 2, 0, "active", "2026-03-01 09:00", "2026-04-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "when the first of two keys is full the second is filled",
        TWO_KEYS,
        asked("2026-04-01 08:59:59.999999"),
        [
            pos(
                5, 4, 0,
                row("kfsub_b", B, 3, 3, "active", "2026-03-02 09:00", "2027-03-02 09:00"),
                row("kfsub_a", A, 2, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "when one of two keys ends nobody is thrown out, and one is over",
        TWO_KEYS,
        asked("2026-04-01 09:00"),
        [
            pos(3, 4, 1, row("kfsub_b", B, 3, 3, "active", "2026-03-02 09:00", "2027-03-02 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "the pool grows again under its holders, and nobody is over",
        TWO_KEYS + "2026-04-02 12:00  redeem c cloud_pos 1 seat 1 month",
        asked("2026-04-02 12:00"),
        [
            pos(
                4, 4, 0,
                row("kfsub_b", B, 3, 3, "active", "2026-03-02 09:00", "2027-03-02 09:00"),
                row("kfsub_c", C, 1, 1, "active", "2026-04-02 12:00", "2026-05-02 12:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "the pool shrinks a second time",
        TWO_KEYS + "2026-04-02 12:00  redeem c cloud_pos 1 seat 1 month",
        asked("2026-04-03 00:00", as_of="2026-05-02 12:00"),
        [
            pos(3, 4, 1, row("kfsub_b", B, 3, 3, "active", "2026-03-02 09:00", "2027-03-02 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "when one leaves a pool that is over by one nobody is over",
        TWO_KEYS + "2026-04-01 10:00  leave till-2 cloud_pos",
        asked("2026-04-01 10:00"),
        [
            pos(3, 3, 0, row("kfsub_b", B, 3, 3, "active", "2026-03-02 09:00", "2027-03-02 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "holders count against another row when theirs ends, as far as it has room",
        LONGER_GOES,
        asked("2026-03-15 12:00"),
        [
            pos(2, 4, 2, row("kfsub_b", B, 2, 2, "active", "2026-03-01 10:00", "2026-04-01 10:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "before theirs ended they counted against it",
        LONGER_GOES,
        asked("2026-03-16 00:00", as_of="2026-03-15 11:59"),
        [
            pos(
                5, 4, 0,
                row("kfsub_a", A, 3, 3, "active", "2026-03-01 09:00", "2026-05-01 09:00"),
                row("kfsub_b", B, 2, 1, "active", "2026-03-01 10:00", "2026-04-01 10:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "of two keys with one end the one that started first is filled first",
        """
        2026-01-28 12:00  redeem b cloud_pos 2 seats 1 month
        2026-01-31 12:00  redeem a cloud_pos 2 seats 1 month
        2026-02-01 08:00  sit till-1 cloud_pos
        """,
        asked("2026-02-02 00:00"),
        [
            pos(
                4, 1, 0,
                row("kfsub_b", B, 2, 1, "active", "2026-01-28 12:00", "2026-02-28 12:00"),
                row("kfsub_a", A, 2, 0, "active", "2026-01-31 12:00", "2026-02-28 12:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "of two keys with one start and one end the one with the lesser id is filled first",
        """
        2026-03-01 09:00  redeem b cloud_pos 2 seats 1 month
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        """,
        asked("2026-03-03 00:00"),
        [
            pos(
                4, 1, 0,
                row("kfsub_a", A, 2, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00"),
                row("kfsub_b", B, 2, 0, "active", "2026-03-01 09:00", "2026-04-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a microsecond decides which of two keys ends last",
        """
        2026-03-01 09:00:00.000000  redeem a cloud_pos 2 seats 120 months
        2026-03-01 09:00:00.000001  redeem b cloud_pos 2 seats 120 months
        2026-03-02 08:00  sit till-1 cloud_pos
        """,
        asked("2026-03-03 00:00"),
        [
            pos(
                4, 1, 0,
                row(
                    "kfsub_b", B, 2, 1, "active",
                    "2026-03-01 09:00:00.000001", "2036-03-01 09:00:00.000001",
                ),
                row("kfsub_a", A, 2, 0, "active", "2026-03-01 09:00", "2036-03-01 09:00"),
            ),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a holder who leaves and comes back takes one seat",
        """
        2026-03-01 09:00  redeem a cloud_pos 1 seat 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 09:00  leave till-1 cloud_pos
        2026-03-02 10:00  sit till-1 cloud_pos
        """,
        asked("2026-03-03 00:00"),
        [
            pos(1, 1, 0, row("kfsub_a", A, 1, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a holder who gets another label takes no other seat",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 09:00  label till-1 cloud_pos front
        """,
        asked("2026-03-03 00:00"),
        [
            pos(2, 1, 0, row("kfsub_a", A, 2, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "a new key after the old one ended takes over its holder",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-04-10 09:00  redeem b cloud_pos 1 seat 1 month
        """,
        asked("2026-04-10 09:00"),
        [
            pos(1, 1, 0, row("kfsub_b", B, 1, 1, "active", "2026-04-10 09:00", "2026-05-10 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
    Situation(
        "with what was known before a key's late redemption its holder was over",
        """
        2026-02-05 09:00  redeem a cloud_pos 1 seat 1 month
        2026-02-06 08:00  sit till-1 cloud_pos
        2026-03-01 09:00 recorded 2026-03-20 10:00  redeem b cloud_pos 1 seat 1 month
        """,
        asked("2026-03-21 00:00", as_of="2026-03-10 00:00", known_at="2026-03-10 00:00"),
        [pos(0, 1, 1), NO_INTEGRATIONS],
    ),
    Situation(
        "with what is known since a key's late redemption its holder was not over",
        """
        2026-02-05 09:00  redeem a cloud_pos 1 seat 1 month
        2026-02-06 08:00  sit till-1 cloud_pos
        2026-03-01 09:00 recorded 2026-03-20 10:00  redeem b cloud_pos 1 seat 1 month
        """,
        asked("2026-03-21 00:00", as_of="2026-03-10 00:00"),
        [
            pos(1, 1, 0, row("kfsub_b", B, 1, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            NO_INTEGRATIONS,
        ],
    ),
]  # fmt: skip

TIERED = [
    Situation(
        "each tier is a pool of its own, and they come in the catalog's order",
        TIERS,
        asked("2026-03-03 00:00"),
        [
            NO_POS,
            integrations(
                3, 2, 0,
                row(
                    "kfsub_b", INT_B, 1, 1, "active", "2026-03-01 09:10", "2026-04-01 09:10",
                    "starter", "Starter",
                ),
                row(
                    "kfsub_a", INT_A, 2, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00",
                    "growth", "Growth",
                ),
            ),
        ],
    ),
    Situation(
        "who is over in one tier does not sit in another that has room",
        TIERS,
        asked("2026-04-01 09:10"),
        [
            NO_POS,
            integrations(
                2, 2, 1,
                row(
                    "kfsub_a", INT_A, 2, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00",
                    "growth", "Growth",
                ),
            ),
        ],
    ),
    Situation(
        "one holder may sit in two products",
        """
        2026-03-01 09:00  redeem a cloud_pos 1 seat 1 month
        2026-03-01 09:10  redeem b integrations/scale 1 seat 1 month
        2026-03-02 08:00  sit shop cloud_pos
        2026-03-02 08:01  sit shop integrations/scale
        """,
        asked("2026-03-03 00:00"),
        [
            pos(1, 1, 0, row("kfsub_a", A, 1, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00")),
            integrations(
                1, 1, 0,
                row(
                    "kfsub_b", INT_B, 1, 1, "active", "2026-03-01 09:10", "2026-04-01 09:10",
                    "scale", "Scale",
                ),
            ),
        ],
    ),
    Situation(
        "ended rows of all tiers come last, the latest end first",
        """
        2026-01-01 00:00  redeem a integrations/starter 1 seat 1 month
        2026-01-01 00:00  redeem b integrations/scale 1 seat 2 months
        2026-01-01 00:00  redeem c integrations/growth 1 seat 12 months
        """,
        asked("2026-06-01 00:00"),
        [
            NO_POS,
            integrations(
                1, 0, 0,
                row(
                    "kfsub_c", INT_C, 1, 0, "active", "2026-01-01 00:00", "2027-01-01 00:00",
                    "growth", "Growth",
                ),
                row(
                    "kfsub_b", INT_B, 1, 0, "expired", "2026-01-01 00:00", "2026-03-01 00:00",
                    "scale", "Scale",
                ),
                row(
                    "kfsub_a", INT_A, 1, 0, "expired", "2026-01-01 00:00", "2026-02-01 00:00",
                    "starter", "Starter",
                ),
            ),
        ],
        ended=True,
    ),
    Situation(
        "active rows come first, then ended ones by when they really ended",
        FOUR_ENDS,
        asked("2026-06-01 00:00"),
        [
            pos(
                4, 0, 0,
                row("kfsub_d", D, 4, 0, "active", "2026-01-04 00:00", "2027-01-04 00:00"),
                row("kfsub_a", A, 1, 0, "expired", "2026-01-01 00:00", "2026-04-01 00:00"),
                row("kfsub_c", C, 3, 0, "expired", "2026-01-03 00:00", "2026-03-03 00:00"),
                row("kfsub_b", B, 2, 0, "terminated", "2026-01-02 00:00", "2027-01-02 00:00"),
            ),
            NO_INTEGRATIONS,
        ],
        ended=True,
    ),
    Situation(
        "as of an earlier day fewer rows had ended",
        FOUR_ENDS,
        asked("2026-06-01 00:00", as_of="2026-03-02 23:59"),
        [
            pos(
                8, 0, 0,
                row("kfsub_d", D, 4, 0, "active", "2026-01-04 00:00", "2027-01-04 00:00"),
                row("kfsub_a", A, 1, 0, "active", "2026-01-01 00:00", "2026-04-01 00:00"),
                row("kfsub_c", C, 3, 0, "active", "2026-01-03 00:00", "2026-03-03 00:00"),
                row("kfsub_b", B, 2, 0, "terminated", "2026-01-02 00:00", "2027-01-02 00:00"),
            ),
            NO_INTEGRATIONS,
        ],
        ended=True,
    ),
    Situation(
        "ended rows are left out unless they are asked for",
        FOUR_ENDS,
        asked("2026-06-01 00:00"),
        [
            pos(4, 0, 0, row("kfsub_d", D, 4, 0, "active", "2026-01-04 00:00", "2027-01-04 00:00")),
            NO_INTEGRATIONS,
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize("situation", POOLS + TIERED, ids=lambda s: s.id)
def test_the_view_of_pools(situation: Situation) -> None:
    assert situation.answer() == situation.products
