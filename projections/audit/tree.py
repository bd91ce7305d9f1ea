"""The ledger's Merkle tree, kept in tiles, and the proofs that are read from it.

A tile is up to 256 hashes in a row of the table: on level 0 of leaves, on each level above of full
tiles of the level below. So each event is hashed once, when somebody first asks for a tree that it
is in, and a root or a proof over a million events is made of a few tiles.

    level 1   [ tile 0 of level 0 | tile 1 of level 0 ]
    level 0   [ leaves 0–255 ] [ leaves 256–511 ] [ leaves 512–599 ]            600 events

What was hashed stays as it is, whatever becomes of the events: so the tree also shows which of them
is no longer what it was (`projections/audit/integrity.py`).

Source: C2SP tlog-tiles for the tiles; RFC 9162 for the tree (ledger/proof/merkle.py).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from ledger.book import LAG_POLL_S, LAG_S, Book
from ledger.min_position import PositionNotReached, hold_to_min_position
from ledger.proof.merkle import (
    HASH_BYTES,
    Frontier,
    Span,
    Subtree,
    consistency_path,
    inclusion_path,
    join,
    leaf_hash,
    perfect_root,
    perfect_subtrees,
    verify_consistency,
    verify_inclusion,
)
from ledger.store import Row
from ledger.store.contract import ReadOnly
from projections.lists import catch_up
from projections.lists.stores import Tables, WriteTransaction
from projections.lists.stores.tables import Value

TREE: Final = "tree@1"
TABLE: Final = "keyfold_tree_1"
TILE_HEIGHT: Final = 8
TILE_HASHES: Final = 1 << TILE_HEIGHT

_SLOTS = "abcdefgh"
_WANTED = " OR ".join(f"(level = :level_{slot} AND number = :number_{slot})" for slot in _SLOTS)
_READ = f"SELECT level, number, hashes FROM keyfold_tree_1 WHERE {_WANTED}"  # noqa: S608 - all ours
_READ_ONE = "SELECT hashes FROM keyfold_tree_1 WHERE level = :level AND number = :number"
_WRITE = """
    INSERT INTO keyfold_tree_1 (level, number, hashes) VALUES (:level, :number, :hashes)
    ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes
