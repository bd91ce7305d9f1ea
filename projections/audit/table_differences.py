"""A table held against one that is rebuilt from position zero."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from heapq import merge
from itertools import groupby
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from ledger.book import Book
from projections.lists.catch_up import BOOKMARK, Projection, catch_up, in_key_order, reached
from projections.lists.stores import ScratchTables
from projections.lists.stores.tables import ReadTransaction, Row, Tables, Value

BookmarkT = TypeVar("BookmarkT")

PAGE_ROWS: Final = 1_000
SNAPSHOT_S: Final = 0.5  # for how long one moment is held on to
PAUSE_S: Final = 0.02  # in which SQLite can empty its log


class TableShape(Protocol):
    """What is to be known of a table to compare it; as `Projection` has it."""

    @property
    def name(self) -> str:
        """Return its name with its version."""

    @property
    def table(self) -> str:
        """Return its name in the database."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return its columns, `position` among them."""

    @property
    def key(self) -> tuple[str, ...]:
        """Return the columns of its primary key."""


class RowDifference(NamedTuple):
    """A row that is not what the ledger says.

    Attributes:
        position: of the event that made the row.
        key: the row's, as the projection's primary key has it.
        live: the row as it is, None if there is none.
        rebuilt: the row as it should be, None if there should be none.
    """

    projection: str
    position: int
    key: Row
    live: dict[str, Value] | None
    rebuilt: dict[str, Value] | None


def differences(
    book: Book, tables: Tables, projection: Projection, rebuilt: Tables | None = None
) -> Iterator[RowDifference]:
    """Yield every row in which a table differs from one rebuilt from position zero.

    Readers and writers go on meanwhile: what is compared is the table as it was at one moment.

    Args:
        rebuilt: tables of the caller's own, where it has been rebuilt up to some position already.
    """
    with ExitStack() as stack:

        def bookmark(live: ReadTransaction) -> int:
            found = live.execute(BOOKMARK, {"projection": projection.name})
            return int(found[0][0]) if found else 0

        def rebuild(upto: int) -> Tables:
            nonlocal rebuilt
            if rebuilt is None or reached(rebuilt, projection.name) > upto:
                rebuilt = stack.enter_context(closing(ScratchTables()))
            catch_up(book, rebuilt, projection, upto)
            return rebuilt

        catch_up(book, tables, projection, book.head())
        yield from compare_in_parts(projection, tables, bookmark, rebuild)


def compare_in_parts(
    projection: TableShape,
    tables: Tables,
    bookmark: Callable[[ReadTransaction], BookmarkT],
    rebuild: Callable[[BookmarkT], Tables],
) -> Iterator[RowDifference]:
    """Yield all differing rows of a table; each part of it is compared at a later moment.

    A database keeps all that is written meanwhile for whoever reads on at one moment: SQLite in its
    log, which would grow for as long as that takes. So little is rebuilt in such a moment.

    Args:
        bookmark: returns how far the live tables are filled at a moment.
        rebuild: returns rebuilt tables that are filled as far.
    """
    after: Row | None = None
    while True:
        with tables.snapshot() as live:
            filled = bookmark(live)
        rebuild(filled)
        with tables.snapshot() as live, rebuild(bookmark(live)).snapshot() as rebuilt:
            after = yield from compare(projection, live, rebuilt, after)
        if after is None:
            return
        time.sleep(PAUSE_S)


def compare(
    projection: TableShape,
    live: ReadTransaction,
    rebuilt: ReadTransaction,
    after: Row | None = None,
) -> Generator[RowDifference, None, Row | None]:
    """Yield differing rows of a table in the order of its primary key, page by page.

    Args:
        after: the key that it was compared up to already.

    Returns:
        The key that it was compared up to, once that took `SNAPSHOT_S`; None at the end.
    """
    key = in_key_order(projection.columns, projection.key)
    until = time.monotonic() + SNAPSHOT_S
    while True:
        left, right = (_rows(reading, projection, after) for reading in (live, rebuilt))
        if not (left or right):
            return None
        if left != right:
            # So far both sides are known.
            ends = [_place(key, page[-1]) for page in (left, right) if len(page) == PAGE_ROWS]
            end = min(ends, default=None)
            left, right = (_upto(page, key, end) for page in (left, right))
            yield from _differing(projection, left, right)
            if end is None:
                return None
            after = end
        else:
            after = _place(key, left[-1])
        if time.monotonic() > until:
            return after


def _rows(reading: ReadTransaction, projection: TableShape, after: Row | None) -> list[Row]:
    """Return some rows of a table in the order of its primary key."""
    key = ", ".join(projection.key)
    where, params = "", {"limit": PAGE_ROWS}
    if after is not None:
        places = ", ".join(f":{column}" for column in projection.key)
        where = f"WHERE ({key}) > ({places})"
        params |= zip(projection.key, after, strict=True)
    return reading.execute(
        f"SELECT {', '.join(projection.columns)} FROM {projection.table} {where}"  # noqa: S608 - all are ours
        f" ORDER BY {key} LIMIT :limit",
        params,
    )


def _place(key: Callable[[Row], Any], row: Row) -> Row:
    found = key(row)
    return found if isinstance(found, tuple) else (found,)


def _upto(rows: list[Row], key: Callable[[Row], Any], end: Row | None) -> list[Row]:
    return rows if end is None else [row for row in rows if _place(key, row) <= end]


def _differing(
    projection: TableShape, live: list[Row], rebuilt: list[Row]
) -> Iterator[RowDifference]:
    in_order = in_key_order(projection.columns, projection.key)
    position = projection.columns.index("position")

    def key(side: tuple[str, Row]) -> Row:
        return _place(in_order, side[1])

    sides = merge((("live", row) for row in live), (("rebuilt", row) for row in rebuilt), key=key)
    for of, rows in groupby(sides, key=key):
        found: dict[str, Row] = dict(rows)
        if found.get("live") != found.get("rebuilt"):
            at = (found.get("rebuilt") or found["live"])[position]
            values = {
                side: dict(zip(projection.columns, row, strict=True)) for side, row in found.items()
            }
            yield RowDifference(projection.name, at, of, values.get("live"), values.get("rebuilt"))
