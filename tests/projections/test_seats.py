"""Seats by hand: who may work right now, against which row, and why not."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from msgspec.structs import astuple

from ledger.catalog import Catalog
from projections.views.account_at import Moment, account_at
from projections.views.seats import seat, seats
from tests.projections.telling import ACCOUNT_ID, asked, short, told
from tests.projections.test_view_of_catalogs import ONE_TIER, ONLY_POS
from tests.projections.test_view_of_pools import LONGER_GOES, TIERS, TWO_KEYS
from tests.projections.views import BUILTIN


@dataclass(frozen=True)
class Seating:
    """A ledger, a question about it, and who sits where, first come first.

    Attributes:
        seats: product, tier, holder, label, since when, subscription, and the reason if none.
        totals: product, tier, seats, used, free, over; of the pools with anything in them.
    """

    id: str
    ledger: str
    moment: Moment
    seats: list[tuple[str | None, ...]]
    totals: list[tuple[str | int | None, ...]]
    product: str | None = None
    catalog: Catalog = BUILTIN


SEATINGS = [
    Seating(
        "who came first counts against the row that ends last",
        TWO_KEYS,
        asked("2026-03-04 00:00"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-03 08:00", "kfsub_b", None),
            ("cloud_pos", None, "till-2", None, "2026-03-03 08:01", "kfsub_b", None),
            ("cloud_pos", None, "till-3", None, "2026-03-03 08:02", "kfsub_b", None),
            ("cloud_pos", None, "till-4", None, "2026-03-03 08:03", "kfsub_a", None),
        ],
        [("cloud_pos", None, 5, 4, 1, 0)],
    ),
    Seating(
        "when a row ends the newest is over",
        TWO_KEYS,
        asked("2026-04-01 09:00"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-03 08:00", "kfsub_b", None),
            ("cloud_pos", None, "till-2", None, "2026-03-03 08:01", "kfsub_b", None),
            ("cloud_pos", None, "till-3", None, "2026-03-03 08:02", "kfsub_b", None),
            ("cloud_pos", None, "till-4", None, "2026-03-03 08:03", None, "over"),
        ],
        [("cloud_pos", None, 3, 4, 0, 1)],
    ),
    Seating(
        "when an older one leaves, the newest is licensed again",
        TWO_KEYS + "2026-04-01 10:00  leave till-2 cloud_pos",
        asked("2026-04-01 10:00"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-03 08:00", "kfsub_b", None),
            ("cloud_pos", None, "till-3", None, "2026-03-03 08:02", "kfsub_b", None),
            ("cloud_pos", None, "till-4", None, "2026-03-03 08:03", "kfsub_b", None),
        ],
        [("cloud_pos", None, 3, 3, 0, 0)],
    ),
    Seating(
        "the holders of a terminated row move to the one that is left, the first of them",
        LONGER_GOES,
        asked("2026-03-15 12:00"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-02 08:00", "kfsub_b", None),
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:01", "kfsub_b", None),
            ("cloud_pos", None, "till-3", None, "2026-03-02 08:02", None, "over"),
            ("cloud_pos", None, "till-4", None, "2026-03-02 08:03", None, "over"),
        ],
        [("cloud_pos", None, 2, 4, 0, 2)],
    ),
    Seating(
        "as of before the termination all were licensed",
        LONGER_GOES,
        asked("2026-03-16 00:00", as_of="2026-03-15 11:59:59.999999"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-02 08:00", "kfsub_a", None),
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:01", "kfsub_a", None),
            ("cloud_pos", None, "till-3", None, "2026-03-02 08:02", "kfsub_a", None),
            ("cloud_pos", None, "till-4", None, "2026-03-02 08:03", "kfsub_b", None),
        ],
        [("cloud_pos", None, 5, 4, 1, 0)],
    ),
    Seating(
        "with no row left nobody is licensed, and the reason says so",
        LONGER_GOES,
        asked("2026-04-01 10:00"),
        [
            ("cloud_pos", None, "till-1", None, "2026-03-02 08:00", None, "no_active_subscription"),
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:01", None, "no_active_subscription"),
            ("cloud_pos", None, "till-3", None, "2026-03-02 08:02", None, "no_active_subscription"),
            ("cloud_pos", None, "till-4", None, "2026-03-02 08:03", None, "no_active_subscription"),
        ],
        [("cloud_pos", None, 0, 4, 0, 4)],
    ),
    Seating(
        "each tier has its own order and its own reason",
        TIERS,
        asked("2026-04-01 09:10"),
        [
            (
                "integrations", "starter", "shop", None,
                "2026-03-02 08:00", None, "no_active_subscription",
            ),
            ("integrations", "growth", "depot", None, "2026-03-02 08:01", "kfsub_a", None),
        ],
        [("integrations", "starter", 0, 1, 0, 1), ("integrations", "growth", 2, 1, 1, 0)],
    ),
    Seating(
        "who gets another label keeps its place",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 08:01  sit till-2 cloud_pos
        2026-03-02 09:00  label till-1 cloud_pos front
        """,
        asked("2026-03-03 00:00"),
        [
            ("cloud_pos", None, "till-1", "front", "2026-03-02 08:00", "kfsub_a", None),
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:01", "kfsub_a", None),
        ],
        [("cloud_pos", None, 2, 2, 0, 0)],
    ),
    Seating(
        "as of before, it had no label",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 09:00  label till-1 cloud_pos front
        """,
        asked("2026-03-03 00:00", as_of="2026-03-02 08:59"),
        [("cloud_pos", None, "till-1", None, "2026-03-02 08:00", "kfsub_a", None)],
        [("cloud_pos", None, 2, 1, 1, 0)],
    ),
    Seating(
        "who leaves and comes back is the newest",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 2 months
        2026-03-01 10:00  redeem b cloud_pos 1 seat 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 08:01  sit till-2 cloud_pos
        2026-03-02 08:02  leave till-1 cloud_pos
        2026-03-02 08:03  sit till-3 cloud_pos
        2026-03-02 08:04  sit till-1 cloud_pos
        """,
        asked("2026-04-01 10:00"),
        [
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:01", "kfsub_a", None),
            ("cloud_pos", None, "till-3", None, "2026-03-02 08:03", "kfsub_a", None),
            ("cloud_pos", None, "till-1", None, "2026-03-02 08:04", None, "over"),
        ],
        [("cloud_pos", None, 2, 3, 0, 1)],
    ),
    Seating(
        "of two who sat down in one microsecond the one recorded first came first",
        """
        2026-03-01 09:00  redeem a cloud_pos 1 seat 2 months
        2026-03-01 10:00  redeem b cloud_pos 1 seat 1 month
        2026-03-02 08:00  sit till-2 cloud_pos
        2026-03-02 08:00  sit till-1 cloud_pos
        """,
        asked("2026-04-01 10:00"),
        [
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:00", "kfsub_a", None),
            ("cloud_pos", None, "till-1", None, "2026-03-02 08:00", None, "over"),
        ],
        [("cloud_pos", None, 1, 2, 0, 1)],
    ),
    Seating(
        "who sat down earlier comes first, even when it was recorded later",
        """
        2026-03-01 09:00  redeem a cloud_pos 1 seat 2 months
        2026-03-01 10:00  redeem b cloud_pos 1 seat 1 month
        2026-03-03 08:00  sit till-1 cloud_pos
        2026-03-02 08:00 recorded 2026-03-20 10:00  sit till-2 cloud_pos
        """,
        asked("2026-04-01 10:00"),
        [
            ("cloud_pos", None, "till-2", None, "2026-03-02 08:00", "kfsub_a", None),
            ("cloud_pos", None, "till-1", None, "2026-03-03 08:00", None, "over"),
        ],
        [("cloud_pos", None, 1, 2, 0, 1)],
    ),
    Seating(
        "with what was known before, the one recorded later was not there",
        """
        2026-03-01 09:00  redeem a cloud_pos 1 seat 2 months
        2026-03-01 10:00  redeem b cloud_pos 1 seat 1 month
        2026-03-03 08:00  sit till-1 cloud_pos
        2026-03-02 08:00 recorded 2026-03-20 10:00  sit till-2 cloud_pos
        """,
        asked("2026-04-01 10:00", known_at="2026-03-20 09:59"),
        [("cloud_pos", None, "till-1", None, "2026-03-03 08:00", "kfsub_a", None)],
        [("cloud_pos", None, 1, 1, 0, 0)],
    ),
    Seating(
        "one product's seats alone",
        TWO_KEYS + "2026-03-03 09:00  redeem c integrations/scale 1 seat 1 month",
        asked("2026-03-04 00:00"),
        [],
        [("integrations", "scale", 1, 0, 1, 0)],
        product="integrations",
    ),
    Seating(
        "a product that left the catalog still licenses its holders",
        TIERS,
        asked("2026-03-03 00:00"),
        [
            ("integrations", "growth", "depot", None, "2026-03-02 08:01", "kfsub_a", None),
            ("integrations", "starter", "shop", None, "2026-03-02 08:00", "kfsub_b", None),
        ],
        [("integrations", "growth", 2, 1, 1, 0), ("integrations", "starter", 1, 1, 0, 0)],
        catalog=ONLY_POS,
    ),
]  # fmt: skip


