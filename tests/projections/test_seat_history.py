"""The step chart of seats by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from ledger.book import Book, Change, Dated
from ledger.events import AnyOccurrence
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripeCustomerLinked
from projections.views import account_over_time
from projections.views.account_at import Moment
from projections.views.seat_history import seat_history
from tests.projections.telling import ACCOUNT_ID, asked, at, short, told
from tests.projections.test_view_of_pools import TIERS
from tests.worlds import NOON, context


@dataclass(frozen=True)
class Chart:
    """A ledger, a question about it, and the points: from when on, seats, used."""

    id: str
    ledger: str
    moment: Moment
    points: list[tuple[str, int, int]]
    product: str | None = None
    tier: str | None = None
    start: str | None = None
    end: str | None = None


MONTH = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-02 08:00  sit till-1 cloud_pos
    2026-03-03 08:00  sit till-2 cloud_pos
    2026-03-04 08:00  leave till-1 cloud_pos
"""
TERMINATED = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-01 10:00  redeem b cloud_pos 3 seats 12 months
    2026-03-10 12:00  terminate a
"""
LATE = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-05 08:00  sit till-1 cloud_pos
    2026-03-02 08:00 recorded 2026-03-20 10:00  sit till-2 cloud_pos
    2026-03-04 08:00 recorded 2026-03-21 10:00  leave till-2 cloud_pos
"""

