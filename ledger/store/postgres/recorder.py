"""A ledger in PostgreSQL: one round trip and one commit for all threads that append at once.

The order of positions is made in the database, by the functions of
`schema/postgres/0001_ledger.sql`; it says why no reader that follows can miss an event.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, LiteralString

from ledger.store import eventsourcing_adapter
from ledger.store.base_recorder import BaseRecorder, Outcome, split_head
from ledger.store.bulk_load import Filling
from ledger.store.contract import (
    Append,
    ClockRefused,
    Entry,
    Required,
    Row,
    StreamRow,
    VersionConflict,
    copy_of,
    replaced,
)
from ledger.store.eventsourcing_adapter import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
)
from ledger.store.postgres.bulk_load import bulk_load
from ledger.store.postgres.datastore import PostgresDatastore
from ledger.store.postgres.signed_checkpoints import PostgresSignedCheckpoints
from ledger.store.postgres.snapshots import PostgresSnapshots
from ledger.store.postgres.text_keys import PostgresTextKeys
from ledger.store.postgres.token_uses import PostgresTokenUses

_APPEND_EVENT: LiteralString = (
    "SELECT keyfold_append_event(%b::text, %b::bigint, %b::text, %b::bytea, %b::double precision)"
)
_APPEND: LiteralString = """
    SELECT head, taken, reached
    FROM keyfold_append(
        %b::text[], %b::bigint[], %b::text[], %b::bytea[], %b::integer[],
        %b::double precision, %b::double precision
    )
"""
# The row of version 0 is the head. They are put in order by `split_head`.
_READ_STREAM: LiteralString = """
    SELECT coalesce((SELECT max(notification_id) FROM keyfold_events), 0), 0::bigint, NULL, NULL
    UNION ALL
    SELECT notification_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id = %b AND originator_version > %b::bigint
"""
_READ_STREAM_PAGE: LiteralString = """
    SELECT coalesce((SELECT max(notification_id) FROM keyfold_events), 0), 0::bigint, NULL, NULL
    UNION ALL
    (SELECT notification_id, originator_version, topic, state FROM keyfold_events
     WHERE originator_id = %b AND originator_version > %b::bigint
     ORDER BY originator_version LIMIT %b::bigint)
"""
# The row of position 0 is the head: it is in the place of the version.
_READ_STREAMS: LiteralString = """
    SELECT 0::bigint AS position, NULL,
           coalesce((SELECT max(notification_id) FROM keyfold_events), 0), NULL, NULL
    UNION ALL
    SELECT notification_id, originator_id, originator_version, topic, state
    FROM unnest(%b::text[], %b::bigint[]) AS wanted (stream, version) JOIN keyfold_events
    ON originator_id = wanted.stream AND originator_version > wanted.version
    AND originator_version <= wanted.version + %b::bigint
    ORDER BY position
"""
_READ_POSITIONS: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state
    FROM keyfold_events WHERE notification_id = ANY (%b::bigint[])
    ORDER BY notification_id
"""
_READ_FROM: LiteralString = """
    SELECT notification_id, originator_id, originator_version, topic, state
    FROM keyfold_events
    WHERE notification_id > %b::bigint AND notification_id <= %b::bigint
    ORDER BY notification_id LIMIT %b::bigint
"""
_HEAD: LiteralString = "SELECT coalesce(max(notification_id), 0) FROM keyfold_events"
_CLOCK: LiteralString = "SELECT extract(epoch FROM clock_timestamp())::double precision"
_LAST_BIGINT = 2**63 - 1


# The binary format of parameters.
_bigint = struct.Struct("!q").pack
_integer = struct.Struct("!i").pack
_double = struct.Struct("!d").pack
_ARRAY = struct.Struct("!iiIii")
_NULL = _integer(-1)
_BYTEA, _BIGINT, _INTEGER, _TEXT = 17, 20, 23, 25  # types, as the server numbers its own


