"""A ledger in memory, for tests: gone with its process, otherwise like the other two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock, RLock
from typing import Any, LiteralString, NoReturn

from ledger.store import eventsourcing_adapter
from ledger.store.bulk_load import Filling, check_rows, hold_to_next_versions
from ledger.store.contract import EVERYTHING, Row, StreamRow, VersionConflict, entries_of, passed
from ledger.store.eventsourcing_adapter import NotSupportedError, StoredEvent
from ledger.store.lineage import Lineage
from ledger.store.signed_checkpoints import SignedCheckpoint
from ledger.store.snapshots import FromSnapshot, Snapshot
from ledger.store.text_keys import TextKey


class MemoryRecorder(eventsourcing_adapter.LibraryReads):
    """The recorder contract over a list of rows and an index of the streams."""

    def __init__(self) -> None:
        self.text_keys = MemoryTextKeys()
        self.snapshots = MemorySnapshots(self)
        self.signed_checkpoints = MemorySignedCheckpoints()
        self.token_uses = MemoryTokenUses()
        self.lineage = Lineage()
        self._lock = RLock()
        self._rows: list[Row] = []
        self._streams: dict[str, dict[int, Row]] = {}

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        """See `Recorder.insert_events`."""
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

    @contextmanager
    def bulk_load(self) -> Iterator[Filling]:
        """See `Recorder.bulk_load`."""
        rows = self.read_from(0, 1)
        yield _MemoryFilling(rows)
        self.insert_events(
            [StoredEvent(row.stream, row.version, row.name, row.state) for row in rows]
        )

    def clock(self) -> float | None:
        """See `Recorder.clock`."""
        return None

    def look_back(self) -> None:
        """Do nothing: what is in memory never goes back."""

    def close(self) -> None:
        """Nothing to close: the events go with the recorder."""


class MemorySnapshots:
    """The snapshots of a ledger in memory."""

    def __init__(self, recorder: MemoryRecorder) -> None:
        self._recorder = recorder
        self._kept: dict[str, Snapshot] = {}

    def read(self, stream: str, shape: int) -> FromSnapshot:
        """See `Snapshots.read`."""
        snapshot = self._kept.get(stream)
        head, rows = self._recorder.read_stream(stream)
        if snapshot is None or snapshot.shape != shape:
            return FromSnapshot(head, None, rows)
        if (snapshot.position, snapshot.version) not in [row[:2] for row in rows]:
            return FromSnapshot(head, None, rows)
        return FromSnapshot(head, snapshot, [row for row in rows if row[1] > snapshot.version])

    def keep(self, stream: str, snapshot: Snapshot) -> None:
        """See `Snapshots.keep`."""
        kept = self._kept.get(stream)
        if kept is None or kept.shape != snapshot.shape or kept.version < snapshot.version:
            self._kept[stream] = snapshot

    def streams(self, after: str, limit: int) -> list[tuple[str, Snapshot]]:
        """See `Snapshots.streams`."""
        return sorted(one for one in self._kept.items() if one[0] > after)[:limit]


class MemoryTextKeys:
    """The keys of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: dict[str, tuple[bytes, str]] = {}

    def get(self, owner: str) -> bytes | None:
        """See `TextKeys.get`."""
        key = self._keys.get(owner)
        return key[0] if key else None

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """See `TextKeys.put_if_absent`."""
        with self._lock:
            return self._keys.setdefault(owner, (wrapped, created_at))[0]

    def destroy(self, owner: str) -> bool:
        """See `TextKeys.destroy`."""
        with self._lock:
            return self._keys.pop(owner, None) is not None

    def all(self) -> Iterator[TextKey]:
        """See `TextKeys.all`."""
        yield from (TextKey(owner, *key) for owner, key in sorted(self._keys.items()))


class MemorySignedCheckpoints:
    """The signed checkpoints of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._signed: dict[tuple[int, str], SignedCheckpoint] = {}

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`."""
        with self._lock:
            return self._signed.setdefault((signed.size, signed.signers), signed)

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        return max(self._signed.values(), default=None)

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        yield from sorted(self._signed.values())


class MemoryTokenUses:
    """The uses of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._uses: dict[str, datetime] = {}

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._lock:
            self._uses[token] = max(hour, self._uses.get(token, hour))

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        return dict(self._uses)


class _MemoryFilling:
    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows
        self._reached: dict[str, int] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """See `Filling.add`."""
        check_rows(rows)
        hold_to_next_versions(rows, self._reached)
        self._rows += rows

    def read_from(self, after: int, limit: int) -> list[Row]:
        """See `Filling.read_from`."""
        return self._rows[after : after + limit]

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """See `Filling.read_streams`."""
        wanted = set(streams)
        return [row for row in self._rows if row.stream in wanted]

    def insert(
        self, table: LiteralString, columns: Sequence[LiteralString], rows: Sequence[Sequence[Any]]
    ) -> NoReturn:
        """Refuse: a ledger in memory has no tables beside it."""
        raise NotSupportedError(f"a ledger in memory has no table {table}")

    def count(self, table: LiteralString, condition: LiteralString) -> int:
        """See `Filling.count`."""
        return 0

    def end_restore(self) -> None:
        """Do nothing: nothing of a ledger in memory is left when its process ends."""


class MemoryFactory(eventsourcing_adapter.LedgerFactory):
    """What the library finds through PERSISTENCE_MODULE."""

    def application_recorder(self) -> MemoryRecorder:
        """Return an empty ledger."""
        return MemoryRecorder()
