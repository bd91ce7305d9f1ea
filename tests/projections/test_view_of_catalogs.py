"""The Subscriptions view by hand: what left the catalog, or came to stand in it otherwise."""

from __future__ import annotations

import pytest

from ledger.catalog import parse
from tests.projections.telling import asked
from tests.projections.test_view_of_pools import INT_A, INT_B, TIERS, A
from tests.projections.views import NO_POS, Situation, pos, product, row

ONLY_POS = parse("""
    [[products]]
    id = "cloud_pos"
    name = "Cloud POS"
    prefix = "POS"
    seat = "certificate"
""")
ONE_TIER = parse("""
    [[products]]
    id = "integrations"
    name = "Connectors"
    prefix = "INT"
    seat = "connection"
    tiers = [{ id = "starter", name = "First" }]
""")
TIERED_POS = parse("""
    [[products]]
    id = "cloud_pos"
    name = "Cloud POS"
    prefix = "POS"
    seat = "certificate"
    tiers = [{ id = "basic", name = "Basic" }]
""")

OTHER_CATALOGS = [
    Situation(
        "a product that left the catalog is still there for who has it, under its id",
        TIERS,
        asked("2026-03-03 00:00"),
        [
            NO_POS,
            product(
                "integrations", "integrations", 3, 2, 0,
                row(
                    "kfsub_a", INT_A, 2, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00",
                    "growth", "growth",
                ),
                row(
                    "kfsub_b", INT_B, 1, 1, "active", "2026-03-01 09:10", "2026-04-01 09:10",
                    "starter", "starter",
                ),
            ),
        ],
        catalog=ONLY_POS,
    ),
    Situation(
        "a product that left the catalog is still there for its holders when all of it has ended",
        TIERS,
        asked("2028-01-01 00:00"),
        [NO_POS, product("integrations", "integrations", 0, 2, 2)],
        catalog=ONLY_POS,
    ),
    Situation(
        "a product that left the catalog is gone when nobody has anything of it",
        "2026-03-01 09:10  redeem b integrations/starter 1 seat 1 month",
        asked("2026-04-01 09:10"),
        [NO_POS],
        catalog=ONLY_POS,
    ),
    Situation(
        "a product that left the catalog is listed for its ended rows when they are asked for",
        "2026-03-01 09:10  redeem b integrations/starter 1 seat 1 month",
        asked("2026-04-01 09:10"),
        [
            NO_POS,
            product(
                "integrations", "integrations", 0, 0, 0,
                row(
                    "kfsub_b", INT_B, 1, 0, "expired", "2026-03-01 09:10", "2026-04-01 09:10",
                    "starter", "starter",
                ),
            ),
        ],
        ended=True,
        catalog=ONLY_POS,
    ),
    Situation(
        "a tier that left the catalog comes after those that are in it, under its id",
        TIERS,
        asked("2026-03-03 00:00"),
        [
            product(
                "integrations", "Connectors", 3, 2, 0,
                row(
                    "kfsub_b", INT_B, 1, 1, "active", "2026-03-01 09:10", "2026-04-01 09:10",
                    "starter", "First",
                ),
                row(
                    "kfsub_a", INT_A, 2, 1, "active", "2026-03-01 09:00", "2027-03-01 09:00",
                    "growth", "growth",
                ),
            ),
        ],
        catalog=ONE_TIER,
    ),
    Situation(
        "a row without a tier is still there when its product has tiers now",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        """,
        asked("2026-03-03 00:00"),
        [pos(2, 1, 0, row("kfsub_a", A, 2, 1, "active", "2026-03-01 09:00", "2026-04-01 09:00"))],
        catalog=TIERED_POS,
    ),
]  # fmt: skip


@pytest.mark.parametrize("situation", OTHER_CATALOGS, ids=lambda s: s.id)
def test_the_view_with_another_catalog(situation: Situation) -> None:
    assert situation.answer() == situation.products
