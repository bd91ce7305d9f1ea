"""Calendar months.

A validity of N months runs from the moment of activation to the same time of day (UTC) N calendar
months later, clipped to that month's last day: 31 January + 1 month is 28 or 29 February.
"""

from datetime import datetime
from functools import cache

from dateutil.relativedelta import relativedelta


def add_months(at: datetime, months: int) -> datetime:
    """Return the moment `months` calendar months after `at` (aware, UTC)."""
    return at + _span(months)


@cache
def _span(months: int) -> relativedelta:
    return relativedelta(months=months)
