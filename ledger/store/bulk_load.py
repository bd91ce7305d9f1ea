"""Filling an empty ledger with the events of another: all of them in one transaction, or none.

    with filling(book.store) as filled:
        filled.add(rows)              # as often as there are more
        filled.read_from(0, 1000)     # what is in it by now, which nobody else sees yet

The transaction takes the ledger's turn first, so nobody else can append until it is over, and the
positions are those of the rows. When the block raises, or the process ends, the ledger is as empty
as it was. Rows go through to the database as they come: a filling needs no more memory for a
million events than for a thousand.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString, Protocol, cast

from eventsourcing.persistence import IntegrityError, StoredEvent

from ledger.store.contract import Recorder, Row, entries_of
from ledger.store.sqlite.datastore import SqliteDatastore

if TYPE_CHECKING:
    import psycopg
    from eventsourcing.sqlite import SQLiteCursor

    from ledger.store.postgres.datastore import ImpatientConnection, PostgresDatastore


class LedgerNotEmpty(Exception):
    """The ledger holds events already."""


class VersionOutOfTurn(IntegrityError):
    """A row's version is not the next one of its stream; rows before it may have been added."""


class Filling(Protocol):
    """A ledger that is being filled."""

    def add(self, rows: Sequence[Row]) -> None:
        """Add the next rows; their positions follow on those that were added before.

        Raises:
            DataError: a text that no store can hold.
            VersionOutOfTurn: a row is not the next version of its stream (docs/adr/0021).
            IntegrityError: a position is taken. After either nothing can be added any more.
        """

    def read_from(self, after: int, limit: int) -> list[Row]:
        """Read what was added by position: see `Recorder.read_from`."""

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """Read what was added to some streams, in order of position."""


@contextmanager
def filling(store: Recorder) -> Iterator[Filling]:
    """Fill a ledger; it holds all that was added when the block ends well, and else nothing.

    Raises:
        LedgerNotEmpty: it holds events.
        PersistenceError: a fault of the database; nothing was changed.
    """
    datastore: Any = getattr(store, "datastore", None)
    if datastore is None:
        kind = _in_memory(store)
    elif isinstance(datastore, SqliteDatastore):
        kind = _in_sqlite(datastore)
    else:
        kind = _in_postgres(datastore)
    with kind as filled:
        if filled.read_from(0, 1):
            raise LedgerNotEmpty
        yield filled


def _checked(rows: Sequence[Row]) -> None:
    """Refuse what no store can hold, with one fault for all three."""
    entries_of([StoredEvent(row.stream, row.version, row.name, row.state) for row in rows], {})


def _hold_to_next(rows: Sequence[Row], reached: dict[str, int]) -> None:
    """Refuse a row that is not the next version of its stream.

    Args:
        reached: the last versions of the rows' streams; those without an event may be left out.
    """
    for row in rows:
        belongs = reached.get(row.stream, 0) + 1
        if row.version != belongs:
            raise VersionOutOfTurn(
                f"position {row.position} is version {row.version} of {row.stream!r},"
                f" where version {belongs} belongs"
            )
        reached[row.stream] = belongs


# In memory


class _MemoryFilling:
    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._reached: dict[str, int] = {}

    def add(self, rows: Sequence[Row]) -> None:
        _checked(rows)
        _hold_to_next(rows, self._reached)
        self._rows += rows

    def read_from(self, after: int, limit: int) -> list[Row]:
        return self._rows[after : after + limit]

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        wanted = set(streams)
        return [row for row in self._rows if row.stream in wanted]


@contextmanager
def _in_memory(store: Recorder) -> Iterator[Filling]:
    rows = store.read_from(0, 1)
    yield _MemoryFilling(rows)
    store.insert_events([StoredEvent(row.stream, row.version, row.name, row.state) for row in rows])


# In a SQLite file

# The streams' index is filled all over; with SQLite's own 2 MB each of its pages is written often.
_SQLITE_CACHE_KIB = 64 * 1024
_SQLITE_INSERT = "INSERT INTO keyfold_events VALUES (?, ?, ?, ?, ?)"
_SQLITE_READ_FROM = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE rowid > ? ORDER BY rowid LIMIT ?
"""
_SQLITE_READ_STREAMS = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id IN (SELECT value FROM json_each(?)) ORDER BY rowid
"""


