"""The contract of the three stores: what a recorder takes, answers and raises.

A ledger is one sequence of events. The N-th event ever recorded has *position* N: positions start
at 1, have no gaps, and grow in the order of the commits, so a reader that follows them misses
nothing. Every event also has a place in its stream, the *version*, and (stream, version) is taken
only once: that is the only lock there is.

    positions = recorder.insert_events([StoredEvent("key-1f", 1, "key.key_issued@1", b"{}")])
    head, rows = recorder.read_stream("key-1f")         # [(1, 1, "key.key_issued@1", b"{}")]

`ledger.store.memory`, `.sqlite` and `.postgres` keep this contract; `tests/store/test_contract.py`
holds them to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ledger.store.eventsourcing_adapter import (
    DataError,
    IntegrityError,
    Notification,
    NotSupportedError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)

if TYPE_CHECKING:
    from ledger.store.bulk_load import Filling
    from ledger.store.lineage import Lineage
    from ledger.store.signed_checkpoints import SignedCheckpoints
    from ledger.store.snapshots import Snapshots
    from ledger.store.text_keys import TextKeys
    from ledger.store.token_uses import TokenUses


VERSION_MAX = 2**63 - 1
EVERYTHING = 2**62  # more than any stream has, and can be added to a version


class Row(NamedTuple):
    """One event exactly as it is stored.

    Attributes:
        position: its place in the whole ledger, from 1, without gaps.
        stream: the stream's id.
        version: its place in the stream, from 1.
        name: what happened and in which shape, e.g. `account.seat_occupied@1`.
        state: the event's JSON.
    """

    position: int
    stream: str
    version: int
    name: str
    state: bytes


# An event of a stream that is known, as the driver answers it: position, version, name, state.
StreamRow = tuple[int, int, str, bytes]


class Entry(NamedTuple):
    """One event on its way into the ledger: a `Row` that has no position yet."""

    stream: str
    version: int
    name: str
    state: bytes


def rows_of(stream: str, rows: Iterable[StreamRow]) -> list[Row]:
    """Return the rows of one stream as rows that name it."""
    return [Row(position, stream, version, name, state) for position, version, name, state in rows]


class Required(NamedTuple):
    """A stream that must still be at a version when an append is recorded; it gets no event."""

    stream: str
    version: int


class Append(NamedTuple):
    """The events of one append on their way into the ledger.

    Attributes:
        required: what must hold as well, of streams that get none of the events; each once.
        clock: what has to be added to `time.monotonic()` for the time by the writer's clock, in
            seconds since 1970; None for a time that no clock of this machine told.
        generation: of the ledger that they were decided on (`ledger.store.lineage`); None if they
            depend on nothing that was read.
    """

    entries: list[Entry]
    clock: float | None = None
    generation: int | None = None
    required: tuple[Required, ...] = ()

    @property
    def size(self) -> int:
        """Return how many events it has."""
        return len(self.entries)


class VersionConflict(IntegrityError):
    """The version is not the next of its stream: mostly, another append took it first.

    Nothing was recorded. Load the stream again and decide again.

    Attributes:
        stream: whose version it is.
        expected: the version that we tried to record.
        actual: the version that the stream has reached.
    """

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(stream, expected, actual)
        self.stream = stream
        self.expected = expected
        self.actual = actual

    def __str__(self) -> str:
        what = "is taken" if self.expected <= self.actual else "does not follow"
        return f"version {self.expected} of {self.stream} {what}: it is at version {self.actual}"


class LedgerReplaced(VersionConflict):
    """The ledger is not the one that this was decided on: load everything again, and decide again.

    Nothing was recorded.
    """

    def __str__(self) -> str:
        return f"the ledger went back since version {self.actual} of {self.stream} was read"


class ClockRefused(PersistenceError):
    """The writer's clock is not the database's; nothing was recorded, nor will be until it is."""


class RestoreBegun(OperationalError):
    """A ledger is being restored into the database, or was not to its end: nothing was recorded."""


class ReadOnly(OperationalError):
    """The database is a standby, which takes no changes; it can be read."""


class OutcomeUnknown(OperationalError):
    """The database went away before it answered: the events may or may not be recorded.

    Trying again blindly would meet its own success as a conflict. Read first, and look whether what
    is there is ours.
    """


class Recorder(Protocol):
    """Append events, and read them by stream or by position. Threads may share one."""

    lineage: Lineage

    @property
    def text_keys(self) -> TextKeys:
        """Return the keys of sealed free text, beside the ledger and not in it."""

    @property
    def snapshots(self) -> Snapshots:
        """Return the folded states of long streams, beside the ledger and disposable."""

    @property
    def signed_checkpoints(self) -> SignedCheckpoints:
        """Return the checkpoints that were ever signed, beside the ledger."""

    @property
    def token_uses(self) -> TokenUses:
        """Return when each access token was last used, beside the ledger."""

    def bulk_load(self) -> AbstractContextManager[Filling]:
        """Return what fills the ledger in one transaction: see `ledger.store.bulk_load.filling`."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        """Record all of the events or none; they are durable when this returns.

        Args:
            kwargs: `clock`, `generation` and `required`, as `Append` has them.

        Returns:
            Their positions, in the order of the input; [] for no events.

        Raises:
            DataError: a stream or name that no store can hold; nothing was recorded.
            IntegrityError: the same (stream, version) twice in this append; nothing was recorded.
            VersionConflict: a version is not the next of its stream, or a required one has been
                passed; nothing was recorded.
            LedgerReplaced: the ledger is of a later generation; nothing was recorded.
            ClockRefused: the clock is too far from the database's own; nothing was recorded.
            RestoreBegun: a restore into the database has not ended; nothing was recorded.
            OutcomeUnknown: the connection broke after the events may have been sent.
            OperationalError, InterfaceError: any other fault; certainly nothing was recorded.
        """

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        """Return one stream and the ledger's head in one snapshot.

        Args:
            seen: the ledger's head when the caller had read the stream up to `after`: if it is
                still the same nothing is new, and the store may spare itself the look.

        Returns:
            The position of the ledger's last event, and the stream's rows of version > `after`, in
            order, at most `limit`.
        """

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        """Read several streams, each after a version, and the ledger's head in one snapshot.

        Args:
            most: rows of each stream.
            seen: as for `read_stream`, when all of them were read at one head.

        Returns:
            The position of the ledger's last event, and the rows in order of position.
        """

    def read_positions(self, positions: Sequence[int]) -> list[Row]:
        """Return the rows at some positions, in order of position; where there is none, none."""

    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """Return the rows with `after` < position <= `upto`, in order, at most `limit`.

        A page may end in the middle of an append of several events.
        """

    def head(self) -> int:
        """Return the position of the last event, 0 when the ledger is empty."""

    def clock(self) -> float | None:
        """Return the time by the database's clock, in seconds since 1970; None if it has none."""

    def look_back(self) -> None:
        """Hold the ledger against its mark, and begin a new generation if it has gone back."""

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Return a stream's events, as the library's Application reads them."""

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Return events by position, as the library's Application reads them."""

    def max_notification_id(self) -> int | None:
        """Return the head as the library has it: None when the ledger is empty."""

    def close(self) -> None:
        """Close this process's connections; the recorder cannot be used afterwards."""


