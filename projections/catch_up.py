"""Tables that catch up when they are read.

A list across streams is kept in a table, with a *bookmark*: the position up to which the ledger's
events are in it. Whoever reads the table first applies what came after the bookmark. So there is
no daemon, and no answer is stale: it holds everything that was recorded before it was asked for.

    ledger      … 41 42 43 44 45          head, 45
    table       … 41 42                   bookmark, 42
    a reader    claims 43–45: writes the bookmark, then the rows, in one transaction

The rule that keeps any number of readers right, in threads, processes and machines: a page of
events is *claimed* first, by the conditional write of the bookmark from its old to its new
position. Positions have no gaps, so the new one is known before an event is read. Who finds the
bookmark moved has lost to another reader, has changed nothing, and looks again. Rows and
bookmark are committed together; a crash or a lost connection takes both or neither.

A table's name has a version (`key_list@1`). Another shape is another table beside it, which fills
itself at its first read; the old one is dropped by a later release. `differences` rebuilds a table
from position zero somewhere else, and holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from heapq import merge
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from projections.stores import ScratchTables
from projections.stores.tables import Params, Reading, Row, Tables, Value, Work

# Who has claimed a page keeps the table's other readers waiting; on SQLite, all who write, too.
PAGE_EVENTS: Final = 1_000
PAGE_ROWS: Final = 1_000

_BOOKMARK = "SELECT position FROM keyfold_projections WHERE projection = :projection"
_BEGIN_AT_ZERO = """
    INSERT INTO keyfold_projections (projection, position) VALUES (:projection, 0)
    ON CONFLICT DO NOTHING
"""
_CLAIM = """
    UPDATE keyfold_projections SET position = :new
    WHERE projection = :projection AND position = :old RETURNING position
"""


class Write(NamedTuple):
    """What an event does to a table: one statement, and its parameters."""

    sql: str
    params: Params


Writes = Write | list[Write] | None


class Projection(NamedTuple):
    """A table, and what each event does to it.

    Attributes:
        name: with its version, e.g. `key_list@1`.
        table: its name in the database.
        columns: of the table, `position` among them: that of the event which made the row.
        write: what an event does to it, one thing or several in order; None for an event that is
            none of its business. Pure: a table is nothing but its events in order.
        key: the columns of its primary key, in order.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    write: Callable[[AnyEvent], Writes]
    key: tuple[str, ...] = ("position",)


class Caught(NamedTuple):
    """Rows of a table that holds everything up to a position, and nothing after it."""

    position: int
    rows: list[Row]


class Difference(NamedTuple):
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


# Reading


def read(book: Book, tables: Tables, projection: Projection, select: str, params: Params) -> Caught:
    """Answer rows of a table that holds everything recorded before this call.

    Args:
        select: answers rows of the table, at least one column; `:projection` is taken.
    """
    head = book.head()
    while True:
        caught = _read(tables, projection, select, params)
        if caught.position >= head:
            return caught
        catch_up(book, tables, projection, head)


def catch_up(book: Book, tables: Tables, projection: Projection, upto: int) -> None:
    """Apply the ledger's events to a table until it holds those up to a position."""

    def apply(work: Work, old: int, new: int) -> None:
        events = list(book.follow(old, new))
        assert len(events) == new - old, "positions have no gaps"
        for sql, writes in groupby(_writes(projection, events), key=attrgetter("sql")):
            work.execute_many(sql, [write.params for write in writes])

    advance(tables, projection.name, upto, apply)


def advance(tables: Tables, name: str, upto: int, apply: Callable[[Work, int, int], None]) -> None:
    """Bring what is kept under a name up to a position, page by page, each in one transaction.

    Args:
        name: with its version, as in `Projection`.
        apply: what is done with a page, once it is claimed: it is given the position that was
            reached, and the new one. It is not called for a page that another reader has claimed.
    """
    while (old := reached(tables, name)) < upto:
        new = min(old + PAGE_EVENTS, upto)
        with tables.transaction() as work:
            if work.execute(_CLAIM, {"projection": name, "old": old, "new": new}):
                apply(work, old, new)


