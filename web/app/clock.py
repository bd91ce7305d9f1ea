"""What time it is: the machine's clock, or a test clock that a file holds.

The time is read once per request and passed down from here; nothing below asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from web.app.settings import SettingError, read_file

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)


def test_clock(file: Path) -> Clock:
    """Return a clock that reads its time from a file at every use.

    The file holds one RFC 3339 time with its offset, e.g. `2026-03-01T09:00:00Z`.

    Raises:
        SettingError: by the clock, when there is no such file, or no time in it.
    """

    def read() -> datetime:
        try:
            time = datetime.fromisoformat(read_file("KEYFOLD_TEST_CLOCK", file).strip())
        except ValueError:
            raise SettingError(
                "KEYFOLD_TEST_CLOCK", f"holds no time like 2026-03-01T09:00:00Z: {file}"
            ) from None
        if time.tzinfo is None:
            raise SettingError("KEYFOLD_TEST_CLOCK", f"holds a time without its zone: {file}")
        try:
            return time.astimezone(UTC)
        except OverflowError:
            raise SettingError(
                "KEYFOLD_TEST_CLOCK", f"must hold a time in the years 1 to 9999, UTC: {file}"
            ) from None

    return read
