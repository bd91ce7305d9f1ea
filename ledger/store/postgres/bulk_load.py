"""Filling a PostgreSQL database with the events of another ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg.errors import UniqueViolation
from psycopg.rows import tuple_row

from ledger.store.bulk_load import Filling, check_rows, hold_to_next_versions
from ledger.store.contract import Row
from ledger.store.eventsourcing_adapter import IntegrityError
from ledger.store.postgres.datastore import ImpatientConnection, PostgresDatastore
from ledger.store.unfinished_restore import END

# It may wait long for the next rows, and no time limit of the database's is meant for it.
_BEGIN: LiteralString = """
    BEGIN ISOLATION LEVEL READ COMMITTED;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL lock_timeout = '5s';
    SET LOCAL enable_seqscan = off;
    SET LOCAL jit = off;
    SELECT keyfold_take_turn()
"""
_COPY: LiteralString = """
    COPY keyfold_events
    (notification_id, originator_id, originator_version, topic, state) FROM STDIN (FORMAT BINARY)
"""
_REACHED: LiteralString = """
    SELECT given.stream, (
        SELECT max(originator_version) FROM keyfold_events WHERE originator_id = given.stream
    ) FROM unnest(%b::text[]) AS given (stream)
"""
_TYPES = ("int8", "text", "int8", "text", "bytea")
_READ_FROM: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE notification_id > %b::bigint ORDER BY notification_id LIMIT %b::bigint
"""
_READ_STREAMS: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id = ANY (%b::text[]) ORDER BY notification_id
"""


class _PostgresFilling:
    def __init__(self, cursor: psycopg.Cursor[tuple[Any, ...]]) -> None:
        self._cursor = cursor

    def add(self, rows: Sequence[Row]) -> None:
        """See `Filling.add`."""
        check_rows(rows)
        hold_to_next_versions(rows, self._reached({row.stream for row in rows}))
        try:
            with self._cursor.copy(_COPY) as copy:
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
        except UniqueViolation as error:
            raise IntegrityError(str(error)) from error

    def _reached(self, streams: set[str]) -> dict[str, int]:
        # COPY goes past the function that appends, which looks at this for each event.
        found = self._cursor.execute(_REACHED, (sorted(streams),)).fetchall()
        return {stream: version for stream, version in found if version is not None}

    def read_from(self, after: int, limit: int) -> list[Row]:
        """See `Filling.read_from`."""
        return self._read(_READ_FROM, (after, limit))

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """See `Filling.read_streams`."""
        return self._read(_READ_STREAMS, (list(streams),))

    def insert(
        self, table: LiteralString, columns: Sequence[LiteralString], rows: Sequence[Sequence[Any]]
    ) -> None:
        """See `Filling.insert`."""
        places = ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
        try:
            self._cursor.executemany(statement, rows)
        except UniqueViolation as error:
            raise IntegrityError(str(error)) from error

    def count(self, table: LiteralString, condition: LiteralString) -> int:
        """See `Filling.count`."""
        statement = f"SELECT count(*) FROM {table}{condition and ' WHERE '}{condition}"  # noqa: S608
        ((found,),) = self._cursor.execute(statement).fetchall()
        rows: int = found
        return rows

    def end_restore(self) -> None:
        """See `Filling.end_restore`."""
        self._cursor.execute(END)

    def _read(self, statement: LiteralString, params: tuple[object, ...]) -> list[Row]:
        return [Row(*row) for row in self._cursor.execute(statement, params).fetchall()]


@contextmanager
def bulk_load(datastore: PostgresDatastore) -> Iterator[Filling]:
    """Yield what fills the database: see `ledger.store.bulk_load.filling`."""
    with datastore.connection() as lent:
        connection = cast(ImpatientConnection, lent)
        answer_s, connection.answer_s = connection.answer_s, None
        connection.execute(_BEGIN)
        try:
            yield _PostgresFilling(connection.cursor(binary=True, row_factory=tuple_row))
            connection.execute("COMMIT")
        except BaseException:
            if not connection.closed:
                connection.execute("ROLLBACK")
            raise
        finally:
            connection.answer_s = answer_s
