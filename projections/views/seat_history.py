"""Seat history: seats against used, as a step chart.

A point says how things stood from its moment on, until the next point. Steps come from events and
from the mere passing of time, when a row starts or ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from ledger.book import Book
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from projections.answer import AccountAnswer, Answer, ProductId, Seats, Time, Used
from projections.views.account_at import Moment
from projections.views.account_over_time import account_steps


class Point(Answer, frozen=True):
    """How things stand from `at` on, until the next point."""

    at: Time
    seats: Seats
    used: Used


class SeatHistory(AccountAnswer, frozen=True, rename={"start": "from", "end": "to"}):
    """The steps of a product or tier, or of all together, oldest first.

    The first point stands at `from`: the moment asked for, or the first event.
    """

    product: ProductId | None
    tier: str | None
    start: Time | None
    end: Time
    points: list[Point]


def seat_history(
    book: Book,
    id: str,
    moment: Moment,
    *,
    product: str | None = None,
    tier: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> SeatHistory:
    """Return how an account's seats and holders went up and down.

    Args:
        product, tier: of these only; None for all of them together.
        start: from here on; None for the account's first event.
        end: up to here; None for the moment asked about.
    """
    head, events = book.history(ACCOUNT, id)
    upto = end or moment.at
    steps = (
        Point(at, *_standing(account, product, tier, at))
        for at, account in account_steps(filter(moment.covers, events), moment.at, upto)
    )
    points = _changes(steps, start)
    if start is None and points:
        start = points[0].at
    header = id, moment.at, moment.known, head
    return SeatHistory(*header, product, tier, start, upto, points)


def _standing(
    account: Account, product: str | None, tier: str | None, at: datetime
) -> tuple[int, int]:
    def wanted(of_product: str, of_tier: str | None) -> bool:
        return product in (None, of_product) and tier in (None, of_tier)

    seats = sum(row.seats for row in account.rows(at) if wanted(row.product, row.tier))
    used = sum(count for (p, t), count in account.used.items() if wanted(p, t))
    return seats, used


def _changes(steps: Iterable[Point], start: datetime | None) -> list[Point]:
    points = [] if start is None else [Point(start, 0, 0)]
    for step in steps:
        if start is not None and step.at <= start:
            points = [replace(step, at=start)]
        elif not points or (step.seats, step.used) != (points[-1].seats, points[-1].used):
            points.append(step)
    return points
