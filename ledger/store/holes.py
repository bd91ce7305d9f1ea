"""Places where an event is missing: a stream's versions are 1, 2, 3 …, and so are the positions.

No store takes an append that leaves a hole. One can come from before that was so, or from somebody
who wrote to the database past it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, LiteralString, NamedTuple

from ledger.store.contract import Recorder

HOLES_MAX: Final = 100

_VERSIONS: LiteralString = """
    SELECT position, stream, before, version FROM (
        SELECT {position} AS position, originator_id AS stream, originator_version AS version,
            lag(originator_version, 1, {zero}) OVER (
                PARTITION BY originator_id ORDER BY originator_version
            ) AS before
        FROM keyfold_events
    ) AS one WHERE version <> before + 1 ORDER BY position LIMIT {limit}
"""
_POSITIONS: LiteralString = """
    SELECT position, '', before, position FROM (
        SELECT {position} AS position,
            lag({position}, 1, {zero}) OVER (ORDER BY {position}) AS before
        FROM keyfold_events
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
        """Say what is missing, for people."""
        many = self.last > self.first
        which = f"{self.first} to {self.last}" if many else str(self.first)
        if self.stream:
            return f"version{'s' * many} {which} of {self.stream} {'are' if many else 'is'} missing"
        return f"position{'s' * many} {which} {'are' if many else 'is'} missing"


def holes(store: Recorder) -> list[Hole]:
    """Return the first holes of positions and of streams, by position."""
    datastore: Any = getattr(store, "datastore", None)
    if datastore is None:
        return _in_memory(store)
    is_sqlite = hasattr(datastore, "path")
    names = {
        "position": "rowid" if is_sqlite else "notification_id",
        "zero": "0" if is_sqlite else "0::bigint",
        "limit": str(HOLES_MAX),
    }
    found = [
        Hole(position, stream, before + 1, at - 1)
        for statement in (_POSITIONS, _VERSIONS)
        for position, stream, before, at in datastore.read(statement.format(**names))
    ]
    return sorted(found)


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
