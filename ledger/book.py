"""The book: every stream of the ledger, loaded, decided upon and appended to.

    account = book.load(ACCOUNT, "acme")                    # its state now, whoever wrote last
    facts = occupy(account.state, …)                        # a pure decision
    appended = book.append(context, Change(account, facts))   # recorded once, or VersionConflict

A load reads only what is newer than the state it remembers, so it is right across processes with no
invalidation. An append states, for each stream, the version that the decision was made on; when
another came between, nothing at all is recorded.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec import UNSET

from ledger import codec
from ledger.cache import StateCache
from ledger.events import (
    AnyEvent,
    AnyOccurrence,
    Event,
    Fact,
    RequestContext,
    SnapshotFormat,
    Stream,
)
from ledger.loaded import Loaded, empty_stream
from ledger.min_position import hold_to_min_position
from ledger.store import Recorder, open_environment
from ledger.store.contract import (
    ClockRefused,
    OutcomeUnknown,
    Required,
    Row,
    StreamRow,
    VersionConflict,
)
from ledger.store.eventsourcing_adapter import (
    Application,
    InterfaceError,
    OperationalError,
    PersistenceError,
    StoredEvent,
)
from ledger.store.snapshots import Snapshot
from ledger.stream_locks import BestEffortLock, StreamLocks

StateT = TypeVar("StateT")

_log = logging.getLogger("keyfold.ledger")

CLOCK_TOLERANCE_S = 60  # as keyfold_refuse_clock has it
CLOCKS_APART_S = 2 * CLOCK_TOLERANCE_S  # at most, of two that are each right
APPEND_TRIES_MAX = 5
APPEND_RETRY_S = 0.2
APPEND_WITHIN_S = 4.0  # no try but one that has to find out what became of it begins after that
FOLLOW_PAGE = 1_000
# How long a server is waited for that lags behind another one.
LAG_S = 1.0
LAG_POLL_S = 0.02
# A snapshot is kept once so many events were folded after the last one, and only when it is not
# much larger than what it spares reading: an account may have more holders than events of late.
SNAPSHOT_EVENTS = 500
SNAPSHOT_BYTES_PER_EVENT = 200


class LedgerUnavailable(Exception):
    """The ledger's database cannot be reached, or did not say whether it recorded: try again."""


class ClockWrong(LedgerUnavailable):
    """This machine's clock is more than a minute from the database's own; nothing is recorded."""


class MixedClocks(Exception):
    """Events of a test clock and of the real one cannot be in one ledger."""


class Dated(NamedTuple):
    """A fact that became true before it is recorded.

    Attributes:
        occurred_at: when; one that is still to come on our clock counts as now.
        causation: the event of another stream that it follows from, if not that of its change.
    """

    fact: Fact
    occurred_at: datetime
    causation: str | None = None


class Change(NamedTuple):
    """Facts to append to one stream, after the version they were decided on.

    Without facts the stream need not be at that version, unless it is `required`.

    Attributes:
        causation: the event of another stream they follow from, as `Loaded.next_event` has it.
    """

    loaded: Loaded[Any]
    facts: Sequence[Fact | Dated]
    causation: str | None = None
    required: bool = False


class Appended(NamedTuple):
    """What an append made.

    Attributes:
        position: of the last event recorded; the ledger's head when there was nothing to record.
        loaded: each change's stream with its facts folded in, in the order given.
    """

    position: int
    loaded: tuple[Loaded[Any], ...]


