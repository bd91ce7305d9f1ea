"""Places where an event is missing: a stream's versions are 1, 2, 3 …, and so are the positions.

No store takes an append that leaves a hole. One can come from before that was so, or from somebody
who wrote to the database past it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, LiteralString, NamedTuple

from ledger.store.contract import Recorder

HOLES_MAX: Final = 100

# To count costs a third of looking at each neighbour, so that is done only where something is
# missing: numbers are 1, 2, 3 … if there are as many as the highest, the lowest is 1, and they add
# up to what those do.
_VERSIONS: LiteralString = """
    SELECT position, stream, before, version FROM (
        SELECT {position} AS position, originator_id AS stream, originator_version AS version,
            lag(originator_version, 1, {zero}) OVER (
                PARTITION BY originator_id ORDER BY originator_version
            ) AS before
        FROM keyfold_events WHERE originator_id IN (
            SELECT originator_id FROM keyfold_events GROUP BY originator_id
            HAVING count(*) <> max(originator_version) OR min(originator_version) <> 1
                OR {sum}(originator_version) <> count(*) * (count(*) + 1) / 2
        )
    ) AS one WHERE version <> before + 1 ORDER BY position LIMIT {limit}
"""
_POSITIONS: LiteralString = """
    SELECT position, '', before, position FROM (
        SELECT {position} AS position,
            lag({position}, 1, {zero}) OVER (ORDER BY {position}) AS before
        FROM keyfold_events WHERE (
            SELECT count(*) <> max({position}) OR min({position}) <> 1 FROM keyfold_events
        )
    ) AS one WHERE position <> before + 1 ORDER BY position LIMIT {limit}
"""


class Hole(NamedTuple):
    """Something that is missing.

    Attributes:
        position: of the event that comes after what is missing.
        stream: whose versions have the hole; "" for one in the positions.
        first, last: what is missing.
    """

    position: int
    stream: str
    first: int
    last: int

    @property
    def sentence(self) -> str:
        """Return what is missing, in a sentence for people."""
        many = self.last > self.first
        which = f"{self.first} to {self.last}" if many else str(self.first)
        if self.stream:
            return f"version{'s' * many} {which} of {self.stream} {'are' if many else 'is'} missing"
        return f"position{'s' * many} {which} {'are' if many else 'is'} missing"


def holes(store: Recorder) -> list[Hole]:
    """Return the first holes of positions and of streams, by position."""
    return sorted([*_found(store, _POSITIONS), *holes_of_streams(store)])


def holes_of_streams(store: Recorder) -> list[Hole]:
    """Return the first holes of streams, by position."""
    if getattr(store, "datastore", None) is None:
        return _in_memory(store)
    return _found(store, _VERSIONS)


def _found(store: Recorder, statement: LiteralString) -> list[Hole]:
    datastore: Any = getattr(store, "datastore", None)
    if datastore is None:
        return []  # one in memory cannot lack a position
    is_sqlite = hasattr(datastore, "path")
    names = {
        "position": "rowid" if is_sqlite else "notification_id",
        "zero": "0" if is_sqlite else "0::bigint",
        "sum": "total" if is_sqlite else "sum",  # SQLite's sum() refuses what is too large
        "limit": str(HOLES_MAX),
    }
    return [
        Hole(position, stream, before + 1, at - 1)
        for position, stream, before, at in datastore.read(statement.format(**names))
    ]


def _in_memory(store: Recorder) -> list[Hole]:
    versions: dict[str, list[tuple[int, int]]] = {}
    for row in store.read_from(0, store.head()):
        versions.setdefault(row.stream, [(0, 0)]).append((row.version, row.position))
    return sorted(
        Hole(position, stream, before + 1, version - 1)
        for stream, its in versions.items()
        for (before, _), (version, position) in pairwise(sorted(its))
        if version != before + 1
    )
