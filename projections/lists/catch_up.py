"""Tables that catch up when they are read.

A list across streams is kept in a table, with a *bookmark*: the position up to which the ledger's
events are in it. Whoever reads the table first applies what came after the bookmark. So there is
no daemon, and no answer is stale: it holds everything that was recorded before it was asked for.

    ledger      … 41 42 43 44 45          head, 45
    table       … 41 42                   bookmark, 42
    a reader    claims 43–45: writes the bookmark, then the rows, in one transaction

The rule that keeps any number of readers right, in threads, processes and machines: before a row of
a page is written the page is *claimed*, by the conditional write of the bookmark from its old to
its new position. Who finds the bookmark moved has lost to another reader, has changed nothing, and
looks again. Rows and bookmark are committed together; a crash or a lost connection takes both or
neither. What the rows are is worked out before the transaction begins, so that nobody is kept
waiting by it: positions have no gaps, and what is recorded stays as it is.

Far behind, pages grow until one takes about a fifth of a second to write. Rows of a page are added
in the order of the primary key: that way each place in the table is looked for once. Several tables
that are behind are brought up together, each event read and decoded once (`catch_up_all`).

A table's name has a version (`key_list@2`). Another shape is another table beside it, which fills
itself at its first read; the old one is dropped by a later release.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from operator import attrgetter, itemgetter
from threading import RLock
from typing import Any, Final, NamedTuple

from msgspec import Struct

from ledger import codec
from ledger.book import FOLLOW_PAGE, LAG_POLL_S, LAG_S, Book, LedgerUnavailable
from ledger.durations import TABLE_READS
from ledger.events import AnyEvent, Fact
from ledger.min_position import hold_to_min_position
from ledger.store.connections import PerProcess
from ledger.store.contract import ReadOnly
from ledger.store.contract import Row as StoredRow
from projections.lists.stores import BulkTables
from projections.lists.stores.tables import Params, Row, Tables, Value, WriteTransaction

# How many events a page has at first, and at least, and how many times as many at most.
PAGE_EVENTS: Final = 1_000
PAGE_GROWTH: Final = 16
# Who writes a page keeps the table's other readers waiting; on SQLite, all who write, too.
PAGE_S: Final = 0.2
LOCK_TIMEOUT_S: Final = 1.0

_log = logging.getLogger("keyfold.tables")

BOOKMARK = "SELECT position FROM keyfold_projections WHERE projection = :projection"
_BEGIN_AT_ZERO = """
    INSERT INTO keyfold_projections (projection, position) VALUES (:projection, 0)
    ON CONFLICT DO NOTHING
"""
_CLAIM = """
    UPDATE keyfold_projections SET position = :new
    WHERE projection = :projection AND position = :old RETURNING position
"""


# Not a tuple: they are made by the million, and the garbage collector need not look at them.
class Write(Struct, frozen=True, gc=False):
    """A statement that an event makes necessary, and its parameters.

    Attributes:
        params: the statement is run once for each.
        place: of several writes with the same one, other than None, only the last of a page is
            carried out; and those of different places in any order.
    """

    sql: str
    params: Sequence[Params]
    place: tuple[Value, ...] | None = None


# Rows to add, all columns in order; or a statement, or several.
Writes = list[Row] | Write | tuple[Write, ...] | None


class Projection(NamedTuple):
    """A table, and what each event does to it.

    Attributes:
        name: with its version, e.g. `key_list@2`.
        table: its name in the database.
        columns: of the table, `position` among them: that of the event which made the row.
        write: what an event does to it; None for one that is none of its business. Pure: a table is
            nothing but its events in order. Of a page, all rows are added before any statement is
            run: none may depend on a row of a later event's not being there.
        key: the columns of its primary key, in order.
        facts: of which events are its business; None for any.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    write: Callable[[AnyEvent], Writes]
    key: tuple[str, ...] = ("position",)
    facts: frozenset[type[Fact]] | None = None


class RowsAtPosition(NamedTuple):
    """Rows of a table that holds everything up to a position, and nothing after it."""

    position: int
    rows: list[Row]


# Reading


