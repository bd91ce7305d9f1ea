"""The book: every stream of the ledger, loaded, decided upon and appended to.

    account = book.load(ACCOUNT, "acme")                    # its state now, whoever wrote last
    facts = occupy(account.state, …)                        # a pure decision
    appended = book.append(stamp, Change(account, facts))   # recorded once, or VersionConflict

A load reads only what is newer than the state it remembers, so it is right across processes with no
invalidation. An append states, for each stream, the version that the decision was made on; when
another came between, nothing at all is recorded.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast

from eventsourcing.application import Application, LRUCache
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent

from ledger import codec
from ledger.events import AnyEvent, Envelope, Event, Fact, Stamp, Stream
from ledger.store import Recorder, open_environment
from ledger.store.recorder import OutcomeUnknown, VersionConflict

StateT = TypeVar("StateT")

APPEND_TRIES_MAX = 5
APPEND_RETRY_S = 0.2
FOLLOW_PAGE = 1_000


class LedgerUnavailable(Exception):
    """The ledger's database cannot be reached, or did not say whether it recorded: try again."""


class MixedClocks(Exception):
    """Events of a test clock and of the real one cannot be in one ledger."""


class Loaded(NamedTuple, Generic[StateT]):
    """A stream's state, and the place in the ledger that it was folded up to.

    Attributes:
        version: of the last event; 0 for a stream that nothing happened to.
        recorded_at: of the last event.
        head: the ledger's last position when the stream was read.
    """

    stream: Stream[StateT]
    id: str
    state: StateT
    version: int
    recorded_at: datetime | None
    head: int

    @property
    def name(self) -> str:
        return self.stream.name(self.id)

    @property
    def next_event(self) -> str:
        """What `causation` calls the event that is appended to this state next."""
        return f"{self.name}/{self.version + 1}"

    def after(self, events: Sequence[AnyEvent]) -> Loaded[StateT]:
        """Answer the state with the next events folded in."""
        if not events:
            return self
        last = events[-1]
        return Loaded(
            self.stream,
            self.id,
            self.stream.fold(self.state, events),
            last.version,
            last.recorded_at,
            max(self.head, last.position),
        )


