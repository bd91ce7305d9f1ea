"""The program where something is short or wrong: `python -m tests.drills.hampered serve …`.

What is wrong, `DRILL_…` variables say. Workers import this module again, so that it is wrong there.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

FILES: Final = "DRILL_FILES"  # how many may be open
CLOCK: Final = "DRILL_CLOCK"  # a file: by how many seconds the machine's clock is ahead
UNREADABLE: Final = "DRILL_UNREADABLE"  # a file: while it is there, the disk cannot be read
PLANTED: Final = "DRILL_PLANTED"  # a fault of `tests.drills.planted`


class Unreadable(sqlite3.Connection):
    """A connection to a file on a disk that cannot be read while another file is there."""

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._read()
        return super().execute(*args)

    def cursor(self, *args: Any) -> Any:
        self._read()
        return super().cursor(*args)

    @staticmethod
    def _read() -> None:
        if Path(os.environ[UNREADABLE]).exists():
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error


def _hamper() -> None:
    if given := os.environ.get(FILES):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(given), int(given)))
    if given := os.environ.get(CLOCK):
        ahead = Path(given)
        from web.app import clock

        clock.system_clock = lambda: datetime.now(UTC) + timedelta(seconds=float(ahead.read_text()))
    if os.environ.get(UNREADABLE):
        connect: Any = sqlite3.connect
        sqlite3.connect = lambda *args, **kwargs: connect(*args, **kwargs, factory=Unreadable)
    if given := os.environ.get(PLANTED):
        from tests.drills import planted

        planted.FAULTS[given]()


_hamper()

if __name__ == "__main__":
    from keyfold.__main__ import main

    sys.exit(main())
