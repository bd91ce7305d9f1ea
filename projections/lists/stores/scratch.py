"""Tables that go with their process: of a ledger in memory, and of a rebuilding."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock

from ledger.store import schema
from ledger.store.connections import close_when_dropped
from projections.lists.stores.tables import Params, Row, insertion

CACHE_KB = 64 * 1024  # what is more is spilled


class ScratchTables:
    """Tables in a SQLite database without a name: in memory, and spilled to disk when large.

    There is one connection, which threads take in turn. A forked child must not go on with it.
    """

    position_column = None

    def __init__(self) -> None:
        self._lock = RLock()
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        close_when_dropped(self, [self._connection])
        self._connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        self._connection.execute("PRAGMA journal_mode=MEMORY")
        for step in schema.steps("sqlite"):
            self._connection.executescript(step.sql)

    @contextmanager
    def transaction(self) -> Iterator[ScratchTables]:
        """Return a context as `Tables.transaction` does."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                yield self
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.rollback()

    @contextmanager
    def snapshot(self) -> Iterator[ScratchTables]:
        """Return a context as `Tables.snapshot` does; here, others wait for its end."""
        with self._lock:
            yield self

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Return the statement's rows, none if it makes none."""
        return self._connection.execute(sql, params).fetchall()

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        """See `WriteTransaction.execute_many`."""
        self._connection.executemany(sql, params)

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """See `WriteTransaction.insert`."""
        self._connection.executemany(insertion(table, tuple(columns), "?"), rows)

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        """Return numbers as `Tables.change` does."""
        with self.transaction() as work:
            return [len(work.execute(f"{sql} RETURNING 1", params)) for sql in statements]

    @contextmanager
    def bulk_writes(self) -> Iterator[ScratchTables]:
        """Return a context as `Tables.bulk_writes` does."""
        yield self

    def read(self, sql: str, params: Params) -> list[Row]:
        """Return rows as `Tables.read` does."""
        with self._lock:
            return self.execute(sql, params)

    def close(self) -> None:
        """See `Tables.close`."""
        with self._lock:
            self._connection.close()