@pytest.mark.parametrize("seating", SEATINGS, ids=lambda seating: seating.id)
def test_who_sits_where(seating: Seating) -> None:
    account = account_at(told(seating.ledger), ACCOUNT_ID, seating.moment)
    view = seats(account, seating.catalog, seating.product)
    shown = [
        (
            one.product,
            one.tier,
            one.holder,
            one.label and one.label.box,
            short(one.occupied_at),
            one.subscription,
            one.reason,
        )
        for one in view.items
    ]
    assert shown == seating.seats
    assert [astuple(t) for t in view.totals if t.seats or t.used] == seating.totals
    assert [one.licensed for one in view.items] == [one[5] is not None for one in seating.seats]
    # Each by itself is the same.
    for one in view.items:
        assert astuple(seat(account, one.product, one.holder))[4:] == astuple(one)


def test_the_totals_name_every_pool_on_offer_and_those_that_are_in_use() -> None:
    account = account_at(told(TIERS), ACCOUNT_ID, asked("2026-03-03 00:00"))
    assert [(total.product, total.tier) for total in seats(account, BUILTIN).totals] == [
        ("cloud_pos", None),
        ("integrations", "starter"),
        ("integrations", "growth"),
        ("integrations", "scale"),
    ]
    assert [(total.product, total.tier) for total in seats(account, ONE_TIER).totals] == [
        ("integrations", "starter"),
        ("integrations", "growth"),
    ]


def test_the_totals_leave_out_a_tier_off_the_catalog_once_nobody_uses_it() -> None:
    ledger = "2026-03-01 09:10  redeem b integrations/growth 1 seat 1 month"
    account = account_at(told(ledger), ACCOUNT_ID, asked("2026-04-01 09:10"))
    (total,) = seats(account, ONE_TIER).totals
    assert (total.product, total.tier) == ("integrations", "starter")


def test_before_it_sat_down_a_holder_has_no_seat() -> None:
    book = told(TWO_KEYS)
    before = asked("2026-03-04 00:00", as_of="2026-03-03 07:59:59.999999")
    assert seat(account_at(book, ACCOUNT_ID, before), "cloud_pos", "till-1").reason == "no_seat"
    at_once = asked("2026-03-04 00:00", as_of="2026-03-03 08:00")
    sits = seat(account_at(book, ACCOUNT_ID, at_once), "cloud_pos", "till-1")
    assert sits is not None
    assert sits.licensed


def test_a_holder_of_one_product_has_no_seat_of_another() -> None:
    account = account_at(told(TIERS), ACCOUNT_ID, asked("2026-03-03 00:00"))
    assert seat(account, "cloud_pos", "shop").reason == "no_seat"
