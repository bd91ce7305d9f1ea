"""Filling an empty ledger with the events of another: all of them in one transaction, or none.

    with filling(book.store) as filled:
        filled.add(rows)              # as often as there are more
        filled.read_from(0, 1000)     # what is in it by now, which nobody else sees yet

The transaction takes the ledger's turn first, so nobody else can append until it is over, and the
positions are those of the rows. When the block raises, or the process ends, the ledger is as empty
as it was. Rows go through to the database as they come: a filling needs no more memory for a
million events than for a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, Protocol

from ledger.store.contract import Recorder, Row, entries_of
from ledger.store.eventsourcing_adapter import IntegrityError, StoredEvent


class LedgerNotEmpty(Exception):
    """The ledger holds events already."""


class VersionOutOfTurn(IntegrityError):
    """A row's version is not the next one of its stream; rows before it may have been added."""


class Filling(Protocol):
    """A ledger that is being filled."""

    def add(self, rows: Sequence[Row]) -> None:
        """Add the next rows; their positions follow on those that were added before.

        Raises:
            DataError: a text that no store can hold.
            VersionOutOfTurn: a row is not the next version of its stream (docs/adr/0021).
            IntegrityError: a position is taken. After either nothing can be added any more.
        """

    def read_from(self, after: int, limit: int) -> list[Row]:
        """Return what was added, by position: see `Recorder.read_from`."""

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """Return what was added to some streams, in order of position."""

    def insert(
        self, table: LiteralString, columns: Sequence[LiteralString], rows: Sequence[Sequence[Any]]
    ) -> None:
        """Add rows to a table beside the ledger, in the same transaction.

        Raises:
            IntegrityError: there is a row of this key.
        """

    def count(self, table: LiteralString, condition: LiteralString) -> int:
        """Return how many rows a table beside the ledger has.

        Args:
            condition: which ones, in SQL; empty for all.
        """

    def end_restore(self) -> None:
        """Take back, with the commit, that a restore has begun: the first thing that it does.

        See `ledger.store.unfinished_restore`.
        """


@contextmanager
def filling(store: Recorder) -> Iterator[Filling]:
    """Yield what fills a ledger; it holds all that was added when the block ends well, or none.

    Raises:
        LedgerNotEmpty: it holds events.
        PersistenceError: a fault of the database; nothing was changed.
    """
    with store.bulk_load() as filled:
        if filled.read_from(0, 1):
            raise LedgerNotEmpty
        yield filled


def check_rows(rows: Sequence[Row]) -> None:
    """Refuse what no store can hold, with one fault for all three."""
    entries_of([StoredEvent(row.stream, row.version, row.name, row.state) for row in rows], {})


def hold_to_next_versions(rows: Sequence[Row], reached: dict[str, int]) -> None:
    """Refuse a row that is not the next version of its stream.

    Args:
        reached: the last versions of the rows' streams; those without an event may be left out.
    """
    for row in rows:
        belongs = reached.get(row.stream, 0) + 1
        if row.version != belongs:
            raise VersionOutOfTurn(
                f"position {row.position} is version {row.version} of {row.stream!r},"
                f" where version {belongs} belongs"
            )
        reached[row.stream] = belongs
