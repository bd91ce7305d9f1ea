"""Filling a SQLite file with the events of another ledger."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

from ledger.store.bulk_load import Filling, VersionOutOfTurn, check_rows
from ledger.store.contract import Row
from ledger.store.eventsourcing_adapter import IntegrityError
from ledger.store.sqlite.datastore import SqliteDatastore
from ledger.store.unfinished_restore import END, REFUSED

# The streams' index is filled all over; with SQLite's own 2 MB each of its pages is written often.
_CACHE_KIB = 64 * 1024
_INSERT = "INSERT INTO keyfold_events VALUES (?, ?, ?, ?, ?)"
_READ_FROM = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE rowid > ? ORDER BY rowid LIMIT ?
"""
_READ_STREAMS = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id IN (SELECT value FROM json_each(?)) ORDER BY rowid
"""


class _SqliteFilling:
    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def add(self, rows: Sequence[Row]) -> None:
        """See `Filling.add`."""
        check_rows(rows)
        try:
            self._cursor.executemany(_INSERT, rows)
        except sqlite3.IntegrityError as error:
            if REFUSED in str(error):
                raise  # which the datastore puts into the library's words
            kind = VersionOutOfTurn if "the next version" in str(error) else IntegrityError
            raise kind(str(error)) from error

    def read_from(self, after: int, limit: int) -> list[Row]:
        """See `Filling.read_from`."""
        return self._read(_READ_FROM, (after, limit))

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """See `Filling.read_streams`."""
        return self._read(_READ_STREAMS, (json.dumps(list(streams)),))

    def insert(
        self, table: LiteralString, columns: Sequence[LiteralString], rows: Sequence[Sequence[Any]]
    ) -> None:
        """See `Filling.insert`."""
        places = ", ".join("?" * len(columns))
        try:
            self._cursor.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",  # noqa: S608
                rows,
            )
        except sqlite3.IntegrityError as error:
            raise IntegrityError(str(error)) from error

    def count(self, table: LiteralString, condition: LiteralString) -> int:
        """See `Filling.count`."""
        self._cursor.execute(f"SELECT count(*) FROM {table}{condition and ' WHERE '}{condition}")  # noqa: S608
        found: int = self._cursor.fetchone()[0]
        return found

    def end_restore(self) -> None:
        """See `Filling.end_restore`."""
        self._cursor.execute(END)

    def _read(self, statement: str, params: tuple[object, ...]) -> list[Row]:
        self._cursor.execute(statement, params)
        return [Row(*row) for row in self._cursor.fetchall()]


@contextmanager
def bulk_load(datastore: SqliteDatastore) -> Iterator[Filling]:
    """Yield what fills the database: see `ledger.store.bulk_load.filling`."""
    with datastore.transaction(commit=True) as cursor:
        cursor.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        yield _SqliteFilling(cursor)
    # The log is as large as all that was added; give its place on the disk back.
    with datastore.connection() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
