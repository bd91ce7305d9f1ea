"""Waiting for a SQLite file until others have written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

BUSY_TIMEOUT_S = 5.0
ASIDE_S = 0.25  # for what a read writes beside the ledger, and may leave out
PAUSE_S = 0.0003
QUICK_TRIES = 3
LONG_PAUSE_S = 0.004
LONG_WAIT_S = 0.1


def patiently(
    connection: sqlite3.Connection,
    statement: str,
    params: Sequence[object] = (),
    within_s: float | None = None,
) -> sqlite3.Cursor:
    """Execute a statement that must wait until others have written, and return its cursor.

    Most writes are over in a moment, so it asks again in a moment. Those who still find another at
    work are many, and to change from one process to the next costs more than a commit; so now it
    asks seldom, and each gets to commit several times in a row. But who has waited for long asks
    often. (SQLite itself asks ever more seldom: a process that appends without rest takes the lock
    back in the middle of such a pause, and the others wait for seconds.)

    Args:
        within_s: for how long; `BUSY_TIMEOUT_S` if not given.

    Raises:
        sqlite3.OperationalError: the others have not finished in time, or any other fault.
    """
    within_s = BUSY_TIMEOUT_S if within_s is None else within_s
    tries, began_at = 0, 0.0
    while True:
        try:
            return connection.execute(statement, params)
        except sqlite3.OperationalError as error:
            now = time.monotonic()
            began_at = began_at or now
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or now - began_at > within_s:
                raise
        tries += 1
        asks_seldom = tries > QUICK_TRIES and now - began_at < LONG_WAIT_S
        time.sleep(LONG_PAUSE_S if asks_seldom else PAUSE_S)
