"""Every table rebuilt from position zero beside the live one, and what differs.

    live     key_list@2   … 1205 1206 1207      the rows that questions are answered from
    rebuilt  key_list@2   … 1205 1206           the rows that the events make: 1207 should not be

A table is nothing but its events in order, so a row that differs was changed by somebody, or made
by a Keyfold with a mistake. Live tables stay in use meanwhile; nothing in them is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from ledger import codec
from ledger.book import Book
from ledger.codec import UnknownEvent
from ledger.store.holes import holes
from projections.audit import tree
from projections.audit.snapshots import SNAPSHOTS, wrong_snapshots
from projections.audit.table_differences import (
    RowDifference,
    compare_in_parts,
    differences,
)
from projections.lists import catch_up, notices_table
from projections.lists.batches import BATCH_LIST
from projections.lists.catch_up import Projection
from projections.lists.keys import KEY_LIST
from projections.lists.month_ends_table import GIVEN_SPANS, TAKEN_SPANS
from projections.lists.names import NAMES as NAME_LIST
from projections.lists.orders import ORDER_LIST
from projections.lists.overview_tables import (
    HELD_ELSEWHERE,
    REFUSALS,
    SEAT_LIST,
    STRIPE_CLAIMS,
    STRIPE_HELD,
    SUBSCRIPTION_LIST,
)
from projections.lists.reseller_names import RESELLER_NAMES
from projections.lists.stores import ReadTransaction, ScratchTables, Tables
from projections.lists.stores.tables import Row
from projections.lists.stripe_spans import STRIPE_CHANGED, wrong_spans
from projections.lists.stripe_subscriptions import STRIPE_LIST
from projections.lists.timeline_table import TIMELINE
from projections.lists.tokens import TOKEN_LIST

PROJECTIONS: Final = (
    KEY_LIST, TOKEN_LIST, STRIPE_LIST, TIMELINE, SUBSCRIPTION_LIST, SEAT_LIST, REFUSALS,
    GIVEN_SPANS, TAKEN_SPANS, STRIPE_CHANGED, STRIPE_CLAIMS, STRIPE_HELD, RESELLER_NAMES,
    BATCH_LIST, ORDER_LIST, NAME_LIST,
)  # fmt: skip
NAMES: Final = (*(projection.name for projection in PROJECTIONS), notices_table.NAME, tree.TREE)
EVENTS: Final = "keyfold_events"
SPANS: Final = "stripe_spans@1"
STEP_EVENTS: Final = 10_000
PAGE_TILES: Final = 64

Counted = Callable[[int], object]


class RebuildFinding(NamedTuple):
    """Something in a table that is not what the ledger says.

    Attributes:
        position: of the row, or the first that it is about.
        sentence: what is wrong, for people.
    """

    table: str
    position: int
    sentence: str


class EventUnreadable(Exception):
    """The ledger holds an event that cannot be read, so nothing can be rebuilt.

    Attributes:
        position: the event's.
    """

    def __init__(self, position: int) -> None:
        super().__init__(f"the event at position {position} cannot be read")
        self.position = position


def replay(
    book: Book, tables: Tables, on_events: Counted = lambda _: None
) -> Iterator[RebuildFinding]:
    """Return everything in every table that is not what the ledger says, table by table.

    What the ledger itself lacks comes first: holes in its positions and in its streams' versions.

    The snapshots of long streams come last: each stream that has one is folded from its start.
    All lists are rebuilt at once, so that each event is read and decoded once.

    Args:
        on_events: called with how many more events were applied; every table applies each of them.

    Raises:
        EventUnreadable: an event has been changed, or is a later Keyfold's.
    """
    found = holes(book.store)
    for hole in found:
        yield RebuildFinding(EVENTS, hole.position, hole.sentence)
    if any(not hole.stream for hole in found):
        return  # nothing can be rebuilt from positions that are not there
    try:
        with closing(ScratchTables()) as rebuilt:
            beyond = _beyond(book, tables)
            sound = [one for one in PROJECTIONS if one.name not in beyond]
            head = book.head()
            # Only what is rebuilt counts: what the live tables have to catch up with is no replay.
            catch_up.catch_up_all(book, tables, sound, head)
            catch_up.catch_up_all(book, rebuilt, sound, head, on_events)
            for one in PROJECTIONS:
                yield from beyond.get(one.name) or _rows(book, tables, one, rebuilt)
            yield from _held_elsewhere(rebuilt)
        for position, account in wrong_spans(book, tables):
            sentence = f"what Stripe gave {account} is not what its events make"
            yield RebuildFinding(SPANS, position, sentence)
        yield from _notices(book, tables)
        on_events(head)
        yield from beyond.get(tree.TREE) or _tiles(book, tables, on_events)
        for wrong in wrong_snapshots(book):
            yield RebuildFinding(SNAPSHOTS, wrong.position, wrong.sentence)
    except (UnknownEvent, msgspec.DecodeError, UnicodeDecodeError):
        raise EventUnreadable(_first_unreadable(book)) from None


def _beyond(book: Book, tables: Tables) -> dict[str, list[RebuildFinding]]:
    """Return which tables hold events that the ledger has not; they cannot be compared then."""
    found = {}
    for name in NAMES:
        reached, head = catch_up.reached(tables, name), book.head()
        if reached > head:
            sentence = f"holds events up to position {reached}, but the ledger ends at {head}"
            found[name] = [RebuildFinding(name, head + 1, sentence)]
    return found


def _first_unreadable(book: Book) -> int:
    after = 0
    while rows := book.store.read_from(after, STEP_EVENTS):
        for row in rows:
            try:
                codec.decode(row)
            except (UnknownEvent, msgspec.DecodeError, UnicodeDecodeError):
                return row.position
        after = rows[-1].position
    raise AssertionError("all events can be read")


# Lists


def _rows(
    book: Book, tables: Tables, projection: Projection, rebuilt: Tables
) -> Iterator[RebuildFinding]:
    for one in differences(book, tables, projection, rebuilt):
        yield RebuildFinding(one.projection, one.position, _description(one))


def _description(difference: RowDifference) -> str:
    live, rebuilt = difference.live, difference.rebuilt
    if live is None:
        return "is missing"
    if rebuilt is None:
        return "should not be there"
    return "; ".join(
        f"{name} is {live[name]!r} and should be {rebuilt[name]!r}"
        for name in rebuilt
        if live[name] != rebuilt[name]
    )


def _held_elsewhere(rebuilt: Tables) -> Iterator[RebuildFinding]:
    """Yield subscriptions of Stripe's that others than their account have on record."""
    for id, holder, account, position in sorted(rebuilt.read(HELD_ELSEWHERE, {})):
        whose = f"though it is {account}'s" if account else "and it is nobody's"
        sentence = f"{id} is on record with {holder}, {whose}: keyfold stripe reconcile mends it"
        yield RebuildFinding(EVENTS, position, sentence)


