"""A ledger in memory, for tests: gone with its process, otherwise like the other two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from eventsourcing.persistence import StoredEvent

from ledger.store import eventsourcing_adapter
from ledger.store.contract import EVERYTHING, Row, StreamRow, VersionConflict, entries_of, passed
from ledger.store.lineage import Lineage
from ledger.store.snapshots import MemorySnapshots
from ledger.store.text_keys import MemoryTextKeys


class MemoryRecorder(eventsourcing_adapter.LibraryReads):
    """The recorder contract over a list of rows and an index of the streams."""

    def __init__(self) -> None:
        self.text_keys = MemoryTextKeys()
        self.snapshots = MemorySnapshots(self)
        self.lineage = Lineage()
        self._lock = RLock()
        self._rows: list[Row] = []
        self._streams: dict[str, dict[int, Row]] = {}

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        """Record all of the events or none: see `Recorder.insert_events`."""
        entries = entries_of(stored_events, kwargs)
        with self._lock:
            added: dict[str, int] = {}
            for stream, version, _, _ in entries:
                reached = max(self._streams.get(stream, {}), default=0)
                added[stream] = added.get(stream, 0) + 1
                if version != reached + added[stream]:
                    raise VersionConflict(stream, version, reached)
            for required in kwargs.get("required", ()):
                reached = max(self._streams.get(required.stream, {}), default=0)
                if reached != required.version:
                    raise passed(required, reached)
            first = len(self._rows) + 1
            rows = [Row(position, *entry) for position, entry in enumerate(entries, first)]
            for row in rows:
                self._streams.setdefault(row.stream, {})[row.version] = row
            self._rows += rows
        return [row.position for row in rows]

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """See `Recorder.read_stream`."""
        with self._lock:
            rows = sorted(self._streams.get(stream, {}).values(), key=lambda row: row.version)
            wanted = [row for row in rows if row.version > after][:limit]
            return len(self._rows), [(row[0], *row[2:]) for row in wanted]

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        """See `Recorder.read_streams`."""
        with self._lock:
            rows = [
                row
                for stream, version in after.items()
                for row in self._streams.get(stream, {}).values()
                if version < row.version <= version + most
            ]
            return len(self._rows), sorted(rows)

    def read_positions(self, positions: Sequence[int]) -> list[Row]:
        """See `Recorder.read_positions`."""
        with self._lock:
            last = len(self._rows)
            return [self._rows[at - 1] for at in sorted(set(positions)) if 0 < at <= last]

    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """See `Recorder.read_from`."""
        with self._lock:
            last = len(self._rows) if upto is None else max(upto, 0)
            return self._rows[max(after, 0) : last][:limit]

    def head(self) -> int:
        """See `Recorder.head`."""
        return len(self._rows)

    def clock(self) -> float | None:
        """See `Recorder.clock`."""
        return None

    def look_back(self) -> None:
        """Do nothing: what is in memory never goes back."""

    def close(self) -> None:
        """Nothing to close: the events go with the recorder."""


class Factory(eventsourcing_adapter.LedgerFactory):
    """What the library finds through PERSISTENCE_MODULE."""

    def application_recorder(self) -> MemoryRecorder:
        """Make an empty ledger."""
        return MemoryRecorder()
