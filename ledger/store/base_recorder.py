"""What the recorders of SQLite and PostgreSQL share: group commit, and reading with little work."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from ledger.durations import APPENDS, COUNTS, READS
from ledger.store.connections import PerProcess
from ledger.store.contract import EVERYTHING, Append, Row, StreamRow, append_of
from ledger.store.eventsourcing_adapter import LibraryReads, StoredEvent
from ledger.store.group_commit import GroupCommit

BATCH_EVENTS_MAX = 1000

Outcome = list[int] | Exception

_VERSION = itemgetter(1)


class BaseRecorder(LibraryReads):
    """Appends of several threads share a commit; what the head says is not new is not read."""

    def __init__(self) -> None:
        super().__init__()
        self._group_commit = PerProcess(
            lambda: GroupCommit[Append, list[int]](
                self._counted_commit, lambda append: append.size, BATCH_EVENTS_MAX
            )
        )

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        """See `Recorder.insert_events`."""
        append = append_of(stored_events, kwargs)
        if not append.entries:
            return []
        began = time.perf_counter()
        try:
            positions = self._group_commit().submit(append)
        except Exception as error:
            APPENDS.add(time.perf_counter() - began, error)
            raise
        APPENDS.add(time.perf_counter() - began)
        return positions

    def _counted_commit(self, appends: Sequence[Append]) -> list[Outcome]:
        COUNTS["commits"] += 1
        COUNTS["appends"] += len(appends)
        return self._commit(appends)

    @abstractmethod
    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit a batch of appends, each all or nothing; return the outcome of each."""

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """See `Recorder.read_stream`."""
        if seen >= 0 and self._rests(seen):
            COUNTS["reads_kept"] += 1
            return seen, []
        began = time.perf_counter()
        found = self._read_stream(stream, after, limit)
        READS.add(time.perf_counter() - began)
        return found

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        """See `Recorder.read_streams`."""
        if seen >= 0 and self._rests(seen):
            COUNTS["reads_kept"] += 1
            return seen, []
        began = time.perf_counter()
        found = self._read_streams(after, most)
        READS.add(time.perf_counter() - began)
        return found

    @abstractmethod
    def _rests(self, seen: int) -> bool:
        """Return whether the head is where it was seen, if that costs less than to read."""

    @abstractmethod
    def _read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> tuple[int, list[StreamRow]]:
        """Read the head and the rows in one statement."""

    @abstractmethod
    def _read_streams(self, after: Mapping[str, int], most: int) -> tuple[int, list[Row]]:
        """Read the head and the rows in one statement."""


def split_head(rows: list[tuple[Any, ...]]) -> tuple[int, list[StreamRow]]:
    """Return the head, from the row of version 0, and the other rows in order.

    The databases answer them in order, as their index has it, but do not promise to. To sort what
    is in order costs a fortieth of fetching it; to have them promise costs more.
    """
    if len(rows) > 1:
        rows.sort(key=_VERSION)
    head: int = rows[0][0]
    del rows[0]
    return head, rows
