"""Every part that pages are made of, in every state: for who changes one, and for the tests."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from flask import Response

from projections.lists.timeline import TimelineQuery
from web.app.auth import ADMIN
from web.console.blueprint import bp
from web.console.session import roles_required
from web.console.timeline import listed
from web.html.rendering import page


class SampleRow(NamedTuple):
    """A row of a sample table."""

    account: str
    seats: int
    used: int
    status: str


_ROWS: Final = (
    SampleRow("acme", 5, 3, "active"),
    SampleRow("a-customer-whose-id-is-rather-long-and-breaks-somewhere", 12, 12, "scheduled"),
    SampleRow("zeta", 300, 301, "terminated"),
)
_HOUR: Final = 3600
# What `seat_history.Chart.data` has.
_CHART: Final = {
    "at": [hours * _HOUR for hours in (0, 8, 16, 24, 32, 40)],
    "seats": [2, 2, 5, 5, 5, 3],
    "used": [0, 1, 2, 4, 5, 4],
    "events": [8 * _HOUR, 16 * _HOUR],
}


@bp.get("/design")
@roles_required(ADMIN)
def show_design() -> Response:
    """Show every part of the pages; of the ledger only what happened last."""
    return page(
        "console/design.html",
        rows=_ROWS,
        chart=msgspec.json.encode(_CHART).decode(),
        latest=listed(TimelineQuery(), 3).entries,
    )