"""


class TreeDamaged(Exception):
    """The tree does not agree with itself or with the ledger; `keyfold audit verify` says where."""


class Tile(NamedTuple):
    """The place of a tile; numbers count from 0 on each level."""

    level: int
    number: int


class Inclusion(NamedTuple):
    """That an event is in a tree.

    Attributes:
        position: of the event; its leaf is `position - 1`.
        size: of the tree, in events.
        hashes: the siblings on the way from the leaf to the root.
    """

    position: int
    size: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    root: bytes


class Consistency(NamedTuple):
    """That a tree begins with a smaller one."""

    old: int
    new: int
    old_root: bytes
    new_root: bytes
    hashes: tuple[bytes, ...]


# Asking


def reached(tables: Tables) -> int:
    """Return up to which position events are in the tree."""
    return catch_up.reached(tables, TREE)


def whole(book: Book, tables: Tables) -> int:
    """Return the size of the largest tree that can be had: the ledger's, but for a standby's.

    Raises:
        PositionNotReached: it is smaller than the least position (`ledger.min_position`).
        TreeDamaged: as `extend`.
    """
    size = book.head()
    try:
        extend(book, tables, size)
    except PositionNotReached as lags:
        size = min(lags.position, size)
    hold_to_min_position(size)
    return size


def root(book: Book, tables: Tables, size: int) -> bytes:
    """Return the root of the tree of the first `size` events, which the ledger must have.

    Raises:
        TreeDamaged: the tree has not what it should have.
    """
    extend(book, tables, size)
    (found,) = _hashes(tables, [Span(0, size)])
    return found


def frontier(book: Book, tables: Tables, size: int) -> Frontier:
    """Return the right edge of the tree of the first `size` events, to go on from.

    Raises:
        TreeDamaged: the tree has not what it should have.
    """
    extend(book, tables, size)
    subtrees = [
        Span(one.number << one.height, one.number + 1 << one.height)
        for one in perfect_subtrees(Span(0, size))
    ]
    return Frontier(size, _hashes(tables, subtrees))


def inclusion(book: Book, tables: Tables, position: int, size: int) -> Inclusion:
    """Return the proof that the event at a position is among the ledger's first `size`.

    Raises:
        TreeDamaged: the tree has not what it should have.
    """
    assert 0 < position <= size
    index = position - 1
    spans = [Span(index, position), Span(0, size), *inclusion_path(index, size)]
    leaf, top, *hashes = _hashes_within(book, tables, size, spans)
    if not verify_inclusion(leaf, index, size, hashes, top):
        raise TreeDamaged(f"the tree does not agree with itself around position {position}")
    return Inclusion(position, size, leaf, tuple(hashes), top)


def consistency(book: Book, tables: Tables, old: int, new: int) -> Consistency:
    """Return the proof that the ledger's first `new` events begin with the first `old`.

    Raises:
        TreeDamaged: the tree has not what it should have.
    """
    assert 0 < old <= new
    spans = [Span(0, old), Span(0, new), *consistency_path(old, new)]
    old_root, new_root, *hashes = _hashes_within(book, tables, new, spans)
    if not verify_consistency(old, new, old_root, new_root, hashes):
        raise TreeDamaged(f"the tree does not agree with itself between {old} and {new}")
    return Consistency(old, new, old_root, new_root, tuple(hashes))


def _hashes_within(book: Book, tables: Tables, size: int, spans: Sequence[Span]) -> list[bytes]:
    """Return the hash of each span of the tree of the first `size` events.

    Whoever wants a proof mostly holds a checkpoint, and what that is over is in the tree: to ask
    how far the tree reaches would be for nothing.
    """
    try:
        return _hashes(tables, spans)
    except TreeDamaged:
        extend(book, tables, size)
        return _hashes(tables, spans)


def _hashes(tables: Tables, spans: Sequence[Span]) -> list[bytes]:
    """Return the hash of each span."""
    subtrees = [list(perfect_subtrees(span)) for span in spans]
    wanted = {one for several in subtrees for one in several}  # the right edge is in many spans
    tiles = read_tiles(tables, {_tile_of(one) for one in wanted})
    found = {one: _hash_of(one, tiles) for one in wanted}
    return [join(found[one] for one in several) for several in subtrees]


def _tile_of(subtree: Subtree) -> Tile:
    level, height = divmod(subtree.height, TILE_HEIGHT)
    return Tile(level, subtree.number << height >> TILE_HEIGHT)


def _hash_of(subtree: Subtree, tiles: Mapping[Tile, bytes]) -> bytes:
    tile = _tile_of(subtree)
    height = subtree.height % TILE_HEIGHT
    first = (subtree.number << height) % TILE_HASHES
    return perfect_root(_part(tile, tiles.get(tile, b""), first, first + (1 << height)))


def _part(tile: Tile, hashes: bytes, start: int, end: int) -> bytes:
    """Return some of a tile's hashes, one after the other.

    Raises:
        TreeDamaged: it does not have them.
    """
    if len(hashes) < end * HASH_BYTES:
        raise TreeDamaged(f"tile {tile.number} of level {tile.level} is not whole")
    return hashes[start * HASH_BYTES : end * HASH_BYTES]


# Tiles


def read_tiles(tables: Tables, wanted: Collection[Tile]) -> dict[Tile, bytes]:
    """Return those of some tiles that there are: their hashes, one after the other."""
    found: dict[Tile, bytes] = {}
    tiles = list(wanted)
    for start in range(0, len(tiles), len(_SLOTS)):
        params: dict[str, Value] = {}
        for place, slot in enumerate(_SLOTS, start):
            tile = tiles[place] if place < len(tiles) else Tile(-1, -1)
            params |= {f"level_{slot}": tile.level, f"number_{slot}": tile.number}
        for level, number, hashes in tables.read(_READ, params):
            found[Tile(level, number)] = hashes
    return found


def split(hashes: bytes) -> list[bytes]:
    """Return the hashes of a tile, in their order."""
    return [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]


# Growing


def extend(book: Book, tables: Tables, upto: int) -> None:
    """Bring the tree up to a position, which the ledger must have.

    Raises:
        PositionNotReached: it is a standby's, which is filled through the primary only.
        TreeDamaged: the ledger lacks an event up to there, or the tree a hash.
    """

    def prepare(_: Sequence[str], old: int, new: int) -> catch_up.Apply:
        until = time.monotonic() + LAG_S
        while True:
            rows = book.store.read_from(old, new - old, new)
            if [row.position for row in rows] == list(range(old + 1, new + 1)):
                break
            # The server that is read may lag behind the one that told where the ledger is.
            if time.monotonic() > until:
                raise TreeDamaged(
                    f"the ledger does not have all of the positions {old + 1} to {new}"
                )
            time.sleep(LAG_POLL_S)
        hashes = list(map(hash_row, rows))

        def apply(work: WriteTransaction, _: str) -> None:
            catch_up.hold_to(tables, work, rows[-1])
            _append(work, old, hashes)

        return apply

    ahead = catch_up.reached(tables, TREE)
    if ahead > upto and ahead > book.head():
        catch_up.begin_anew(tables, TREE, TABLE, ahead)
    try:
        # What a page takes is the hashing; with larger ones nothing is won, and memory is lost.
        catch_up.advance(tables, [TREE], upto, prepare, page_max=catch_up.PAGE_EVENTS)
    except ReadOnly as fault:
        raise PositionNotReached(catch_up.reached(tables, TREE)) from fault


def hash_row(row: Row) -> bytes:
    """Return the hash of a stored event as the tree's leaf."""
    return leaf_hash(row.stream, row.version, row.name, row.state)


def _append(work: WriteTransaction, size: int, hashes: list[bytes]) -> None:
    """Add hashes of leaves to a tree of a size; and, level by level, the tiles that become full."""
    written: list[dict[str, Value]] = []
    level = 0
    while hashes:
        first, beside = divmod(size, TILE_HASHES)
        hashes = _partial(work, Tile(level, first), beside) + hashes
        tiles = [hashes[i : i + TILE_HASHES] for i in range(0, len(hashes), TILE_HASHES)]
        for number, tile in enumerate(tiles, first):
            written.append({"level": level, "number": number, "hashes": b"".join(tile)})
        hashes = list(roots_of_full(tiles))
        level, size = level + 1, first
    work.execute_many(_WRITE, written)


def roots_of_full(tiles: Iterable[Sequence[bytes]]) -> Iterable[bytes]:
    """Return what stands for each full tile on the level above."""
    return (perfect_root(b"".join(tile)) for tile in tiles if len(tile) == TILE_HASHES)


def _partial(work: WriteTransaction, tile: Tile, width: int) -> list[bytes]:
    """Return the first hashes of a tile."""
    if not width:
        return []
    rows = work.execute(_READ_ONE, tile._asdict())
    return split(_part(tile, rows[0][0] if rows else b"", 0, width))
