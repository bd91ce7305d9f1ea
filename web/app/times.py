"""Times as they are written outside: RFC 3339, written in UTC with `Z` and six digits.

Source: RFC 3339, section 5.6.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_SHAPE = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?P<zone>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


class NotATime(ValueError):
    """The text is no time, or none that can be placed; the message says what would be one."""


def parse_time(text: str) -> datetime:
    """Return a time that is written with its zone, in UTC.

    Raises:
        NotATime: another shape, a date that is none, or no zone.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise NotATime("must be a time like 2026-03-01T09:00:00Z (in a URL, write + as %2B)")
    if shape["zone"] is None:
        raise NotATime("must have a zone: end it with Z or an offset like +01:00")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotATime("must be a time that there is") from None


def iso(at: datetime) -> str:
    """Return a time (aware, UTC) as responses have it: `2026-03-01T09:00:00.000000Z`."""
    if at.tzinfo is not UTC:
        assert at.utcoffset() is not None
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:-6] + "Z"


def iso_or_none(at: datetime | None) -> str | None:
    """Return a time as `iso` writes it; None stays None."""
    return None if at is None else iso(at)
