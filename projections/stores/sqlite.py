"""Tables in the ledger's SQLite file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from eventsourcing.sqlite import SQLiteCursor

from ledger.store.sqlite_datastore import SqliteDatastore, path_of
from projections.stores.tables import Params, Row, statement


class SqliteTables:
    """Tables in a file that `ledger.store.schema.upgrade` has made."""

    def __init__(self, database_url: str) -> None:
        self._datastore = SqliteDatastore(path_of(database_url))

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """See `Tables.transaction`; the file's one write lock is taken before the first statement.

        To take it later would fail at once when another has written since the first read.
        """
        with self._datastore.transaction(commit=True) as cursor:
            yield _Transaction(cursor)

    @contextmanager
    def snapshot(self) -> Iterator[_Transaction]:
        """See `Tables.snapshot`."""
        with self._datastore.transaction(commit=False) as cursor:
            yield _Transaction(cursor)

    def read(self, sql: str, params: Params) -> list[Row]:
        """See `Tables.read`."""
        asked = statement(sql, "?")
        return self._datastore.read(asked.sql, asked.values(params))

    def close(self) -> None:
        """See `Tables.close`."""
        self._datastore.close()


class _Transaction:
    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor

    def execute(self, sql: str, params: Params) -> list[Row]:
        asked = statement(sql, "?")
        self._cursor.execute(asked.sql, asked.values(params))
        return [tuple(row) for row in self._cursor.fetchall()]

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        asked = statement(sql, "?")
        self._cursor.executemany(asked.sql, [asked.values(one) for one in params])
