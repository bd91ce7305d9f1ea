"""Accounts, and what else has a state, as they were just after positions of the ledger."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from ledger import codec
from ledger.book import Book, LedgerUnavailable
from ledger.events import AnyOccurrence, Stream
from ledger.store.contract import StreamRow
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT

ACCOUNTS_MAX: Final = 1_000
READ_AHEAD_MAX: Final = 1_000  # events of each account

_STREAM: Final = attrgetter("stream")


StateT = TypeVar("StateT")


class _Folded(Struct):
    """A state up to an event, and what was read of its stream beyond.

    Attributes:
        latest: when the latest of what is folded became true.
    """

    state: Any
    position: int = 0
    latest: datetime | None = None
    version_read: int = 0
    ahead: deque[AnyOccurrence] = msgspec.field(default_factory=deque)

    def add(self, rows: Sequence[StreamRow]) -> None:
        """Take in what follows the last that was read, in order."""
        self.ahead.extend(codec.occurrences(rows))
        if rows:
            self.version_read = rows[-1][1]


class StatesAtPositions(Generic[StateT]):
    """States as they were at positions; each event is folded once while positions grow.

    Args:
        most: how many are remembered, the least used dropped first.
    """

    def __init__(self, book: Book, stream: Stream[StateT], most: int) -> None:
        self._book = book
        self._stream = stream
        self._most = most
        self._known: OrderedDict[str, _Folded] = OrderedDict()
        self._generation = book.store.lineage.generation

    def read_ahead(self, ids: Iterable[str]) -> None:
        """Read what was recorded of some of them, all at once, before each is asked for."""
        self._forget_lost()
        folded = {self._stream.name(id): self._of(id) for id in ids}
        after = {name: one.version_read for name, one in folded.items()}
        _, rows = self._book.store.read_streams(after, READ_AHEAD_MAX)
        for name, of_one in groupby(sorted(rows, key=_STREAM), key=_STREAM):
            folded[name].add([(row.position, *row[2:]) for row in of_one])

    def at(self, id: str, position: int) -> StateT:
        """Return a state as it was just after a position."""
        return self.with_latest(id, position)[0]

    def with_latest(self, id: str, position: int) -> tuple[StateT, datetime | None]:
        """Return a state as it was just after a position, and when the latest in it became true.

        Raises:
            LedgerUnavailable: the server that was asked has not come to that position.
        """
        while True:
            self._forget_lost()
            folded = self._folded(id, position)
            if self._generation == self._book.store.lineage.generation:
                return folded.state, folded.latest

    def _forget_lost(self) -> None:
        """Begin anew if the ledger went back: what was folded may be there no more."""
        generation = self._book.store.lineage.generation
        if self._generation != generation:
            self._known.clear()
            self._generation = generation

    def _folded(self, id: str, position: int) -> _Folded:
        folded = self._of(id)
        if folded.position > position:
            folded = self._known[id] = _Folded(self._stream.initial)
        if not folded.ahead or folded.ahead[-1].position < position:
            name = self._stream.name(id)
            head, rows = self._book.store.read_stream(name, after=folded.version_read)
            if head < position:
                raise LedgerUnavailable(f"this server lacks events up to {position}")
            folded.add(rows)
        due = []
        while folded.ahead and folded.ahead[0].position <= position:
            due.append(folded.ahead.popleft())
        folded.state = self._stream.fold(folded.state, due)
        times = [one.occurred_at for one in due]
        folded.latest = max(
            times if folded.latest is None else [folded.latest, *times], default=None
        )
        folded.position = position
        return folded

    def _of(self, id: str) -> _Folded:
        folded = self._known.pop(id, None) or _Folded(self._stream.initial)
        self._known[id] = folded
        if len(self._known) > self._most:
            self._known.popitem(last=False)
        return folded


class AccountsAtPositions(StatesAtPositions[Account]):
    """Accounts as they were at positions."""

    def __init__(self, book: Book, most: int = ACCOUNTS_MAX) -> None:
        super().__init__(book, ACCOUNT, most)
