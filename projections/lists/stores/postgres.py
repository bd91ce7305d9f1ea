"""Tables in the ledger's PostgreSQL database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import LiteralString

import psycopg
from psycopg import sql as composing
from psycopg.rows import TupleRow, tuple_row

from ledger.store.connections import Connections, PerProcess
from ledger.store.eventsourcing_adapter import OperationalError
from ledger.store.postgres.datastore import AnyConnection, connect, conninfo_of, fault_of, is_sound
from ledger.store.postgres.prepared import NoAnswer
from projections.lists.stores.tables import Params, Row, insertion, statement

CONNECTIONS_MAX = 6  # in each process
PATIENCE_S = 10.0
COPY_ROWS_MIN = 50  # for fewer, COPY is no faster

_SETTINGS = {
    "default_transaction_isolation": "read committed",
    # A machine that falls silent in the middle of a page gives it up to the others then, and not
    # only when its socket dies.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "5s",
    # They can be filled again from the events, so no reader waits for a standby to have them.
    "synchronous_commit": "local",
    # Every statement has an index that answers it in its order. Without these a plan made while the
    # table was small, or not analysed yet, would read and sort all of a large one.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Nor should it read the newest rows one after the other and hope that one of them is wanted.
    "random_page_cost": "0.1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
# A page that a crash of the server takes back is applied again by the next reader, so its commit
# waits for no disk and no standby.
_BEGIN: LiteralString = "BEGIN; SET LOCAL synchronous_commit = off"
_WAIT_FOR_NO_DISK: LiteralString = "set_config('synchronous_commit', 'off', true)"
# It holds nobody up, and who reads it works on what was read in between: a replay, for minutes.
_BEGIN_SNAPSHOT: LiteralString = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    " SET LOCAL idle_in_transaction_session_timeout = '1h'"
)


class PostgresTables:
    """Tables in a database that `ledger.store.schema.upgrade` has prepared."""

    position_column = "notification_id"

    def __init__(self, database_url: str) -> None:
        conninfo = conninfo_of(database_url)
        self._sessions = PerProcess(
            lambda: Connections(
                lambda: connect(conninfo, _SETTINGS, tuple_row),
                is_sound,
                CONNECTIONS_MAX,
                PATIENCE_S,
            )
        )

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """Return a context as `Tables.transaction` does."""
        with self._begun(_BEGIN) as work:
            yield work

    @contextmanager
    def snapshot(self) -> Iterator[_Transaction]:
        """Return a context as `Tables.snapshot` does."""
        with self._begun(_BEGIN_SNAPSHOT) as reading:
            yield reading

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        """Return numbers as `Tables.change` does, by one statement: a round trip, a transaction."""
        with self._lent() as connection:
            ((_, *counts),) = _Transaction(connection).execute(_at_once(tuple(statements)), params)
            return counts

    @contextmanager
    def bulk_writes(self) -> Iterator[PostgresTables]:
        """Return a context as `Tables.bulk_writes` does."""
        yield self

    def read(self, sql: str, params: Params) -> list[Row]:
        """Return rows as `Tables.read` does; after a fail-over, on a new connection."""
        try:
            return self._read(sql, params)
        except OperationalError as error:
            self._sessions().drop_idle()
            if isinstance(error.__cause__, NoAnswer):
                raise
            return self._read(sql, params)

    def _read(self, sql: str, params: Params) -> list[Row]:
        with self._lent() as connection:
            return _Transaction(connection).execute(sql, params)

    def close(self) -> None:
        """See `Tables.close`."""
        self._sessions().close()

    @contextmanager
    def _begun(self, begin: LiteralString) -> Iterator[_Transaction]:
        with self._lent() as connection:
            connection.execute(begin)
            try:
                yield _Transaction(connection)
            except BaseException:
                if not connection.closed:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _lent(self) -> Iterator[AnyConnection]:
        try:
            with self._sessions().lend() as connection:
                yield connection
        except psycopg.Error as error:
            raise fault_of(error) from error


class _Transaction:
    def __init__(self, connection: AnyConnection) -> None:
        # As text a tile of hashes would be twice as long, and have to be taken apart.
        self._cursor: psycopg.Cursor[TupleRow] = connection.cursor(binary=True)

    def execute(self, sql: str, params: Params) -> list[Row]:
        """Return the statement's rows, none if it makes none."""
        self.send(sql, params)
        return self.rows()

    def send(self, sql: str, params: Params) -> None:
        prepared = statement(sql, "%s")
        self._cursor.execute(prepared.sql, prepared.values(params))

    def rows(self) -> list[Row]:
        """Return the rows of what was sent last, none if it makes none."""
        return self._cursor.fetchall() if self._cursor.description else []

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        prepared = statement(sql, "%s")
        self._cursor.executemany(prepared.sql, [prepared.values(one) for one in params])

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if len(rows) < COPY_ROWS_MIN:
            self._cursor.executemany(insertion(table, tuple(columns), "%s"), rows)
            return
        into = composing.SQL("COPY {} ({}) FROM STDIN").format(
            composing.Identifier(table),
            composing.SQL(", ").join(map(composing.Identifier, columns)),
        )
        with self._cursor.copy(into) as copy:
            for row in rows:
                copy.write_row(row)


@lru_cache(maxsize=16)
def _at_once(statements: tuple[str, ...]) -> str:
    """Return changes as one statement, which returns how many rows each changed."""
    parts, counts = [], [_WAIT_FOR_NO_DISK]
    for number, sql in enumerate(statements):
        parts.append(f"change_{number} AS ({sql} RETURNING 1)")
        counts.append(f"(SELECT count(*) FROM change_{number})")  # noqa: S608 - all of it is ours
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"