def read(
    book: Book, tables: Tables, projection: Projection, select: str, params: Params
) -> RowsAtPosition:
    """Return rows of a table that holds everything recorded before this call.

    A standby's holds what had been recorded when somebody last asked for it at the primary.

    Args:
        select: returns rows of the table, at least one column; `:projection` is taken.

    Raises:
        PositionNotReached: what it holds ends before the least position (`ledger.min_position`).
    """
    began = time.perf_counter()
    found = _read_caught_up(book, tables, projection, select, params)
    TABLE_READS.add(time.perf_counter() - began)
    return _held(found)


def _read_caught_up(
    book: Book, tables: Tables, projection: Projection, select: str, params: Params
) -> RowsAtPosition:
    head = book.head()
    while True:
        found = _read(tables, projection, select, params)
        try:
            if found.position > head and found.position > book.head():
                if not begin_anew(tables, projection.name, projection.table, found.position):
                    return found  # the head was a standby's, which lags behind the tables
                head = book.head()
                continue
            if found.position >= head:
                return found
            catch_up(book, tables, projection, head)
        except ReadOnly:
            # A standby's tables are filled through the primary, and come as its events do.
            return _read(tables, projection, select, params)


def _held(found: RowsAtPosition) -> RowsAtPosition:
    hold_to_min_position(found.position)
    return found


def begin_anew(tables: Tables, name: str, table: str, ahead: int, of: Params | None = None) -> bool:
    """Empty a table that holds events which the ledger has not: the ledger went back.

    Args:
        ahead: the position that its bookmark says.
        of: which of its rows are kept under this name, by their columns; all of them if not given.

    Return whether it had to be, or no longer is; false where the ledger beside it has the event.
    """
    with tables.transaction() as work:
        if stored(tables, work, ahead) is not None:
            return False
        if work.execute(_CLAIM, {"projection": name, "old": ahead, "new": 0}):
            where = " AND ".join(["1 = 1", *(f"{column} = :{column}" for column in of or {})])
            # The names are this program's own.
            work.execute(f"DELETE FROM {table} WHERE {where}", of or {})  # noqa: S608
            _log.error(
                "%s held events up to %s, which the ledger has not: it is filled anew", name, ahead
            )
    return True


def stored(tables: Tables, work: WriteTransaction, position: int) -> StoredRow | None:
    """Return the event at a position, from the very database that a transaction writes to."""
    column = tables.position_column
    if column is None:
        return None
    found = work.execute(
        f"SELECT {column}, originator_id, originator_version, topic, state"  # noqa: S608
        f" FROM keyfold_events WHERE {column} = :position",
        {"position": position},
    )
    return StoredRow._make(found[0]) if found else None


def hold_to(tables: Tables, work: WriteTransaction, last: StoredRow | AnyEvent) -> None:
    """Go on with a page only if the ledger still holds the event that it ends with.

    It was worked out before the transaction began, and a fail-over may have taken the event back.

    Raises:
        LedgerUnavailable: it does not. Nothing is kept of the page; ask again.
    """
    if tables.position_column is None:
        return
    found = stored(tables, work, last.position)
    is_there = found is not None and (
        last == (found if isinstance(last, StoredRow) else codec.decode(found))
    )
    if not is_there:
        raise LedgerUnavailable(f"the ledger went back: it lost the event at {last.position}")


def catch_up(book: Book, tables: Tables, projection: Projection, upto: int) -> None:
    """Apply the ledger's events to a table until it holds those up to a position."""
    catch_up_all(book, tables, [projection], upto)