class _SqliteFilling:
    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor

    def add(self, rows: Sequence[Row]) -> None:
        _checked(rows)
        try:
            self._cursor.executemany(_SQLITE_INSERT, rows)
        except sqlite3.IntegrityError as error:
            kind = VersionOutOfTurn if "the next version" in str(error) else IntegrityError
            raise kind(str(error)) from error

    def read_from(self, after: int, limit: int) -> list[Row]:
        return self._read(_SQLITE_READ_FROM, (after, limit))

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        return self._read(_SQLITE_READ_STREAMS, (json.dumps(list(streams)),))

    def _read(self, statement: str, params: tuple[object, ...]) -> list[Row]:
        self._cursor.execute(statement, params)
        return [Row(*row) for row in self._cursor.fetchall()]


@contextmanager
def _in_sqlite(datastore: SqliteDatastore) -> Iterator[Filling]:
    with datastore.transaction(commit=True) as cursor:
        cursor.execute(f"PRAGMA cache_size=-{_SQLITE_CACHE_KIB}")
        yield _SqliteFilling(cursor)
    # The log is as large as all that was added; give its place on the disk back.
    with datastore.get_connection() as connection:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


# In PostgreSQL

# It may wait long for the next rows, and no time limit of the database's is meant for it.
_POSTGRES_BEGIN: LiteralString = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL lock_timeout = '5s';
    SET LOCAL enable_seqscan = off;
    SET LOCAL jit = off;
    SELECT keyfold_take_turn()
"""
_POSTGRES_COPY: LiteralString = """
    COPY keyfold_events
    (notification_id, originator_id, originator_version, topic, state) FROM STDIN (FORMAT BINARY)
"""
_POSTGRES_REACHED: LiteralString = """
    SELECT given.stream, (
        SELECT max(originator_version) FROM keyfold_events WHERE originator_id = given.stream
    ) FROM unnest(%b::text[]) AS given (stream)
"""
_POSTGRES_TYPES = ("int8", "text", "int8", "text", "bytea")
_POSTGRES_READ_FROM: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE notification_id > %b::bigint ORDER BY notification_id LIMIT %b::bigint
"""
_POSTGRES_READ_STREAMS: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id = ANY (%b::text[]) ORDER BY notification_id
"""


class _PostgresFilling:
    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor

    def add(self, rows: Sequence[Row]) -> None:
        from psycopg.errors import UniqueViolation

        _checked(rows)
        _hold_to_next(rows, self._reached({row.stream for row in rows}))
        try:
            with self._cursor.copy(_POSTGRES_COPY) as copy:
                copy.set_types(_POSTGRES_TYPES)
                for row in rows:
                    copy.write_row(row)
        except UniqueViolation as error:
            raise IntegrityError(str(error)) from error

    def _reached(self, streams: set[str]) -> dict[str, int]:
        # COPY goes past the function that appends, which looks at this for each event.
        found = self._cursor.execute(_POSTGRES_REACHED, (sorted(streams),)).fetchall()
        return {stream: version for stream, version in found if version is not None}

    def read_from(self, after: int, limit: int) -> list[Row]:
        return self._read(_POSTGRES_READ_FROM, (after, limit))

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        return self._read(_POSTGRES_READ_STREAMS, (list(streams),))

    def _read(self, statement: LiteralString, params: tuple[object, ...]) -> list[Row]:
        return [Row(*row) for row in self._cursor.execute(statement, params).fetchall()]


@contextmanager
def _in_postgres(datastore: PostgresDatastore) -> Iterator[Filling]:
    from psycopg.rows import tuple_row

    with datastore.get_connection() as lent:
        connection = cast("ImpatientConnection", lent)
        answer_s, connection.answer_s = connection.answer_s, None
        connection.execute(_POSTGRES_BEGIN)
        try:
            yield _PostgresFilling(connection.cursor(binary=True, row_factory=tuple_row))
            connection.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.answer_s = answer_s