class PostgresRecorder(BaseRecorder):
    """The recorder contract over the table keyfold_events."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        super().__init__()
        self.datastore = datastore
        self.lineage = datastore.lineage
        self.text_keys = PostgresTextKeys(datastore)
        self.snapshots = PostgresSnapshots(datastore)
        self.signed_checkpoints = PostgresSignedCheckpoints(datastore)
        self.token_uses = PostgresTokenUses(datastore)
        # The head as the last look found it; and again, if the one before had found the same. Only
        # a guess at what to ask, so threads may write them as they come.
        self._last_head = self._resting_head = -1

    def bulk_load(self) -> AbstractContextManager[Filling]:
        """See `Recorder.bulk_load`."""
        return bulk_load(self.datastore)

    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit a batch of appends; return the outcome of each.

        Two appends of which one takes what the other needs cannot go into one call. The later one
        has lost if the earlier took it; if not, it gets a call of its own. When the database fails,
        or keeps a call waiting for too long, no other is begun: each would wait as long.
        """
        outcomes: list[Outcome] = [[] for _ in appends]
        waiting = list(range(len(appends)))
        while waiting:
            now, waiting = _without_rivals(appends, waiting)
            results = self._commit_together([appends[n] for n in now])
            if len(now) == len(appends):
                return results
            if waiting and (failed := next(filter(_is_of_database, results), None)):
                for n in waiting:
                    outcomes[n] = OperationalError(f"not tried: {failed}")
                waiting = []
            recorded: dict[str, set[int]] = {}
            for n, outcome in zip(now, results, strict=True):
                outcomes[n] = outcome
                if isinstance(outcome, list):
                    for entry in appends[n].entries:
                        recorded.setdefault(entry.stream, set()).add(entry.version)
            for n in tuple(waiting):
                if lost := _conflict(appends[n], recorded):
                    outcomes[n] = lost
                    waiting.remove(n)
        return outcomes

    def _commit_together(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit appends that do not want each other's versions, each all or nothing."""
        try:
            if len(appends) == 1 and appends[0].size == 1 and not appends[0].required:
                return [self._commit_event(appends[0])]
            return self._commit_events(appends)
        except (ClockRefused, DataError, IntegrityError, ProgrammingError) as fault:
            if len(appends) == 1:
                return [fault]
            return [self._commit_together([append])[0] for append in appends]  # whose fault is it?
        except PersistenceError as fault:
            return [copy_of(fault) for _ in appends]

    def _commit_event(self, append: Append) -> Outcome:
        """Commit one event: the same as `_commit_events`, only faster."""
        ((stream, version, name, state),) = append.entries

        def values() -> tuple[bytes | None, ...]:
            # Only now: to connect may have shown that the ledger is another one, and taken time.
            if append.generation not in (None, self.lineage.generation):
                raise replaced(append)
            return stream.encode(), _bigint(version), name.encode(), state, _clock(append.clock)

        (place,) = self.datastore.writer.call(_APPEND_EVENT, values)
        return [place] if place > 0 else VersionConflict(stream, version, -place)

    def _commit_events(self, appends: Sequence[Append]) -> list[Outcome]:
        # A required version goes along as the event that would come next, without a name; after all
        # events, which are numbered with the least work then.
        given_of = [
            *((n, entry) for n, append in enumerate(appends) for entry in append.entries),
            *((n, _unnamed(one)) for n, append in enumerate(appends) for one in append.required),
        ]
        append_of, entries = zip(*given_of, strict=True)
        clocks = [append.clock for append in appends if append.clock is not None]
        given = (
            _array(_TEXT, [entry.stream.encode() for entry in entries]),
            _array(_BIGINT, [_bigint(entry.version) for entry in entries]),
            _array(_TEXT, [entry.name.encode() or None for entry in entries]),
            _array(_BYTEA, [entry.state for entry in entries]),
            _array(_INTEGER, [_integer(n) for n in append_of]),
        )

        def values() -> tuple[bytes | None, ...]:
            for append in appends:
                if append.generation not in (None, self.lineage.generation):
                    raise replaced(append)
            earliest, latest = min(clocks, default=None), max(clocks, default=None)
            return *given, _clock(earliest), _clock(latest)

        head, taken, reached = self.datastore.writer.call(_APPEND, values)
        conflicts: dict[int, VersionConflict] = {}
        for n, version in zip(taken or (), reached or (), strict=True):
            entry = entries[n - 1]
            conflict = VersionConflict(entry.stream, entry.version, version)
            conflicts.setdefault(append_of[n - 1], conflict)
        outcomes: list[Outcome] = []
        for n, append in enumerate(appends):
            if n in conflicts:
                outcomes.append(conflicts[n])
            else:
                outcomes.append(list(range(head + 1, head + 1 + append.size)))
                head += append.size
        return outcomes

    def _rests(self, seen: int) -> bool:
        # To ask for the head alone costs a third less than to ask for a stream, too; but when it
        # has moved it was asked for nothing. So that is done only while the ledger rests.
        return seen == self._resting_head and self.head() == seen

    def _note(self, head: int) -> None:
        self._resting_head = head if head == self._last_head else -1
        self._last_head = head

    def _read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> tuple[int, list[StreamRow]]:
        if limit is None:
            wanted = stream.encode(), _bigint(after)
            rows = self.datastore.read_encoded(_READ_STREAM, wanted)
        else:
            rows = self.datastore.read(_READ_STREAM_PAGE, (stream, after, limit))
        head, stream_rows = split_head(rows)
        self._note(head)
        return head, stream_rows

    def _read_streams(self, after: Mapping[str, int], most: int) -> tuple[int, list[Row]]:
        wanted = (
            _array(_TEXT, [stream.encode() for stream in after]),
            _array(_BIGINT, list(map(_bigint, after.values()))),
            _bigint(most),
        )
        (_, _, head, _, _), *rows = self.datastore.read_encoded(_READ_STREAMS, wanted)
        self._note(head)
        return head, list(map(Row._make, rows))

    def read_positions(self, positions: Sequence[int]) -> list[Row]:
        """See `Recorder.read_positions`."""
        rows = self.datastore.read(_READ_POSITIONS, (list(positions),))
        return list(map(Row._make, rows))

    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """See `Recorder.read_from`."""
        last = _LAST_BIGINT if upto is None else upto
        return list(map(Row._make, self.datastore.read(_READ_FROM, (after, last, limit))))

    def head(self) -> int:
        """See `Recorder.head`."""
        ((head,),) = self.datastore.read(_HEAD)
        return int(head)

    def clock(self) -> float | None:
        """See `Recorder.clock`."""
        ((now,),) = self.datastore.read(_CLOCK)
        return float(now)

    def look_back(self) -> None:
        """See `Recorder.look_back`."""
        self.datastore.look_back()

    def close(self) -> None:
        """See `Recorder.close`."""
        self.datastore.close()


def _unnamed(required: Required) -> Entry:
    return Entry(required.stream, required.version + 1, "", b"")


def _taken(append: Append) -> set[tuple[str, int]]:
    """Return the versions that an append takes."""
    return {entry[:2] for entry in append.entries}


def _needed(append: Append) -> set[tuple[str, int]]:
    """Return the versions that an append needs to be free: those it takes, and required ones."""
    return _taken(append).union(entry[:2] for entry in map(_unnamed, append.required))


def _clock(clock: float | None) -> bytes | None:
    """Encode the time by a writer's clock now; NULL if it told none."""
    return None if clock is None else _double(clock + time.monotonic())


def _array(type: int, values: Sequence[bytes | None]) -> bytes:
    """Encode an array of one dimension as PostgreSQL's binary format has it; None is NULL."""
    parts = [_ARRAY.pack(1, None in values, type, len(values), 1)]
    for value in values:
        parts += (_NULL,) if value is None else (_integer(len(value)), value)
    return b"".join(parts)


def _without_rivals(
    appends: Sequence[Append], waiting: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Split into those of which none takes a version that another one needs, and the rest.

    Several may require the same version of a stream, which all find free.
    """
    if len(waiting) == 1:
        return list(waiting), []
    all_taken: set[tuple[str, int]] = set()
    all_needed: set[tuple[str, int]] = set()
    now: list[int] = []
    later: list[int] = []
    for n in waiting:
        taken, needed = _taken(appends[n]), _needed(appends[n])
        if all_taken.isdisjoint(needed) and all_needed.isdisjoint(taken):
            all_taken |= taken
            all_needed |= needed
            now.append(n)
        else:
            later.append(n)
    return now, later


def _is_of_database(outcome: Outcome) -> bool:
    """Return whether an append failed in a way in which any other would have failed, too."""
    return isinstance(outcome, OperationalError | InterfaceError)


def _conflict(append: Append, recorded: dict[str, set[int]]) -> VersionConflict | None:
    for stream, version in sorted(_needed(append)):
        versions = recorded.get(stream, set())
        if version in versions:
            return VersionConflict(stream, version, max(versions))
    return None


class PostgresFactory(eventsourcing_adapter.LedgerFactory):
    """What the library finds through PERSISTENCE_MODULE."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.datastore = PostgresDatastore(self.env["KEYFOLD_DATABASE_URL"])

    def application_recorder(self) -> PostgresRecorder:
        """Return the recorder; nothing is asked of the database yet."""
        return PostgresRecorder(self.datastore)

    def close(self) -> None:
        """Close what this process has opened."""
        self.datastore.close()
