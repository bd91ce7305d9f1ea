"""Tables with something in their way, to see what a fault at each place leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from projections.lists.stores import BulkTables, ReadTransaction, Tables, WriteTransaction
from projections.lists.stores.tables import Params, Row


class Faulty:
    """Tables with something in their way.

    Attributes:
        before: done once, just before the next transaction begins.
        halfway: done before rows are written, when the page is already claimed.
        after: done when the transaction has been committed.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.before: Callable[[], None] = lambda: None
        self.halfway: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None

    @property
    def position_column(self) -> str | None:
        return self.tables.position_column

    @contextmanager
    def transaction(self) -> Iterator[WriteTransaction]:
        before, self.before = self.before, lambda: None
        before()
        with self.tables.transaction() as work:
            yield _FaultyWork(work, self.halfway)
        self.after()

    @contextmanager
    def snapshot(self) -> Iterator[ReadTransaction]:
        with self.tables.snapshot() as reading:
            yield reading

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        with self.transaction() as work:
            return [len(work.execute(f"{sql} RETURNING 1", params)) for sql in statements]

    @contextmanager
    def bulk_writes(self) -> Iterator[BulkTables]:
        yield self

    def read(self, sql: str, params: Params) -> list[Row]:
        return self.tables.read(sql, params)

    def close(self) -> None:
        self.tables.close()


class _FaultyWork:
    def __init__(self, work: WriteTransaction, halfway: Callable[[], None]) -> None:
        self.work = work
        self.halfway = halfway

    def execute(self, sql: str, params: Params) -> list[Row]:
        return self.work.execute(sql, params)

    def execute_many(self, sql: str, params: Sequence[Params]) -> None:
        self.work.execute_many(sql, params[:1])
        self.halfway()
        self.work.execute_many(sql, params[1:])

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.work.insert(table, columns, rows[:1])
        self.halfway()
        self.work.insert(table, columns, rows[1:])
