"""What several parts of the program share: sizes, numbers, times, and the error."""

from __future__ import annotations

import re
from datetime import UTC, datetime

HASH_BYTES, ID_BYTES = 32, 4
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
LINES_MAX = 20


class Wrong(Exception):
    """Something cannot be read; the message is the sentence that is shown."""


class Unchecked(Exception):
    """Something cannot be looked at here, which says nothing of the ledger."""


def parse_time(text: str) -> datetime:
    """Return an ISO 8601 time with its zone in UTC."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Wrong(f"{text!r} is no time like 2026-03-01T09:00:00Z") from None
    if found.tzinfo is None:
        raise Wrong(f"{text!r} has no zone: write it like 2026-03-01T09:00:00Z")
    return found.astimezone(UTC)


def write_time(at: datetime) -> str:
    """Return a time in UTC with microseconds, as the view of Keyfold's API writes it."""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
