"""Why something failed, in one line that may be logged: no password, nothing that was sent."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

# What PostgreSQL says of connections, rights, resources and its own state: no data is in that.
_TOLD_CLASSES: Final = frozenset({"08", "25", "28", "3D", "53", "55", "57", "58"})
_LENGTH_MAX: Final = 300
_FULL: Final = "its disk is full: make room, and try again"
_READ_ONLY: Final = "it can only be read now: nothing was recorded"
_UNREADABLE: Final = "its disk cannot be read or written: see `keyfold doctor`"
_DAMAGED: Final = "it is damaged: see `keyfold doctor`"
_HELD: Final = "another program holds its lock: try again"
_NO_MEMORY: Final = "there is no memory for it now: ask for less at once, or try again"
_HINTS: Final[Mapping[Any, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    "53100": _FULL,
    sqlite3.SQLITE_BUSY: _HELD,
    "55P03": _HELD,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    "25006": _READ_ONLY,
    sqlite3.SQLITE_IOERR: _UNREADABLE,
    "58030": _UNREADABLE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_CREDENTIALS: Final = re.compile(
    r"://[^@\s]*@|\b(password|passfile|sslpassword)\s*=\s*\S+", re.IGNORECASE
)


def cause_of(error: BaseException) -> str:
    """Return the type of an error, and what its database's driver says where that may be told.

    Returns:
        E.g. `OperationalError: connection to server at "10.0.0.5", port 5432 failed: Connection
        refused`.
    """
    for one in _chain(error):
        told = _told(one)
        if told:
            # The machine's own "Connection refused" says nothing of what was refused.
            named = error if isinstance(one, OSError) else one
            return f"{type(named).__name__}: {told}"
    return type(error).__name__


def hint_of(error: BaseException) -> str | None:
    """Return what is wrong with the database, if that is known, as a sentence about it."""
    for one in _chain(error):
        if isinstance(one, MemoryError):
            return _NO_MEMORY
        code = getattr(one, "sqlite_errorcode", None)
        found = _sqlstate(one) if code is None else code & 0xFF
        if found in _HINTS:
            return _HINTS[found]
    return None


def without_credentials(text: str) -> str:
    """Return a text on one line, without what looks like a password."""
    return " ".join(_CREDENTIALS.sub("…", text).split())


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _told(error: BaseException) -> str:
    driver = type(error).__module__.partition(".")[0]
    text = str(error)
    if driver in ("psycopg", "psycopg_pool"):
        state = _sqlstate(error)
        if state is not None and state[:2] not in _TOLD_CLASSES:
            return f"SQLSTATE {state}"
        text = text.split("\nDETAIL:", 1)[0]
    elif driver == "builtins" and isinstance(error, OSError):
        text = error.strerror or ""  # without the file, and not as libraries put it: with addresses
    elif driver != "sqlite3":
        return ""
    line = without_credentials(text)
    return line if len(line) <= _LENGTH_MAX else f"{line[:_LENGTH_MAX]}…"


def _sqlstate(error: Any) -> str | None:
    state: str | None = getattr(error, "sqlstate", None)
    return state
