"""When a billing period ends: intervals counted from the anchor, so that 31 January stays the 31st.

Source: https://docs.stripe.com/billing/subscriptions/billing-cycle
"""

from __future__ import annotations

import calendar
from datetime import UTC, datetime

from tests.stripe_server.errors import Json

DAY = 86400


def after(anchor: int, interval: str, count: int) -> int:
    """Return the moment a number of intervals after the anchor; the last day where none is such."""
    if interval in {"day", "week"}:
        return anchor + count * DAY * (7 if interval == "week" else 1)
    months = count * (12 if interval == "year" else 1)
    start = datetime.fromtimestamp(anchor, UTC)
    years, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(years, month + 1)[1])
    return int(start.replace(year=years, month=month + 1, day=day).timestamp())


def period_at(anchor: int, recurring: Json, moment: int) -> tuple[int, int]:
    """Return the period of a price that a moment falls into."""
    interval, step = recurring["interval"], recurring["interval_count"]
    length = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY, "year": 365 * DAY}[interval] * step
    number = (moment - anchor) // length
    while after(anchor, interval, number * step) > moment:
        number -= 1
    while after(anchor, interval, (number + 1) * step) <= moment:
        number += 1
    return after(anchor, interval, number * step), after(anchor, interval, (number + 1) * step)