def entries_of(stored_events: Sequence[StoredEvent], options: dict[str, Any]) -> list[Entry]:
    """Return what one append holds, checked before it can spoil a commit shared with others.

    Raises:
        NotSupportedError: the library asked for a tracking record in the same transaction.
        DataError: a text that PostgreSQL cannot hold (a NUL, half a surrogate pair), an id that is
            not text, a state that is not bytes, a version below 1.
        IntegrityError: the same (stream, version) twice.
    """
    if options.get("tracking") is not None:
        raise NotSupportedError("the ledger's recorders keep no tracking records")
    entries = [_entry(event) for event in stored_events]
    if len(entries) > 1 and len({entry[:2] for entry in entries}) < len(entries):
        raise IntegrityError("one append holds the same version of a stream twice")
    return entries


def append_of(stored_events: Sequence[StoredEvent], options: dict[str, Any]) -> Append:
    """Return an append with what is known about it: see `entries_of`."""
    entries = entries_of(stored_events, options)
    required = tuple(options.get("required", ()))
    return Append(entries, options.get("clock"), options.get("generation"), required)


def passed(required: Required, reached: int) -> VersionConflict:
    """Return the conflict of an append whose required stream is at another version."""
    return VersionConflict(required.stream, required.version + 1, reached)


def replaced(append: Append) -> LedgerReplaced:
    """Return the fault of an append that was decided on an earlier generation."""
    first = append.entries[0]
    return LedgerReplaced(first.stream, first.version, first.version - 1)


def copy_of(fault: PersistenceError) -> PersistenceError:
    """Return one append's own exemplar of a shared fault: two threads must not raise the same."""
    copy = type(fault)(*fault.args)
    copy.__cause__ = fault.__cause__
    return copy


def _entry(event: StoredEvent) -> Entry:
    stream, version, name = event.originator_id, event.originator_version, event.topic
    if not isinstance(stream, str) or not isinstance(event.state, bytes):
        raise DataError(f"a stream's id must be str, a state bytes: {stream!r}")
    if (
        "\0" in stream
        or "\0" in name
        or not ((stream.isascii() and name.isascii()) or _is_unicode(stream + name))
    ):
        raise DataError(f"no store can hold this text: {stream!r}, {name!r}")
    if not 0 < version <= VERSION_MAX:
        raise DataError(f"versions start at 1: {stream!r}, {version}")
    return Entry(stream, version, name, event.state)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
