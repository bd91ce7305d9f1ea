"""Seat history: how the seats of each product and tier, and their holders, went up and down.

Each is a step chart and, for who cannot see one, a table: every step with the events at it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import dropwhile
from typing import Final, NamedTuple

import msgspec
from flask import Response
from msgspec.structs import replace

from ledger.events import AnyEvent
from ledger.streams.account.stream import ACCOUNT
from projections.lists.timeline import DescribedEvent
from projections.text.formatting import place
from projections.views import seat_history as history
from projections.views import seats as seated
from projections.views.account_at import AccountAt, account_at
from projections.views.seat_history import Point, SeatHistory
from web.app.context import services
from web.console import parameters, time_travel
from web.console.blueprint import bp
from web.console.session import STAFF, roles_required
from web.console.timeline import tell
from web.html.rendering import page

# So many steps are in a table, the latest; the chart has them all.
STEPS_MAX: Final = 200


class ChartStep(NamedTuple):
    """A point of the chart, with what happened at it; nothing did when a time just came."""

    point: Point
    because: list[DescribedEvent]


class Chart(NamedTuple):
    """The history of a product and tier.

    Attributes:
        data: times in seconds, seats, used and, in the places where events were, markers; as JSON.
        steps: the latest first.
        left_out: how many steps are in the chart only.
    """

    name: str
    data: str
    steps: list[ChartStep]
    left_out: int


@bp.get("/accounts/<account>/seat-history")
@roles_required(*STAFF)
def show_seat_history(account: str) -> Response:
    """Show the charts of an account, up to the moment that the address asks for."""
    account = parameters.account_id(account)
    travel = time_travel.from_query()
    found = account_at(services().book, account, travel.moment)
    _, events = services().book.history(ACCOUNT, account)
    by_time = _by_time(filter(travel.moment.covers, events))
    charts = []
    for product, tier in _pools(found):
        view = history.seat_history(
            services().book, account, travel.moment, product=product, tier=tier
        )
        if any(point.seats or point.used for point in view.points):
            charts.append(_chart((product, tier), view, by_time))
    return page("console/seat_history.html", account=account, charts=charts, travel=travel)


def _pools(found: AccountAt) -> list[tuple[str, str | None]]:
    """Return the pools that an account ever had something in."""
    known = set(found.account.places())
    return [one for one in seated.pools(found.account, services().catalog) if one in known]


def _chart(
    pool: tuple[str, str | None], view: SeatHistory, by_time: Mapping[datetime, list[AnyEvent]]
) -> Chart:
    # Before anything happened to it, there is nothing to show.
    points = list(dropwhile(lambda one: not one.seats and not one.used, view.points))
    causes = {one.at: [e for e in by_time.get(one.at, []) if _is_of(e, pool)] for one in points}
    # The last standing lasts until the moment that is asked about.
    drawn = [*points, replace(points[-1], at=max(view.end, points[-1].at))]
    data = {
        "at": [one.at.timestamp() for one in drawn],
        "seats": [one.seats for one in drawn],
        "used": [one.used for one in drawn],
        "events": [one.at.timestamp() for one in points if causes[one.at]],
    }
    shown = points[-STEPS_MAX:]
    told = iter(tell(event for one in shown for event in causes[one.at]))
    steps = [ChartStep(one, [next(told) for _ in causes[one.at]]) for one in shown]
    return Chart(
        place(services().catalog, *pool),
        msgspec.json.encode(data).decode(),
        steps[::-1],
        len(points) - len(shown),
    )


def _is_of(event: AnyEvent, pool: tuple[str, str | None]) -> bool:
    """Return whether an event may be about a product and tier; one that names none may be."""
    product, tier = pool
    fact = event.fact
    return getattr(fact, "product", product) == product and getattr(fact, "tier", tier) == tier


def _by_time(events: Iterable[AnyEvent]) -> dict[datetime, list[AnyEvent]]:
    found: dict[datetime, list[AnyEvent]] = defaultdict(list)
    for event in events:
        found[event.occurred_at].append(event)
    return dict(found)
