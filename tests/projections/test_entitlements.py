"""Entitlements by hand: what an account may use, and until when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import asdict

from ledger.catalog import Catalog
from projections.views.account_at import Moment, account_at
from projections.views.entitlements import entitlements
from tests.projections.telling import ACCOUNT_ID, asked, short, told
from tests.projections.test_view_of_catalogs import ONLY_POS
from tests.projections.test_view_of_pools import LONGER_GOES, TIERS, TWO_KEYS
from tests.projections.views import BUILTIN, Json


@dataclass(frozen=True)
class Entitled:
    """A ledger, a question about it, and what the account may use."""

    id: str
    ledger: str
    moment: Moment
    entitlements: list[Json]
    catalog: Catalog = BUILTIN


def entitled(
    product: str,
    name: str,
    tier: str | None,
    tier_name: str | None,
    numbers: tuple[int, int, int],
    limits: Json,
    until: str | None,
) -> Json:
    seats, used, over = numbers
    return {
        "product": product,
        "name": name,
        "tier": tier,
        "tier_name": tier_name,
        "seats": seats,
        "used": used,
        "over": over,
        "limits": limits,
        "until": until,
        "renews": False,
    }


STARTER = {"invoices_per_month": 300, "sync": "Basic"}
GROWTH = {"invoices_per_month": 3000, "sync": "Near real-time + auto retry"}

ENTITLED = [
    Entitled("an empty account may use nothing", "", asked("2026-03-01 09:00"), []),
    Entitled(
        "a pool lasts until the last of its rows ends",
        TWO_KEYS,
        asked("2026-03-04 00:00"),
        [entitled("cloud_pos", "Cloud POS", None, None, (5, 4, 0), {}, "2027-03-02 09:00")],
    ),
    Entitled(
        "a terminated row lengthens nothing",
        LONGER_GOES,
        asked("2026-03-15 12:00"),
        [entitled("cloud_pos", "Cloud POS", None, None, (2, 4, 2), {}, "2026-04-01 10:00")],
    ),
    Entitled(
        "a pool with holders and no seats ends at no time, since it has ended",
        LONGER_GOES,
        asked("2026-04-01 10:00"),
        [entitled("cloud_pos", "Cloud POS", None, None, (0, 4, 4), {}, None)],
    ),
    Entitled(
        "each tier has its own limits",
        TIERS,
        asked("2026-03-03 00:00"),
        [
            entitled(
                "integrations", "Integrations", "starter", "Starter", (1, 1, 0),
                STARTER, "2026-04-01 09:10",
            ),
            entitled(
                "integrations", "Integrations", "growth", "Growth", (2, 1, 0),
                GROWTH, "2027-03-01 09:00",
            ),
        ],
    ),
    Entitled(
        "as of before the second key there was only the first",
        TIERS,
        asked("2026-03-03 00:00", as_of="2026-03-01 09:09"),
        [
            entitled(
                "integrations", "Integrations", "growth", "Growth", (2, 0, 0),
                GROWTH, "2027-03-01 09:00",
            )
        ],
    ),
    Entitled(
        "limits of what left the catalog are not known any more",
        "2026-03-01 09:00  redeem a integrations/growth 2 seats 12 months",
        asked("2026-03-03 00:00"),
        [
            entitled(
                "integrations", "integrations", "growth", "growth", (2, 0, 0),
                {}, "2027-03-01 09:00",
            )
        ],
        catalog=ONLY_POS,
    ),
    Entitled(
        "what has ended and is used by nobody entitles to nothing",
        "2026-03-01 09:00  redeem a integrations/growth 2 seats 1 month",
        asked("2026-04-01 09:00"),
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ENTITLED, ids=lambda row: row.id)
def test_what_an_account_may_use(row: Entitled) -> None:
    view = entitlements(account_at(told(row.ledger), ACCOUNT_ID, row.moment), row.catalog)
    shown = [{**asdict(one), "until": short(one.until)} for one in view.entitlements]
    assert shown == row.entitlements
