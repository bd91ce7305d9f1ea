"""The one module that knows the eventsourcing library: its errors, and what its Application asks.

The library's own reads are answered from the contract's (`ledger.store.contract.Recorder`), so that
there is one set of SQL for each database and both ways of reading agree.

What a move to version 10 takes: the errors come from `eventsourcing.errors`; `Application` is gone,
so `ledger.book.Book` makes its recorder itself (the factories below, and PERSISTENCE_MODULE, go);
`select_events` and `select_notifications` are then needed by nobody.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from eventsourcing.application import Application
from eventsourcing.persistence import (
    ApplicationRecorder,
    DatabaseError,
    DataError,
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    InternalError,
    Notification,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
    TrackingRecorder,
)

if TYPE_CHECKING:
    from ledger.store.contract import Row, StreamRow

# What the rest of Keyfold uses of the library; nothing else imports it.
__all__ = [
    "Application",
    "DataError",
    "DatabaseError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "LedgerFactory",
    "LibraryReads",
    "NotSupportedError",
    "Notification",
    "OperationalError",
    "PersistenceError",
    "ProgrammingError",
    "StoredEvent",
    "fault_class",
]

PAGE_ROWS = 1000

# PEP 249 gives every driver these exceptions, and the library has its own by the same names.
_FAULTS = {
    fault.__name__: fault
    for fault in (
        InterfaceError,
        OperationalError,
        DataError,
        IntegrityError,
        InternalError,
        ProgrammingError,
        NotSupportedError,
    )
}


def fault_class(driver: ModuleType, error: Exception) -> type[PersistenceError]:
    """Return the library's class for an exception that a driver has raised.

    A driver has no nearer word for what cannot be read of a file, or is damaged in it: that is a
    fault of the database, and no mistake of ours.
    """
    for name, fault in _FAULTS.items():
        if isinstance(error, getattr(driver, name)):
            return fault
    return OperationalError


class LibraryReads(ApplicationRecorder):
    """The library's reading methods on top of a store's `read_stream`, `read_from` and `head`."""

    @abstractmethod
    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """See `Recorder.read_stream`."""

    @abstractmethod
    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """See `Recorder.read_from`."""

    @abstractmethod
    def head(self) -> int:
        """See `Recorder.head`."""

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> list[StoredEvent]:
        """Return the events of a stream with `gt` < version <= `lte`."""
        whole = desc or lte is not None
        stream = str(originator_id)
        _, rows = self.read_stream(stream, gt or 0, None if whole else limit)
        wanted = [row for row in rows if lte is None or row[1] <= lte]
        ordered = wanted[::-1] if desc else wanted
        return [
            StoredEvent(stream, version, name, state) for _, version, name, state in ordered[:limit]
        ]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """Return the events from position `start` to `stop`, if given only those of `topics`."""
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        found: list[Notification] = []
        for row in self._rows_from(after, stop, PAGE_ROWS if topics else limit):
            if not topics or row.name in topics:
                found.append(
                    Notification(row.stream, row.version, row.name, row.state, id=row.position)
                )
            if len(found) == limit:
                break
        return found

    def _rows_from(self, after: int, upto: int | None, page: int) -> Iterator[Row]:
        while rows := self.read_from(after, page, upto):
            yield from rows
            after = rows[-1].position

    def max_notification_id(self) -> int | None:
        """Return the last position, None when the ledger is empty."""
        return self.head() or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> NoReturn:
        """Refuse: who follows the ledger reads it from a position (`read_from`)."""
        raise NotSupportedError("the ledger has no subscriptions: read it from a position")


class LedgerFactory(InfrastructureFactory[TrackingRecorder]):
    """What the three `Factory` classes share: they make the ledger's recorder and nothing else.

    A persistence module may hold only one factory, so refer to this one by its module.
    """

    def aggregate_recorder(self, purpose: str = "events") -> NoReturn:
        """Refuse: the ledger keeps no snapshots of the library's making."""
        raise NotSupportedError(f"the ledger keeps no {purpose} beside its own")

    def tracking_recorder(
        self,
        tracking_recorder_class: type[TrackingRecorder] | None = None,
    ) -> NoReturn:
        """Refuse: projections keep their checkpoints in tables of their own."""
        raise NotSupportedError("the ledger keeps no tracking records")

    def process_recorder(self) -> NoReturn:
        """Refuse: projections keep their checkpoints in tables of their own."""
        raise NotSupportedError("the ledger keeps no tracking records")
