"""Is the past what it was? History is hashed again all the time, a share at a time.

`integrity.verify` reads all of it when somebody asks. This goes round the ledger within an hour,
for as long as a process is asked whether it is ready, and holds what it reads against the tree: the
leaves against the events, and each full tile against what stands for it on the level above. How the
tree itself stands to what was signed is looked at whenever a process is asked.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Final

from ledger.book import Book
from ledger.min_position import PositionNotReached
from ledger.proof.merkle import HASH_BYTES, perfect_root
from ledger.store import Row
from projections.audit import tree
from projections.audit.tree import TILE_HASHES, Tile, TreeDamaged
from projections.lists.stores import Tables

# So that a change is seen within the hour even where a process is asked now and then only.
ROUND_S: Final = 3000.0
STEP_TILES: Final = 8


class PastCheck:
    """Goes round the ledger; a process begins anywhere, so that the restarted, too, see all of it.

    Args:
        clock: in seconds.
    """

    def __init__(
        self, book: Book, tables: Tables, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._book = book
        self._tables = tables
        self._clock = clock
        self._looked_at = clock()
        self._due = 0.0
        self._next: int | None = None
        self._changed: int | None = None

    def check_share(self) -> str | None:
        """Hash again what has become due since the last time; return what is not as it was.

        Once something was found, that is looked at again first: it may have been put right.
        """
        now = self._clock()
        elapsed_s, self._looked_at = now - self._looked_at, now
        hashed, head = tree.reached(self._tables), self._book.head()
        if hashed > head:  # a tree that is asked for more begins anew, and forgets it
            return f"the ledger ends at position {head}, but {hashed} events were hashed"
        try:
            tree.extend(self._book, self._tables, head)
        except PositionNotReached:
            pass  # a standby's tree grows on the primary
        except TreeDamaged as error:
            return str(error)
        count = -(-tree.reached(self._tables) // TILE_HASHES)
        self._due = min(float(count), self._due + count * elapsed_s / ROUND_S)
        if self._changed is not None and (still := self._changed_among([self._changed])):
            return still
        self._changed = None
        while self._due >= 1:
            tiles = self._take(count)
            self._due -= len(tiles)
            # What differs is read once more: the ledger may have gone back between the readings.
            if self._changed_among(tiles) and (found := self._changed_among(tiles)):
                return found
        return None

    def _take(self, count: int) -> list[int]:
        """Return the numbers of the tiles that come next."""
        first = secrets.randbelow(count) if self._next is None else self._next % count
        tiles = list(range(first, min(first + STEP_TILES, first + int(self._due), count)))
        self._next = tiles[-1] + 1
        return tiles

    def _changed_among(self, numbers: Sequence[int]) -> str | None:
        size = tree.reached(self._tables)
        after, upto = numbers[0] * TILE_HASHES, min((numbers[-1] + 1) * TILE_HASHES, size)
        rows = self._book.store.read_from(after, upto - after, upto)
        above = {Tile(1, number // TILE_HASHES) for number in numbers}
        tiles = tree.read_tiles(self._tables, {Tile(0, number) for number in numbers} | above)
        for number in numbers:
            first, last = number * TILE_HASHES + 1, min((number + 1) * TILE_HASHES, size)
            hashes = tiles.get(Tile(0, number), b"")
            its = rows[first - 1 - after : last - after]
            if wrong := _changed(its, hashes, first, last) or _misplaced(number, hashes, tiles):
                self._changed = number
                return wrong
        return None


def _changed(rows: Sequence[Row], hashes: bytes, first: int, last: int) -> str | None:
    """Return which event of a tile is not what was hashed of it."""
    leaves = tree.split(hashes)
    for place in range(last - first + 1):
        position = first + place
        if place >= len(leaves):
            return f"the tree has no hash of the event at position {position}"
        if place >= len(rows) or rows[place].position != position:
            return f"the event at position {position} is missing"
        if tree.hash_row(rows[place]) != leaves[place]:
            return f"the event at position {position} was changed"
    return None


def _misplaced(number: int, hashes: bytes, tiles: dict[Tile, bytes]) -> str | None:
    """Return whether a full tile is not the one that the tree was built on."""
    if len(hashes) < TILE_HASHES * HASH_BYTES:
        return None
    above = tiles.get(Tile(1, number // TILE_HASHES), b"")
    place = number % TILE_HASHES * HASH_BYTES
    if above[place : place + HASH_BYTES] == perfect_root(hashes):
        return None
    first = number * TILE_HASHES + 1
    return f"the hashes of positions {first} to {first + TILE_HASHES - 1} were changed"