class Book(Application[str]):
    """The ledger on one database: `sqlite:///PATH`, `postgresql://…`, or `memory:` for tests."""

    name = "keyfold"

    def __init__(self, database_url: str, *, test_clock: bool = False, memo_streams: int = 10_000):
        """Open the ledger; its tables must exist (`keyfold db upgrade`).

        Args:
            test_clock: the program runs on a test clock.
            memo_streams: how many streams' states are remembered, the least used dropped first.

        Raises:
            MixedClocks: on a test clock, and the ledger holds events of the real one.
        """
        super().__init__(env=open_environment(database_url))
        self.store = cast(Recorder, self.recorder)
        self._cache = StateCache(self.store.lineage, memo_streams)
        self._marked: bool | None = None
        self._clock_is_wrong = self._told_ahead = False
        self._locks = StreamLocks()
        if test_clock and self._first_is_marked() is False:
            raise MixedClocks("the ledger holds events of the real clock: unset KEYFOLD_TEST_CLOCK")

    # Reading

    def load(self, stream: Stream[StateT], id: str, reached: int | None = None) -> Loaded[StateT]:
        """Return a stream's state with everything that was recorded before this call.

        Args:
            reached: where the ledger was when the caller looked last; everything up to there is
                enough. What is remembered from there or later is then answered without a look.

        What is not remembered of a stream that may be long begins with the snapshot that is kept of
        it, if there is one; after many events a new one is kept.
        """
        while True:
            known = self._cache.get(stream, id)
            if reached is not None and known.version and known.head >= reached:
                hold_to_min_position(known.head)
                return known
            if not known.version and stream.kind in codec.SNAPSHOT_FORMATS:
                loaded = self._from_snapshot(known, codec.SNAPSHOT_FORMATS[stream.kind])
            else:
                head, rows = self.store.read_stream(
                    known.name, after=known.version, seen=known.head
                )
                loaded = known.after(codec.occurrences(rows), head) if rows else known.at(head)
                self._saw(rows, head, known.head)
            if loaded.generation == self.store.lineage.generation:
                loaded = loaded if loaded is known else self._cache.keep(loaded)
                hold_to_min_position(loaded.head)
                return loaded

    def load_all(self, *wanted: tuple[Stream[Any], str]) -> tuple[Loaded[Any], ...]:
        """Return several streams' states at one moment, in one reading: see `load`."""
        generation = -1
        while generation != self.store.lineage.generation:
            generation = self.store.lineage.generation
            known = [self._cache.get(stream, id) for stream, id in wanted]
            heads = {one.head for one in known}
            head, rows = self.store.read_streams(
                {one.name: one.version for one in known},
                most=SNAPSHOT_EVENTS,
                seen=heads.pop() if len(heads) == 1 else -1,
            )
            self._saw([(*row[:1], *row[2:]) for row in rows[-1:]], head, max(k.head for k in known))
        hold_to_min_position(head)
        rows_of: defaultdict[str, list[StreamRow]] = defaultdict(list)
        for position, stream, version, name, state in rows:
            rows_of[stream].append((position, version, name, state))
        return tuple(
            self._after(one, rows_of[one.name], head)
            if len(rows_of[one.name]) < SNAPSHOT_EVENTS
            else self.load(one.stream, one.id)  # there may be more of it, and a snapshot
            for one in known
        )

    def _after(self, known: Loaded[StateT], rows: Sequence[StreamRow], head: int) -> Loaded[StateT]:
        if rows:
            return self._cache.keep(known.after(codec.occurrences(rows), head))
        return known if head == known.head else self._cache.keep(known.at(head))

    def load_many(self, stream: Stream[StateT], ids: Sequence[str]) -> dict[str, Loaded[StateT]]:
        """Return many streams' states by id, without remembering them; for batches of keys."""
        events: dict[str, list[AnyEvent]] = {stream.name(id): [] for id in ids}
        generation = self.store.lineage.generation
        head, rows = self.store.read_streams(dict.fromkeys(events, 0))
        hold_to_min_position(head)
        for row in rows:
            events[row.stream].append(codec.decode(row))
        return {
            id: empty_stream(stream, id, generation=generation).after(events[stream.name(id)], head)
            for id in ids
        }

    def history(self, stream: Stream[Any], id: str) -> tuple[int, list[AnyEvent]]:
        """Return the ledger's head and all events of a stream, in order."""
        name = stream.name(id)
        head, rows = self.store.read_stream(name)
        hold_to_min_position(head)
        return head, [
            codec.decode(Row(position, name, version, fact, state))
            for position, version, fact, state in rows
        ]

    def facts_since(self, stream: Stream[Any], id: str, version: int) -> list[Fact]:
        """Return what happened to a stream after a version, in order."""
        _, rows = self.store.read_stream(stream.name(id), after=version)
        return [event.fact for event in codec.occurrences(rows)]

    def occurrences(self, stream: Stream[Any], id: str) -> tuple[int, Iterator[AnyOccurrence]]:
        """Return the ledger's head, and of all events of a stream what a fold needs, in order."""
        head, rows = self.store.read_stream(stream.name(id))
        hold_to_min_position(head)
        return head, codec.occurrences(rows)

    def follow(self, after: int, upto: int | None = None) -> Iterator[AnyEvent]:
        """Return the events of the whole ledger after a position, in order, page by page."""
        while page := self.store.read_from(after, FOLLOW_PAGE, upto):
            yield from map(codec.decode, page)
            after = page[-1].position

    def head(self) -> int:
        """Return the last position of the ledger; 0 when it is empty."""
        head = self.store.head()
        hold_to_min_position(head)
        return head

    def events_at(self, positions: Sequence[int]) -> list[AnyEvent]:
        """Return the events at some positions, all of which were recorded, in order of position.

        One that is missing, though later ones are there, is left out, and the log names it.

        Raises:
            LedgerUnavailable: the server that was asked lags behind the one that told of them.
        """
        rows = {row.position: row for row in self.store.read_positions(positions)}
        until = time.monotonic() + LAG_S
        for missing in sorted({*positions}.difference(rows)):
            # Positions are in the order of the commits: a server that has a later one has this one.
            while not (page := self.store.read_from(missing - 1, 1)):
                if time.monotonic() > until:
                    raise LedgerUnavailable(f"this server lacks events up to {max(positions)}")
                time.sleep(LAG_POLL_S)
            if page[0].position == missing:
                rows[missing] = page[0]
            else:
                _log.error("position %s is missing; see `keyfold replay --verify`", missing)
        return [codec.decode(rows[position]) for position in sorted(rows)]

    def remembers(self, stream: Stream[Any], id: str) -> bool:
        """Return whether anything is remembered of a stream, however old."""
        return self._cache.get(stream, id).version > 0

    def _saw(self, rows: Sequence[StreamRow], head: int, known: int) -> None:
        """Note what was read; look whether the ledger has gone back if its head has."""
        if rows:
            self.store.lineage.saw(rows[-1][0], rows[-1][3])
        if head < known:
            self.store.look_back()

    # Writing

    def append(self, context: RequestContext, *changes: Change) -> Appended:
        """Record facts in one or several streams, all of them or none, and return what that made.

        Raises:
            VersionConflict: a stream has moved since it was loaded; load it and decide again.
            LedgerUnavailable: the database cannot be reached; nothing is half done, and a command
                that is repeated finds out whether it had been recorded.
            MixedClocks: the ledger's events are on another clock than the request.
        """
        if self._first_is_marked() not in (None, context.test_clock):
            raise MixedClocks("the ledger is on another clock: see KEYFOLD_TEST_CLOCK")
        appending = [list(_events(context, change)) for change in changes]
        events = list(itertools.chain.from_iterable(appending))
        if not events:
            head = max(change.loaded.head for change in changes)
            return Appended(head, tuple(change.loaded for change in changes))
        stored = [
            StoredEvent(event.stream, event.version, event.name, codec.encode_event(event))
            for event in events
        ]
        try:
            positions = self._insert(stored, context, changes)
        except VersionConflict as conflict:
            for change in changes:
                self._cache.invalidate(change.loaded)
                if change.loaded.name == conflict.stream:
                    self._hold_back(change.loaded, conflict)
            raise
        self._clock_is_wrong = False
        self.store.lineage.saw(positions[-1], stored[-1].state)
        self._tell_if_ahead(max(event.recorded_at for event in events), context)
        for event, position in zip(events, positions, strict=True):
            event.position = position
        loaded = tuple(
            self._cache.keep(change.loaded.after(its), is_new=not change.loaded.version)
            if its
            else change.loaded
            for change, its in zip(changes, appending, strict=True)
        )
        return Appended(events[-1].position, loaded)

    def _hold_back(self, loaded: Loaded[Any], conflict: VersionConflict) -> None:
        """Notice that a stream is shorter than it was when it was loaded."""
        lineage = self.store.lineage
        if conflict.actual < loaded.version and loaded.generation == lineage.generation:
            lineage.begin(
                f"the ledger went back: {loaded.name} had reached version {loaded.version},"
                f" and is at {conflict.actual}"
            )

    def _insert(
        self, stored: Sequence[StoredEvent], context: RequestContext, changes: Sequence[Change]
    ) -> Sequence[int]:
        # An append may be repeated without harm, since the streams' versions let it in only once.
        # What a lost connection leaves open is settled by the next try: either it goes in now, or
        # it conflicts, and then the rows tell whether they are ours.
        unsure = False
        until = time.monotonic() + APPEND_WITHIN_S
        # What nothing has happened to is no memory of anything.
        read = (change.loaded.generation for change in changes if change.loaded.version)
        options = {
            "clock": context.clock,
            "generation": min(read, default=None),
            "required": [
                Required(change.loaded.name, change.loaded.version)
                for change in changes
                if change.required and not change.facts
            ],
        }
        for tries_left in reversed(range(APPEND_TRIES_MAX)):
            try:
                return self._insert_once(stored, options, unsure=unsure)
            except ClockRefused as error:
                if not self._clock_is_wrong:
                    _log.error("nothing is recorded: %s", error)
                self._clock_is_wrong = True
                raise ClockWrong(str(error)) from error
            except (OperationalError, InterfaceError) as error:
                is_late = time.monotonic() > until
                has_to_look = isinstance(error, OutcomeUnknown) and not unsure
                unsure = unsure or has_to_look
                if not tries_left or (is_late and not has_to_look):
                    raise LedgerUnavailable(str(error)) from error
                time.sleep(APPEND_RETRY_S)
        raise AssertionError("unreachable")

    def _insert_once(
        self, stored: Sequence[StoredEvent], options: dict[str, Any], *, unsure: bool
    ) -> Sequence[int]:
        try:
            return self.store.insert_events(stored, **options)
        except VersionConflict:
            ours = self._positions_if_ours(stored) if unsure else None
            if ours is None:
                raise
            return ours

    def _positions_if_ours(self, stored: Sequence[StoredEvent]) -> list[int] | None:
        streams = {str(event.originator_id) for event in stored}
        _, found = self.store.read_streams(dict.fromkeys(streams, 0))
        rows = {(row.stream, row.version): row for row in found}
        positions = []
        for event in stored:
            row = rows.get((str(event.originator_id), event.originator_version))
            if row is None or (row.name, row.state) != (event.topic, event.state):
                return None
            positions.append(row.position)
        return positions

    def lock(self, stream: Stream[Any], id: str) -> BestEffortLock:
        """Return the lock of a stream, for threads of this process that decide on the same one."""
        return self._locks.of(stream, id)

    # What is cached

    def _from_snapshot(
        self, new: Loaded[StateT], packing: SnapshotFormat[StateT]
    ) -> Loaded[StateT]:
        head, snapshot, rows = self.store.snapshots.read(new.name, packing.shape)
        try:
            known = new
            if snapshot:
                known = new._replace(
                    state=packing.unpack(snapshot.state),
                    version=snapshot.version,
                    recorded_at=datetime.fromisoformat(snapshot.recorded_at),
                    head=head,
                )
        except (msgspec.DecodeError, ValueError):
            # It is damaged, which is for a replay to find; a reader folds the events.
            known = new
            head, rows = self.store.read_stream(new.name)
        loaded = known.after(codec.occurrences(rows), head) if rows else known.at(head)
        self._saw(rows, head, 0)
        if len(rows) >= SNAPSHOT_EVENTS:
            self._keep_snapshot(loaded, packing, position=rows[-1][0], spared=len(rows))
        return loaded

    def _keep_snapshot(
        self, loaded: Loaded[StateT], packing: SnapshotFormat[StateT], *, position: int, spared: int
    ) -> None:
        packed = packing.pack(loaded.state)
        if loaded.recorded_at is None or len(packed) > spared * SNAPSHOT_BYTES_PER_EVENT:
            return
        snapshot = Snapshot(
            packing.shape, loaded.version, position, loaded.recorded_at.isoformat(), packed
        )
        with suppress(PersistenceError):  # a standby is read only; nothing but time is lost
            self.store.snapshots.keep(loaded.name, snapshot)

    # Clocks

    def ahead_of(self, now: datetime) -> str | None:
        """Return how far the ledger is ahead of a clock; None if it is not.

        It is when an event was recorded by another clock. All that this process has read counts,
        and the last event.
        """
        rows = self.store.read_positions([self.store.head()])
        times = [codec.recorded_at(row) for row in rows]
        latest = max([*times, *([latest] if (latest := self._cache.latest) else [])], default=now)
        if (latest - now).total_seconds() <= CLOCKS_APART_S:
            return None
        return (
            f"the ledger is ahead of the clock: it holds an event of {latest:%Y-%m-%dT%H:%M:%SZ},"
            f" and this machine says that it is {now:%Y-%m-%dT%H:%M:%SZ}"
        )

    def _tell_if_ahead(self, recorded_at: datetime, context: RequestContext) -> None:
        """Log once that a stream is ahead of the clock."""
        is_ahead = (recorded_at - context.now).total_seconds() > CLOCKS_APART_S
        if is_ahead and not (self._told_ahead or context.test_clock):
            self._told_ahead = True
            _log.warning(
                "the ledger is ahead of the clock: a stream has an event of %s, and it is %s",
                recorded_at.isoformat(),
                context.now.isoformat(),
            )

    def _first_is_marked(self) -> bool | None:
        """Return whether the ledger is on a test clock; None while it is empty."""
        if self._marked is None and (first := self.store.read_from(0, 1)):
            self._marked = codec.decode(first[0]).test_clock
        return self._marked


def _events(context: RequestContext, change: Change) -> Iterator[AnyEvent]:
    # A stream's `recorded_at` never goes back, even after a clock that was wrong. What became true
    # did so by the clock that it was decided on; but of clocks that are right to the minute none
    # puts what follows before what it follows.
    recorded_at = max(context.now, change.loaded.recorded_at or context.now)
    is_right = (recorded_at - context.now).total_seconds() <= CLOCKS_APART_S
    now = recorded_at if is_right else context.now
    for version, given in enumerate(change.facts, start=change.loaded.version + 1):
        dated = given if isinstance(given, Dated) else Dated(given, now)
        yield Event(
            fact=dated.fact,
            recorded_at=recorded_at,
            occurred_at=min(dated.occurred_at, now),
            actor=context.actor,
            request_id=context.request_id,
            causation=dated.causation or change.causation,
            test_clock=context.test_clock,
            clock=UNSET if is_right else now,
            stream=change.loaded.name,
            version=version,
            name=codec.name_of(dated.fact),
        )