def reached(tables: Tables, name: str) -> int:
    """Answer up to which position is applied what is kept under a name."""
    found = tables.read(_BOOKMARK, {"projection": name})
    if not found:
        with tables.transaction() as work:
            work.execute(_BEGIN_AT_ZERO, {"projection": name})
    return found[0][0] if found else 0


def _read(tables: Tables, projection: Projection, select: str, params: Params) -> Caught:
    # One statement is one snapshot on both databases: the bookmark is that of these very rows.
    # Whether a row was joined shows in `found`, so that columns may be null.
    rows = tables.read(
        f"""
        SELECT bookmark.position, page.*
        FROM keyfold_projections AS bookmark
        LEFT JOIN (SELECT 1 AS found, asked.* FROM ({select}) AS asked) AS page ON 1 = 1
        WHERE bookmark.projection = :projection
        """,  # noqa: S608 - statements are this program's own, values are parameters
        {**params, "projection": projection.name},
    )
    if not rows:
        return Caught(0, [])
    return Caught(rows[0][0], [row[2:] for row in rows if row[1]])


def _writes(projection: Projection, events: Iterable[AnyEvent]) -> Iterator[Write]:
    for event in events:
        match projection.write(event):
            case None:
                pass
            case Write() as one:
                yield one
            case several:
                yield from several


# Verifying


def differences(book: Book, tables: Tables, projection: Projection) -> Iterator[Difference]:
    """Rebuild a table from position zero beside the live one, and answer every row that differs.

    Readers and writers go on meanwhile: what is compared is the table as it was at one moment.
    """
    catch_up(book, tables, projection, book.head())
    with tables.snapshot() as live, closing(ScratchTables()) as scratch:
        bookmark = live.execute(_BOOKMARK, {"projection": projection.name})
        catch_up(book, scratch, projection, upto=bookmark[0][0] if bookmark else 0)
        with scratch.snapshot() as rebuilt:
            yield from _compare(projection, _rows(live, projection), _rows(rebuilt, projection))


def _rows(reading: Reading, projection: Projection) -> Iterator[Row]:
    """Answer all rows of a table in the order of its primary key, page by page."""
    columns, key = ", ".join(projection.columns), ", ".join(projection.key)
    places = ", ".join(f":{column}" for column in projection.key)
    select = f"SELECT {columns} FROM {projection.table}"  # noqa: S608 - all are ours
    page = reading.execute(f"{select} ORDER BY {key} LIMIT :limit", {"limit": PAGE_ROWS})
    following = f"{select} WHERE ({key}) > ({places}) ORDER BY {key} LIMIT :limit"
    while page:
        yield from page
        after = dict(zip(projection.columns, page[-1], strict=True))
        page = reading.execute(
            following, {**{column: after[column] for column in projection.key}, "limit": PAGE_ROWS}
        )


def _compare(
    projection: Projection, live: Iterator[Row], rebuilt: Iterator[Row]
) -> Iterator[Difference]:
    places = [projection.columns.index(column) for column in projection.key]
    position = projection.columns.index("position")

    def key(side: tuple[str, Row]) -> Row:
        return tuple(side[1][place] for place in places)

    sides = merge((("live", row) for row in live), (("rebuilt", row) for row in rebuilt), key=key)
    for of, rows in groupby(sides, key=key):
        found: dict[str, Row] = dict(rows)
        if found.get("live") != found.get("rebuilt"):
            at = (found.get("rebuilt") or found["live"])[position]
            told = {
                side: dict(zip(projection.columns, row, strict=True)) for side, row in found.items()
            }
            yield Difference(projection.name, at, of, told.get("live"), told.get("rebuilt"))
