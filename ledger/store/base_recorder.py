"""Reading streams with the least work: what SQLite and PostgreSQL share of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from ledger.store.contract import EVERYTHING, Row, StreamRow
from ledger.store.eventsourcing_adapter import LibraryReads

_VERSION = itemgetter(1)


class StreamReads(LibraryReads):
    """Reads streams, or nothing of them where the head says that nothing is new."""

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """See `Recorder.read_stream`."""
        if seen >= 0 and self._rests(seen):
            return seen, []
        return self._read_stream(stream, after, limit)

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        """See `Recorder.read_streams`."""
        if seen >= 0 and self._rests(seen):
            return seen, []
        return self._read_streams(after, most)

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
