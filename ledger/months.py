"""Calendar months.

A validity of N months runs from the moment of activation to the same time of day (UTC) N calendar
months later, clipped to that month's last day: 31 January + 1 month is 28 or 29 February.

A month by itself is named as in "2026-03", so that names sort as months do; it is one of UTC.
"""

from datetime import UTC, datetime
from functools import cache

from dateutil.relativedelta import relativedelta


def add_months(at: datetime, months: int) -> datetime:
    """Return the moment `months` calendar months after `at` (aware, UTC)."""
    return at + _span(months)


@cache
def _span(months: int) -> relativedelta:
    return relativedelta(months=months)


def name_of(at: datetime) -> str:
    """Return the name of the month that a moment (UTC) is in."""
    return f"{at.year:04}-{at.month:02}"


def after(month: str) -> str:
    """Return the name of the month that follows."""
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04}-{number % 12 + 1:02}"


def end_of(month: str) -> datetime:
    """Return the first moment after a month; the last there is, for the last there is."""
    if month == "9999-12":
        return datetime.max.replace(tzinfo=UTC)
    year, number = map(int, after(month).split("-"))
    return datetime(year, number, 1, tzinfo=UTC)
