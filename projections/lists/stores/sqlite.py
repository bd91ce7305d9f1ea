"""Tables in the ledger's SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from ledger.store.sqlite import patience
from ledger.store.sqlite.datastore import SqliteDatastore, path_of, transaction
from projections.lists.stores.tables import Params, Row, insertion, statement

# SQLite's own are for a connection that reads and writes a little.
CACHE_KB: Final = 2_000
LOG_PAGES: Final = 1_000
BULK_CACHE_KB: Final = 64 * 1024
# After so many transactions the log is put into the file: that takes a while, but keeps nobody
# waiting, as it would inside of a commit.
BULK_CHECKPOINT: Final = 4
BEGUN_ANEW_MS: Final = 50  # for which whoever reads is waited for, and whoever writes waits


class SqliteTables:
    """Tables in a file that `ledger.store.schema.upgrade` has made."""

    position_column = "rowid"

    def __init__(self, database_url: str) -> None:
        # A page that a crash of the machine takes back is applied again by the next reader.
        self._datastore = SqliteDatastore(path_of(database_url), side_waits_for_disk=False)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Return a context as `Tables.transaction` does, with the write lock from its beginning.

        To take it later would fail at once when another has written since the first read.
        """
        with self._datastore.transaction(commit=True) as cursor:
            yield _Transaction(cursor)

    @contextmanager
    def snapshot(self) -> Iterator[_Transaction]:
        """Return a context as `Tables.snapshot` does."""
        with self._datastore.transaction(commit=False) as cursor:
            yield _Transaction(cursor)

    def read(self, sql: str, params: Params) -> list[Row]:
        """Return rows as `Tables.read` does."""
        prepared = statement(sql, "?")
        return self._datastore.read(prepared.sql, prepared.values(params))

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        """Return numbers as `Tables.change` does."""
        with self.transaction() as work:
            return [len(work.execute(f"{sql} RETURNING 1", params)) for sql in statements]

    @contextmanager
    def bulk_writes(self) -> Iterator[_BulkWriter]:
        """Return a context as `Tables.bulk_writes` does.

        Rows go to places all over the tables. With more of the file in memory, and a longer log,
        what changes in one transaction after the other is read and put back into the file once.
        """
        with self._datastore.connection() as connection:
            connection.execute(f"PRAGMA cache_size=-{BULK_CACHE_KB}")
            connection.execute("PRAGMA wal_autocheckpoint=0")
            try:
                yield _BulkWriter(connection)
            finally:
                connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
                connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
                # Whoever appends next would have to do it.
                _checkpoint(connection)

    def close(self) -> None:
        """See `Tables.close`."""
        self._datastore.close()


class _BulkWriter:
    """One connection, for transactions one after the other."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Return a context as `Tables.transaction` does."""
        if self._transactions == BULK_CHECKPOINT:
            _checkpoint(self._connection)
            self._transactions = 0
        self._transactions += 1
        with transaction(self._connection, commit=True) as cursor:
            yield _Transaction(cursor)


class _Transaction:
    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Return the statement's rows, none if it makes none."""
        prepared = statement(sql, "?")
        self._cursor.execute(prepared.sql, prepared.values(params))
        return [tuple(row) for row in self._cursor.fetchall()]

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        prepared = statement(sql, "?")
        self._cursor.executemany(prepared.sql, [prepared.values(one) for one in params])

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self._cursor.executemany(insertion(table, tuple(columns), "?"), rows)


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Put the log into the file, as far as no reader needs it; if it cannot be now, then later.

    While others go on writing, what they add meanwhile keeps the log from being begun anew: so the
    little that is left is put into the file while they wait.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.execute(f"PRAGMA busy_timeout={BEGUN_ANEW_MS}")
        try:
            connection.execute("PRAGMA wal_checkpoint(RESTART)")
        finally:
            connection.execute(f"PRAGMA busy_timeout={int(patience.BUSY_TIMEOUT_S * 1000)}")