def catch_up_all(
    book: Book,
    tables: Tables,
    projections: Sequence[Projection],
    upto: int,
    on_events: Callable[[int], object] = lambda _: None,
) -> None:
    """Apply the ledger's events to several tables, each event read once for all of them.

    Args:
        on_events: called with how many more events were applied, to each table counted by itself.
    """
    known = {projection.name: projection for projection in projections}

    def prepare(names: Sequence[str], old: int, new: int) -> Apply:
        pages = {name: PageWrites(known[name]) for name in names}
        last: list[AnyEvent] = []
        until = time.monotonic() + LAG_S
        while fold(_ending(book.follow(old, new), last), list(pages.values())) != new - old:
            # The server that is read may lag behind the one that told where the ledger is.
            if time.monotonic() > until:
                raise LedgerUnavailable(f"the ledger lacks events between {old + 1} and {new}")
            time.sleep(LAG_POLL_S)
            pages, last = {name: PageWrites(known[name]) for name in names}, []

        def apply(work: WriteTransaction, name: str) -> None:
            hold_to(tables, work, last[0])
            pages[name].apply(work)
            on_events(new - old)

        return apply

    advance(tables, list(known), upto, prepare)


def _ending(events: Iterable[AnyEvent], last: list[AnyEvent]) -> Iterator[AnyEvent]:
    """Pass events on, and put the last of them into a list."""
    event: AnyEvent | None = None
    for event in events:
        yield event
    if event is not None:
        last.append(event)


Apply = Callable[[WriteTransaction, str], None]
Prepare = Callable[[Sequence[str], int, int], Apply]


def advance(
    tables: Tables,
    names: Sequence[str],
    upto: int,
    prepare: Prepare,
    page_max: int = PAGE_EVENTS * PAGE_GROWTH,
) -> None:
    """Bring what is kept under some names up to a position, page by page, each in one transaction.

    Args:
        names: with their versions, as in `Projection`; always in the same order.
        prepare: is given the names that have reached a position, that, and the next, and returns
            what to do with the page for each name once it is claimed for it. That is not called for
            a page that another reader has claimed.
        page_max: how many events a page may grow to.
    """
    size = PAGE_EVENTS
    at = {name: reached(tables, name) for name in names}
    with ExitStack() as stack:
        target: BulkTables = tables
        while (old := min(at.values(), default=upto)) < upto:
            if target is tables and upto - old > PAGE_EVENTS:
                target = stack.enter_context(tables.bulk_writes())
            new = min([old + size, upto, *(position for position in at.values() if position > old)])
            together = [name for name in names if at[name] == old]
            with _page_lock(together[0]) as was_locked:
                if was_locked and reached(tables, together[0]) != old:
                    at |= {name: reached(tables, name) for name in together}
                    continue
                apply = prepare(together, old, new)
                claimed, seconds = _claim(target, together, old, new, apply)
                at |= dict.fromkeys(claimed, new)
                size = min(next_size(size, seconds), page_max)
            at |= {name: reached(tables, name) for name in together if at[name] == old}


def _claim(
    target: BulkTables, names: Sequence[str], old: int, new: int, apply: Apply
) -> tuple[list[str], float]:
    """Claim a page and apply it; return the names it was ours for, and how long others waited."""
    claimed = []
    with target.transaction() as work:
        began = time.perf_counter()
        for name in names:
            if claim(work, name, old, new):
                apply(work, name)
                claimed.append(name)
    return claimed, time.perf_counter() - began


def claim(work: WriteTransaction, name: str, old: int, new: int) -> bool:
    """Write a bookmark that has not been moved; return whether it was ours to write."""
    return bool(work.execute(_CLAIM, {"projection": name, "old": old, "new": new}))


def next_size(size: int, seconds: float) -> int:
    """Return how many events the next page has, after one that took so long."""
    wanted = int(size * min(max(PAGE_S / seconds, 1 / 2), 2))
    return min(max(wanted, PAGE_EVENTS), PAGE_EVENTS * PAGE_GROWTH)


_PAGE_LOCKS: Final = PerProcess(lambda: defaultdict[str, RLock](RLock))


@contextmanager
def _page_lock(name: str) -> Iterator[bool]:
    """Let this process's threads work out a page one after the other, and not all the same one.

    Best effort, and not for correctness: that comes of claiming the page. Yields whether others
    held the lock before.
    """
    lock = _PAGE_LOCKS()[name]
    at_once = lock.acquire(blocking=False)
    acquired = at_once or lock.acquire(timeout=LOCK_TIMEOUT_S)
    try:
        yield not at_once
    finally:
        if acquired:
            lock.release()