# Notices


class _NoticeRows(NamedTuple):
    """The table of notices, as it is compared."""

    name: str = notices_table.NAME
    table: str = notices_table.TABLE
    columns: tuple[str, ...] = ("days", *notices_table.NoticeRow._fields)
    key: tuple[str, ...] = ("days", "id")


def _notices(book: Book, tables: Tables) -> Iterator[RebuildFinding]:
    """Compare what is kept for each setting of the catalog, up to where that is filled."""
    with tables.snapshot() as live:
        filled, head = list(notices_table.settings_filled(live)), book.head()
    with closing(ScratchTables()) as rebuilt:
        for _, upto in filled:
            if upto > head:
                sentence = f"holds events up to position {upto}, but the ledger ends at {head}"
                yield RebuildFinding(notices_table.NAME, head + 1, sentence)
                return

        def rebuild(filled: Sequence[tuple[list[int], int]]) -> Tables:
            for days, upto in filled:
                notices_table.fill(book, rebuilt, days, upto)
            return rebuilt

        def bookmarks(live: ReadTransaction) -> list[tuple[list[int], int]]:
            return list(notices_table.settings_filled(live))

        for one in compare_in_parts(_NoticeRows(), tables, bookmarks, rebuild):
            yield RebuildFinding(one.projection, one.position, _description(one))


# The tree

_REACHED = "SELECT position FROM keyfold_projections WHERE projection = :projection"
_TILES = """
    SELECT level, number, hashes FROM keyfold_tree_1
    WHERE level > :level OR (level = :level AND number > :number)
    ORDER BY level, number LIMIT :limit
"""


def _tiles(book: Book, tables: Tables, on_events: Counted) -> Iterator[RebuildFinding]:
    try:
        tree.extend(book, tables, book.head())
    except tree.TreeDamaged as error:
        yield RebuildFinding(tree.TREE, tree.reached(tables) + 1, str(error))
        return
    with closing(ScratchTables()) as scratch:
        before = tree.reached(tables)
        for step in range(0, before, STEP_EVENTS):
            reached = min(step + STEP_EVENTS, before)
            tree.extend(book, scratch, reached)
            on_events(reached - step)
        with tables.snapshot() as live:
            ((upto,),) = live.execute(_REACHED, {"projection": tree.TREE})
            tree.extend(book, scratch, upto)
            with scratch.snapshot() as rebuilt:
                yield from _compared(_tiles_of(live), _tiles_of(rebuilt))


def _tiles_of(reading: ReadTransaction) -> Iterator[Row]:
    level, number = -1, -1
    while page := reading.execute(_TILES, {"level": level, "number": number, "limit": PAGE_TILES}):
        yield from page
        level, number, _ = page[-1]


def _compared(live: Iterator[Row], rebuilt: Iterator[Row]) -> Iterator[RebuildFinding]:
    place = itemgetter(0, 1)
    sides = merge(
        ((*row, "live") for row in live), ((*row, "rebuilt") for row in rebuilt), key=place
    )
    for (level, number), rows in groupby(sides, key=place):
        found = {side: bytes(hashes) for _, _, hashes, side in rows}
        if found.get("live") != found.get("rebuilt"):
            first = number * tree.TILE_HASHES ** (level + 1) + 1
            yield RebuildFinding(tree.TREE, first, f"tile {number} of level {level} differs")