def unwritten(stream: Stream[StateT], id: str, head: int = 0) -> Loaded[StateT]:
    """Answer a stream that nothing has happened to; an append to it fails if something has."""
    return Loaded(stream, id, stream.initial, 0, None, head)


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

    Attributes:
        causation: the event of another stream they follow from, as `Loaded.next_event` has it.
    """

    loaded: Loaded[Any]
    facts: Sequence[Fact | Dated]
    causation: str | None = None


class Appended(NamedTuple):
    """What an append made.

    Attributes:
        position: of the last event recorded; the ledger's head when there was nothing to record.
        loaded: each change's stream with its facts folded in, in the order given.
    """

    position: int
    loaded: tuple[Loaded[Any], ...]


def moment(now: datetime, *loaded: Loaded[Any]) -> datetime:
    """Answer the time to decide at: now, but never before what the streams hold already.

    Clocks of several machines differ, and clocks are set back; a stream's history never is.
    """
    return max([now, *(one.recorded_at for one in loaded if one.recorded_at)])


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
        self._memo: LRUCache[str, Loaded[Any]] = LRUCache(memo_streams)
        self._marked: bool | None = None
        if test_clock and self._first_is_marked() is False:
            raise MixedClocks("the ledger holds events of the real clock: unset KEYFOLD_TEST_CLOCK")

    # Reading

    def load(self, stream: Stream[StateT], id: str) -> Loaded[StateT]:
        """Answer a stream's state with everything that was recorded before this call."""
        name = stream.name(id)
        known = self._remembered(stream, id)
        head, rows = self.store.read_stream(name, after=known.version)
        loaded = known._replace(head=head).after([codec.decode(row) for row in rows])
        if rows:
            self._memo.put(name, loaded)
        return loaded

    def load_many(self, stream: Stream[StateT], ids: Sequence[str]) -> dict[str, Loaded[StateT]]:
        """Answer many streams' states by id, without remembering them; for batches of keys."""
        events: dict[str, list[AnyEvent]] = {stream.name(id): [] for id in ids}
        head = self.store.head()
        for row in self.store.read_streams(list(events)):
            events[row.stream].append(codec.decode(row))
        return {id: unwritten(stream, id, head).after(events[stream.name(id)]) for id in ids}

    def history(self, stream: Stream[Any], id: str) -> tuple[int, list[AnyEvent]]:
        """Answer the ledger's head and all events of a stream, in order."""
        head, rows = self.store.read_stream(stream.name(id))
        return head, [codec.decode(row) for row in rows]

    def follow(self, after: int, upto: int | None = None) -> Iterator[AnyEvent]:
        """Answer the events of the whole ledger after a position, in order, page by page."""
        while page := self.store.read_from(after, FOLLOW_PAGE, upto):
            yield from map(codec.decode, page)
            after = page[-1].position

    def head(self) -> int:
        """Answer the last position of the ledger; 0 when it is empty."""
        return self.store.head()

    # Writing

    def append(self, stamp: Stamp, *changes: Change) -> Appended:
        """Record facts in one or several streams: all of them, or none.

        Raises:
            VersionConflict: a stream has moved since it was loaded; load it and decide again.
            LedgerUnavailable: the database cannot be reached; nothing is half done, and a command
                that is repeated finds out whether it had been recorded.
            MixedClocks: the ledger's events are on another clock than the stamp.
        """
        if self._first_is_marked() not in (None, stamp.test_clock):
            raise MixedClocks("the ledger is on another clock: see KEYFOLD_TEST_CLOCK")
        recorded_at = moment(stamp.now, *(change.loaded for change in changes))
        appending = [list(_events(stamp, recorded_at, change)) for change in changes]
        events = list(itertools.chain.from_iterable(appending))
        if not events:
            head = max(change.loaded.head for change in changes)
            return Appended(head, tuple(change.loaded for change in changes))
        stored = [
            StoredEvent(event.stream, event.version, event.name, codec.encode(_envelope(event)))
            for event in events
        ]
        for event, position in zip(events, self._insert(stored), strict=True):
            event.position = position
        loaded = tuple(
            change.loaded.after(its) for change, its in zip(changes, appending, strict=True)
        )
        return Appended(events[-1].position, loaded)

    def _insert(self, stored: Sequence[StoredEvent]) -> Sequence[int]:
        # An append may be repeated without harm, since the streams' versions let it in only once.
        # What a lost connection leaves open is settled by the next try: either it goes in now, or
        # it conflicts, and then the rows tell whether they are ours.
        unsure = False
        for tries_left in reversed(range(APPEND_TRIES_MAX)):
            try:
                return self._insert_once(stored, unsure=unsure)
            except (OperationalError, InterfaceError) as error:
                unsure = unsure or isinstance(error, OutcomeUnknown)
                if not tries_left:
                    raise LedgerUnavailable(str(error)) from error
                time.sleep(APPEND_RETRY_S)
        raise AssertionError("unreachable")

    def _insert_once(self, stored: Sequence[StoredEvent], *, unsure: bool) -> Sequence[int]:
        try:
            return self.store.insert_events(stored)
        except VersionConflict:
            ours = self._positions_if_ours(stored) if unsure else None
            if ours is None:
                raise
            return ours

    def _positions_if_ours(self, stored: Sequence[StoredEvent]) -> list[int] | None:
        streams = {str(event.originator_id) for event in stored}
        rows = {(row.stream, row.version): row for row in self.store.read_streams(list(streams))}
        positions = []
        for event in stored:
            row = rows.get((str(event.originator_id), event.originator_version))
            if row is None or (row.name, row.state) != (event.topic, event.state):
                return None
            positions.append(row.position)
        return positions

    # Remembering

    def _remembered(self, stream: Stream[StateT], id: str) -> Loaded[StateT]:
        try:
            return self._memo.get(stream.name(id))
        except KeyError:
            return unwritten(stream, id)

    # Clocks

    def _first_is_marked(self) -> bool | None:
        """Tell whether the ledger is on a test clock; None while it is empty."""
        if self._marked is None and (first := self.store.read_from(0, 1)):
            self._marked = codec.decode(first[0]).test_clock
        return self._marked


def _events(stamp: Stamp, recorded_at: datetime, change: Change) -> Iterator[AnyEvent]:
    for version, given in enumerate(change.facts, start=change.loaded.version + 1):
        dated = given if isinstance(given, Dated) else Dated(given, recorded_at)
        yield Event(
            fact=dated.fact,
            recorded_at=recorded_at,
            occurred_at=min(dated.occurred_at, recorded_at),
            actor=stamp.actor,
            request_id=stamp.request_id,
            causation=dated.causation or change.causation,
            test_clock=stamp.test_clock,
            stream=change.loaded.name,
            version=version,
            name=codec.name_of(dated.fact),
        )


def _envelope(event: AnyEvent) -> Envelope[Fact]:
    return Envelope(
        fact=event.fact,
        recorded_at=event.recorded_at,
        occurred_at=event.occurred_at,
        actor=event.actor,
        request_id=event.request_id,
        causation=event.causation,
        test_clock=event.test_clock,
    )
