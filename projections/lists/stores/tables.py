"""Where lists across streams keep their rows: the little that they ask of a database.

SQL is written once, for SQLite and PostgreSQL alike, with parameters by name (`:reseller`). Rows
come as tuples of text, whole numbers, bytes and None; a moment is kept as microseconds since 1970.

    with tables.transaction() as work:
        work.execute("UPDATE keyfold_projections SET position = :new WHERE …", {"new": 7})
    tables.read("SELECT id FROM keyfold_key_list_2 WHERE batch = :batch", {"batch": "bat_7"})
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, LiteralString, NamedTuple, Protocol, overload

Value = str | int | bytes | None
Params = Mapping[str, Value]
# A row's types are those of the columns asked for, which only the statement knows.
Row = tuple[Any, ...]

_PARAMETER = re.compile(r":([a-z_]+)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class ReadTransaction(Protocol):
    """Statements that all see the tables as they were at one moment."""

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Run one statement and return its rows; none if it makes none."""


class WriteTransaction(ReadTransaction, Protocol):
    """Statements that take effect together, or not at all."""

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        """Run one statement once for each set of parameters, in order."""

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add rows to a table: the fastest way for many."""


class BulkTables(Protocol):
    """Tables that are being filled, by one thread."""

    def transaction(self) -> AbstractContextManager[WriteTransaction]:
        """Return a context as `Tables.transaction` does."""


class Tables(Protocol):
    """The tables of one ledger. Threads may share one, and a process that forks may go on with it.

    Every method raises the library's PersistenceError for a fault: its OperationalError when the
    database cannot be reached or is busy, and then it can be tried again.
    """

    @property
    def position_column(self) -> str | None:
        """Return the column of keyfold_events with an event's position; None if it is elsewhere."""

    def transaction(self) -> AbstractContextManager[WriteTransaction]:
        """Return a context for a transaction that may write; it commits if the block ends well."""

    def snapshot(self) -> AbstractContextManager[ReadTransaction]:
        """Return a context for a transaction that only reads and holds nobody up."""

    def read(self, sql: str, params: Params) -> list[Row]:
        """Return the rows of one reading statement by itself."""

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        """Make a few changes in one transaction; return how many rows each of them changed.

        Args:
            statements: none depends on what another changes.
        """

    def bulk_writes(self) -> AbstractContextManager[BulkTables]:
        """Return a context for many transactions that write a lot, one after the other."""

    def close(self) -> None:
        """Close this process's connections."""


class Statement(NamedTuple):
    """A statement as a driver takes it, with its parameters in order."""

    sql: LiteralString
    names: tuple[str, ...]

    def values(self, params: Params) -> tuple[Value, ...]:
        """Return what to put in the places."""
        return tuple([params[name] for name in self.names])


@lru_cache(maxsize=256)
def statement(sql: str, place: str) -> Statement:
    """Return our SQL with a driver's mark (`?`, `%s`) for each parameter, and their names."""
    # No quoted text of ours has a colon, and no text of anybody else's is in a statement.
    names = tuple(_PARAMETER.findall(sql))
    return Statement(_PARAMETER.sub(place, sql.replace("%", "%%") if "%" in place else sql), names)


@overload
def to_number(at: datetime) -> int: ...
@overload
def to_number(at: None) -> None: ...
@overload
def to_number(at: datetime | None) -> int | None: ...
def to_number(at: datetime | None) -> int | None:
    """Return a moment as it is kept in a table; exact."""
    return None if at is None else (at - _EPOCH) // _MICROSECOND


@overload
def to_moment(number: int) -> datetime: ...
@overload
def to_moment(number: None) -> None: ...
@overload
def to_moment(number: int | None) -> datetime | None: ...
def to_moment(number: int | None) -> datetime | None:
    """Return the moment that is kept in a table; aware, UTC."""
    return None if number is None else _EPOCH + timedelta(microseconds=number)


@lru_cache(maxsize=256)
def insertion(table: str, columns: tuple[str, ...], place: str) -> LiteralString:
    """Return the statement that adds a row to a table."""
    places = ", ".join(place for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - all ours
