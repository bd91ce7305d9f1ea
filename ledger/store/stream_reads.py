"""Reading streams with the least work: what SQLite and PostgreSQL share of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from ledger.store.library import LibraryReads
from ledger.store.recorder import EVERYTHING, Row, StreamRow

_VERSION = itemgetter(1)


class StreamReads(LibraryReads):
    """Reads streams, or only the head where it is likely that nothing is new.

    To ask for the head alone costs a third less than to ask for a stream too, but when the head has
    moved it was asked for nothing. So that is done only while the ledger rests: when what was read
    last, by any thread, was found where this is expected to be.
    """

    def __init__(self) -> None:
        # The head that the last read found unchanged. Only a guess at what to ask, so threads may
        # write it as they come.
        self._resting_head = -1

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """See `Recorder.read_stream`."""
        if self._rests(seen):
            return seen, []
        head, rows = self._read_stream(stream, after, limit)
        self._resting_head = head if head == seen else -1
        return head, rows

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        """See `Recorder.read_streams`."""
        if self._rests(seen):
            return seen, []
        head, rows = self._read_streams(after, most)
        if seen >= 0:
            self._resting_head = head if head == seen else -1
        return head, rows

    def _rests(self, seen: int) -> bool:
        return seen >= 0 and seen == self._resting_head and self.head() == seen

    @abstractmethod
    def _read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> tuple[int, list[StreamRow]]:
        """Read the head and the rows in one statement."""

    @abstractmethod
    def _read_streams(self, after: Mapping[str, int], most: int) -> tuple[int, list[Row]]:
        """Read the head and the rows in one statement."""


def split_head(rows: list[tuple[Any, ...]]) -> tuple[int, list[StreamRow]]:
    """Split off the row of version 0, which is the head's, and put the others in order.

    The databases answer them in order, as their index has it, but do not promise to. To sort what
    is in order costs a fortieth of fetching it; to have them promise costs more.
    """
    if len(rows) > 1:
        rows.sort(key=_VERSION)
    head: int = rows[0][0]
    del rows[0]
    return head, rows