def events_between(book: Book, old: int, new: int) -> list[StoredRow]:
    """Return the events after one position up to another, all of them, as they are stored.

    Raises:
        LedgerUnavailable: the server that was asked lags behind for too long.
    """
    until = time.monotonic() + LAG_S
    rows: list[StoredRow] = []
    while len(rows) < new - old:
        page = book.store.read_from(old + len(rows), FOLLOW_PAGE, new)
        rows += page
        if not page:
            if time.monotonic() > until:
                raise LedgerUnavailable(f"the ledger lacks events between {old + 1} and {new}")
            time.sleep(LAG_POLL_S)
    return rows


def behind(book: Book, tables: Tables, names: Iterable[str]) -> dict[str, int]:
    """Return how many positions of the ledger each of some tables lacks, of those in use."""
    rows = tables.read("SELECT projection, position FROM keyfold_projections", {})
    reached_by: dict[str, int] = dict(rows)
    head = book.head()
    return {name: max(0, head - reached_by[name]) for name in names if name in reached_by}


def reached(tables: Tables, name: str) -> int:
    """Return up to which position is applied what is kept under a name."""
    found = tables.read(BOOKMARK, {"projection": name})
    if not found:
        with suppress(ReadOnly), tables.transaction() as work:
            work.execute(_BEGIN_AT_ZERO, {"projection": name})
    return found[0][0] if found else 0


def _read(tables: Tables, projection: Projection, select: str, params: Params) -> RowsAtPosition:
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
        return RowsAtPosition(0, [])
    return RowsAtPosition(rows[0][0], [row[2:] for row in rows if row[1]])


# Writing


class PageWrites:
    """What some events do to a table."""

    def __init__(self, projection: Projection) -> None:
        self.projection = projection
        self.rows: list[Row] = []
        self.writes: list[Write] = []

    def apply(self, work: WriteTransaction) -> None:
        """Add the rows, then carry the statements out."""
        projection = self.projection
        if self.rows:
            self._sort()
            work.insert(projection.table, projection.columns, self.rows)
        for sql, writes in groupby(_last(self.writes), key=attrgetter("sql")):
            work.execute_many(sql, [params for write in writes for params in write.params])

    def _sort(self) -> None:
        """Put the rows in the order of the primary key; by position they are in order already."""
        columns = self.projection.columns
        places = [columns.index(column) for column in self.projection.key if column != "position"]
        if places:
            self.rows.sort(key=itemgetter(*places))


def fold(events: Iterable[AnyEvent], pages: Sequence[PageWrites]) -> int:
    """Note what events do to some tables; return how many events there were."""
    targets = _TargetsByFact(pages)
    count = 0
    for event in events:
        count += 1
        for write, rows, writes in targets[type(event.fact)]:
            done = write(event)
            if isinstance(done, Write):
                writes.append(done)
            elif isinstance(done, tuple):
                writes.extend(done)
            elif done:
                rows.extend(done)
    return count


# What is asked about an event, and where it goes.
_Target = tuple[Callable[[AnyEvent], Writes], list[Row], list[Write]]


class _TargetsByFact(dict[type[Fact], list[_Target]]):
    """Which pages a fact is the business of."""

    def __init__(self, pages: Sequence[PageWrites]) -> None:
        super().__init__()
        self._pages = pages

    def __missing__(self, fact: type[Fact]) -> list[_Target]:
        self[fact] = [
            (page.projection.write, page.rows, page.writes)
            for page in self._pages
            if page.projection.facts is None or fact in page.projection.facts
        ]
        return self[fact]


def in_key_order(columns: Sequence[str], key: Sequence[str]) -> Callable[[Row], Any]:
    """Return a sort key for a table's rows: the columns of its primary key."""
    return itemgetter(*(columns.index(column) for column in key))


def _last(writes: Sequence[Write]) -> Iterable[Write]:
    """Return the writes that count: those with no place in order, then the others by statement."""
    placed = {write.place: write for write in writes if write.place is not None}
    yield from (write for write in writes if write.place is None)
    yield from sorted(placed.values(), key=attrgetter("sql"))
