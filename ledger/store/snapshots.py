"""Folded states of long streams, kept beside the ledger so that a start need not fold them again.

Disposable: a snapshot that is deleted costs time and nothing else. The bytes are opaque here. One
is only found while its last event is in the ledger, at its position; the table is a reader's to
write, and who may write the database may write it: `keyfold replay --verify` holds what is in it
against the events.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from ledger.store.contract import StreamRow

_VERSION = itemgetter(1)


class Snapshot(NamedTuple):
    """A stream's state as it was after one of its events.

    Attributes:
        shape: of the bytes; readers ask for the one that they know.
        version, position: of that event.
        recorded_at: the same, in ISO 8601.
    """

    shape: int
    version: int
    position: int
    recorded_at: str
    state: bytes


class FromSnapshot(NamedTuple):
    """A stream and the ledger's head in one reading.

    Attributes:
        snapshot: None if there is none of the shape.
        rows: what came after it, or all of the stream, in order.
    """

    head: int
    snapshot: Snapshot | None
    rows: list[StreamRow]


class Snapshots(Protocol):
    """At most one snapshot of each stream."""

    def read(self, stream: str, shape: int) -> FromSnapshot:
        """Return a stream from its snapshot on, and the head: see `Recorder.read_stream`."""

    def keep(self, stream: str, snapshot: Snapshot) -> None:
        """Keep a snapshot in place of an older one, or of one of another shape."""

    def streams(self, after: str, limit: int) -> list[tuple[str, Snapshot]]:
        """Return what is kept, in order of the streams' names, those after one; to verify it."""


def from_rows(found: list[tuple[Any, ...]], shape: int) -> FromSnapshot:
    """Return what rows as the databases read them say; see `SqliteSnapshots`."""
    found.sort(key=_VERSION)
    snapshot = None
    if found[0][1] < 0:
        position, below, recorded_at, state = found[0]
        snapshot = Snapshot(shape, -below, position, recorded_at, state)
        del found[0]
    head: int = found[0][0]
    del found[0]
    return FromSnapshot(head, snapshot, found)