CHARTS = [
    Chart("an account that nothing happened to has no points", "", asked("2026-03-01 00:00"), []),
    Chart(
        "steps come from events and from a row's end",
        MONTH,
        asked("2026-06-01 00:00"),
        [
            ("2026-03-01 09:00", 2, 0),
            ("2026-03-02 08:00", 2, 1),
            ("2026-03-03 08:00", 2, 2),
            ("2026-03-04 08:00", 2, 1),
            ("2026-04-01 09:00", 0, 1),
        ],
    ),
    Chart(
        "a row's end that is still to come is no step yet",
        MONTH,
        asked("2026-04-01 08:59:59.999999"),
        [
            ("2026-03-01 09:00", 2, 0),
            ("2026-03-02 08:00", 2, 1),
            ("2026-03-03 08:00", 2, 2),
            ("2026-03-04 08:00", 2, 1),
        ],
    ),
    Chart(
        "as of a future moment it is a step, at that very moment, too",
        MONTH,
        asked("2026-03-10 00:00", as_of="2026-04-01 09:00"),
        [
            ("2026-03-01 09:00", 2, 0),
            ("2026-03-02 08:00", 2, 1),
            ("2026-03-03 08:00", 2, 2),
            ("2026-03-04 08:00", 2, 1),
            ("2026-04-01 09:00", 0, 1),
        ],
    ),
    Chart(
        "a stretch of an account that nothing happened to is one point of nothing",
        "",
        asked("2026-03-01 00:00"),
        [("2026-01-01 00:00", 0, 0)],
        start="2026-01-01 00:00",
    ),
    Chart(
        "the first point of a stretch says how it began",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-03-02 12:00", 2, 1), ("2026-03-03 08:00", 2, 2), ("2026-03-04 08:00", 2, 1)],
        start="2026-03-02 12:00",
        end="2026-03-31 00:00",
    ),
    Chart(
        "a stretch that begins with a step begins after it",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-03-03 08:00", 2, 2), ("2026-03-04 08:00", 2, 1)],
        start="2026-03-03 08:00",
        end="2026-03-04 08:00",
    ),
    Chart(
        "a stretch that ends before a step leaves it out",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-03-03 08:00", 2, 2)],
        start="2026-03-03 08:00",
        end="2026-03-04 07:59:59.999999",
    ),
    Chart(
        "a stretch that begins before anything happened begins at nothing",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-01-01 00:00", 0, 0), ("2026-03-01 09:00", 2, 0)],
        start="2026-01-01 00:00",
        end="2026-03-01 23:59",
    ),
    Chart(
        "a stretch long after everything ended is one point",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-05-01 00:00", 0, 1)],
        start="2026-05-01 00:00",
    ),
    Chart(
        "a stretch of one moment is one point",
        MONTH,
        asked("2026-06-01 00:00"),
        [("2026-03-02 12:00", 2, 1)],
        start="2026-03-02 12:00",
        end="2026-03-02 12:00",
    ),
    Chart(
        "a stretch that lies in the future shows what will be if nothing more happens",
        MONTH,
        asked("2026-03-10 00:00"),
        [("2026-03-31 00:00", 2, 1), ("2026-04-01 09:00", 0, 1)],
        start="2026-03-31 00:00",
        end="2026-04-02 00:00",
    ),
    Chart(
        "a termination is a step, the end that the row would have had is none",
        TERMINATED,
        asked("2026-06-01 00:00"),
        [("2026-03-01 09:00", 2, 0), ("2026-03-01 10:00", 5, 0), ("2026-03-10 12:00", 3, 0)],
    ),
    Chart(
        "what happens in one microsecond is one step, or none",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-03-01 09:00  redeem b cloud_pos 2 seats 1 month
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 08:00  leave till-1 cloud_pos
        """,
        asked("2026-03-10 00:00"),
        [("2026-03-01 09:00", 4, 0)],
    ),
    Chart(
        "an end and a beginning in one microsecond make one step",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-04-01 09:00  redeem b cloud_pos 3 seats 1 month
        """,
        asked("2026-04-10 00:00"),
        [("2026-03-01 09:00", 2, 0), ("2026-04-01 09:00", 3, 0)],
    ),
    Chart(
        "an end and a beginning of as many seats in one microsecond are no step",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
        2026-04-01 09:00  redeem b cloud_pos 2 seats 1 month
        """,
        asked("2026-04-10 00:00"),
        [("2026-03-01 09:00", 2, 0)],
    ),
    Chart(
        "labels and new codes are no steps",
        """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 12 months
        2026-03-02 08:00  sit till-1 cloud_pos
        2026-03-02 09:00  label till-1 cloud_pos front
        2026-03-02 10:00  reissue a POS-••••-••••-NEW2
        """,
        asked("2026-03-10 00:00"),
        [("2026-03-01 09:00", 2, 0), ("2026-03-02 08:00", 2, 1)],
    ),
    Chart(
        "late facts stand where they occurred",
        LATE,
        asked("2026-03-25 00:00"),
        [
            ("2026-03-01 09:00", 2, 0),
            ("2026-03-02 08:00", 2, 1),
            ("2026-03-04 08:00", 2, 0),
            ("2026-03-05 08:00", 2, 1),
        ],
    ),
    Chart(
        "late facts are missing from what was known before",
        LATE,
        asked("2026-03-25 00:00", known_at="2026-03-20 23:59"),
        [("2026-03-01 09:00", 2, 0), ("2026-03-02 08:00", 2, 1), ("2026-03-05 08:00", 2, 2)],
    ),
    Chart(
        "all products and tiers together",
        TIERS,
        asked("2026-06-01 00:00"),
        [
            ("2026-03-01 09:00", 2, 0),
            ("2026-03-01 09:10", 3, 0),
            ("2026-03-02 08:00", 3, 1),
            ("2026-03-02 08:01", 3, 2),
            ("2026-04-01 09:10", 2, 2),
        ],
    ),
    Chart(
        "one tier alone",
        TIERS,
        asked("2026-06-01 00:00"),
        [("2026-03-01 09:00", 2, 0), ("2026-03-02 08:01", 2, 1)],
        product="integrations",
        tier="growth",
    ),
    Chart(
        "a product that the account never had stays at nothing",
        TIERS,
        asked("2026-06-01 00:00"),
        [("2026-03-01 09:00", 0, 0)],
        product="cloud_pos",
    ),
]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.id)
def test_the_chart(chart: Chart) -> None:
    history = seat_history(
        told(chart.ledger),
        ACCOUNT_ID,
        chart.moment,
        product=chart.product,
        tier=chart.tier,
        start=at(chart.start) if chart.start else None,
        end=at(chart.end) if chart.end else None,
    )
    assert [(short(point.at), point.seats, point.used) for point in history.points] == chart.points


def test_what_was_recorded_late_is_not_folded_anew_for_each_fact_of_the_time_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A customer is linked late: what Stripe had to say of years comes after years of seats."""
    folded = 0

    def counting(state: Account, events: Iterable[AnyOccurrence]) -> Account:
        nonlocal folded
        given = list(events)
        folded += len(given)
        return ACCOUNT.fold(state, given)

    seats, reports = 200, 50
    book = Book("memory:")
    for number in range(seats):
        taken = SeatOccupied(product="cloud_pos", tier=None, holder=f"h{number}", label=None)
        moment = context(NOON + timedelta(minutes=number))
        book.append(moment, Change(book.load(ACCOUNT, ACCOUNT_ID), [taken]))
    late = [
        Dated(
            StripeCustomerLinked(customer=f"cus_{number}", account=ACCOUNT_ID, by="call"),
            NOON - timedelta(days=1) + timedelta(minutes=number),
        )
        for number in range(reports)
    ]
    later = NOON + timedelta(days=1)
    book.append(context(later), Change(book.load(ACCOUNT, ACCOUNT_ID), late))
    monkeypatch.setattr(account_over_time, "ACCOUNT", replace(ACCOUNT, fold=counting))
    points = seat_history(book, ACCOUNT_ID, Moment(later)).points
    assert points[-1].used == seats
    assert folded == seats + reports
