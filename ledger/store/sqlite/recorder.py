"""A ledger in one SQLite file: one commit for all threads that append at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ledger.store import eventsourcing_adapter
from ledger.store.base_recorder import BaseRecorder, Outcome, split_head
from ledger.store.bulk_load import Filling
from ledger.store.contract import (
    Append,
    Row,
    StreamRow,
    VersionConflict,
    copy_of,
    passed,
    replaced,
)
from ledger.store.eventsourcing_adapter import IntegrityError, PersistenceError
from ledger.store.sqlite.bulk_load import bulk_load
from ledger.store.sqlite.datastore import Look, SqliteDatastore, path_of
from ledger.store.sqlite.signed_checkpoints import SqliteSignedCheckpoints
from ledger.store.sqlite.snapshots import SqliteSnapshots
from ledger.store.sqlite.text_keys import SqliteTextKeys
from ledger.store.sqlite.token_uses import SqliteTokenUses

_INSERT_NEXT = """
    INSERT INTO keyfold_events
    VALUES ((SELECT coalesce(max(rowid), 0) + 1 FROM keyfold_events), ?, ?, ?, ?)
"""
_REACHED = "SELECT coalesce(max(originator_version), 0) FROM keyfold_events WHERE originator_id = ?"
_HEAD = "SELECT coalesce(max(rowid), 0) FROM keyfold_events"
# The row of version 0 is the head. There is no ORDER BY: SQLite would answer the same rows through
# two co-routines, which takes half as long again when there is nothing new. See `split_head`.
_READ_STREAM = """
    SELECT coalesce(max(rowid), 0), 0, NULL, NULL FROM keyfold_events
    UNION ALL
    SELECT rowid, originator_version, topic, state FROM keyfold_events
    WHERE originator_id = ? AND originator_version > ?
"""
_READ_STREAM_PAGE = """
    SELECT coalesce(max(rowid), 0), 0, NULL, NULL FROM keyfold_events
    UNION ALL
    SELECT * FROM (
        SELECT rowid, originator_version, topic, state FROM keyfold_events
        WHERE originator_id = ? AND originator_version > ?
        ORDER BY originator_version LIMIT ?
    )
"""
# The row of position 0 is the head: it is in the place of the version.
_READ_STREAMS = """
    SELECT 0 AS position, NULL, coalesce(max(rowid), 0), NULL, NULL FROM keyfold_events
    UNION ALL
    SELECT rowid, originator_id, originator_version, topic, state
    FROM json_each(?) AS wanted CROSS JOIN keyfold_events
    ON originator_id = wanted.key
    AND originator_version > wanted.value AND originator_version <= wanted.value + ?
    ORDER BY position
"""
_READ_POSITIONS = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE rowid IN (SELECT value FROM json_each(?))
    ORDER BY rowid
"""
_READ_FROM = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE rowid > ? AND rowid <= ?
    ORDER BY rowid LIMIT ?
"""
_LAST_ROWID = 2**63 - 1


class SqliteRecorder(BaseRecorder):
    """The recorder contract over the table keyfold_events."""

    def __init__(self, datastore: SqliteDatastore) -> None:
        super().__init__()
        self.datastore = datastore
        self.lineage = datastore.lineage
        self.text_keys = SqliteTextKeys(datastore)
        self.snapshots = SqliteSnapshots(datastore)
        self.signed_checkpoints = SqliteSignedCheckpoints(datastore)
        self.token_uses = SqliteTokenUses(datastore)
        self._last: tuple[Look, int] | None = None  # the last look at the head, and what it found

    def bulk_load(self) -> AbstractContextManager[Filling]:
        """See `Recorder.bulk_load`."""
        return bulk_load(self.datastore)

    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit a batch of appends, each all or nothing; return the outcome of each."""
        try:
            if len(appends) == 1:
                return [self._commit_alone(appends[0])]
            return self.datastore.append(lambda connection: self._insert_all(connection, appends))
        except PersistenceError as fault:
            return [copy_of(fault) for _ in appends]

    def _commit_alone(self, append: Append) -> Outcome:
        """Commit one append: the same as `_insert_all`, only faster."""
        try:
            if append.size == 1 and not append.required:
                return [self.datastore.append_row(_INSERT_NEXT, append)]
            return self.datastore.append(lambda connection: self._insert_all(connection, [append]))[
                0
            ]
        except IntegrityError as fault:
            conflict = self.datastore.append(lambda connection: _conflict(connection, append))
            return conflict or fault

    def _insert_all(
        self, connection: sqlite3.Connection, appends: Sequence[Append]
    ) -> list[Outcome]:
        return [
            _insert_or_not(connection, append)
            if append.generation in (None, self.lineage.generation)
            else replaced(append)
            for append in appends
        ]

    def _rests(self, seen: int) -> bool:
        last = self._last
        return last is not None and last[1] == seen and not self.datastore.is_news(last[0])

    def _read_stream(
        self, stream: str, after: int, limit: int | None
    ) -> tuple[int, list[StreamRow]]:
        if limit is None:
            look, rows = self.datastore.look(_READ_STREAM, (stream, after))
        else:
            look, rows = self.datastore.look(_READ_STREAM_PAGE, (stream, after, limit))
        head, stream_rows = split_head(rows)
        self._last = look, head
        return head, stream_rows

    def _read_streams(self, after: Mapping[str, int], most: int) -> tuple[int, list[Row]]:
        wanted = json.dumps(dict(after))
        look, found = self.datastore.look(_READ_STREAMS, (wanted, most))
        (_, _, head, _, _), *rows = found
        self._last = look, head
        return head, list(map(Row._make, rows))

    def read_positions(self, positions: Sequence[int]) -> list[Row]:
        """See `Recorder.read_positions`."""
        rows = self.datastore.read(_READ_POSITIONS, (json.dumps(list(positions)),))
        return list(map(Row._make, rows))

    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """See `Recorder.read_from`."""
        last = _LAST_ROWID if upto is None else upto
        return list(map(Row._make, self.datastore.read(_READ_FROM, (after, last, limit))))

    def head(self) -> int:
        """See `Recorder.head`."""
        last = self._last
        if last is not None and not self.datastore.is_news(last[0]):
            return last[1]
        look, ((head,),) = self.datastore.look(_HEAD)
        self._last = look, head
        return int(head)

    def clock(self) -> float | None:
        """See `Recorder.clock`: a file has no clock of its own."""
        return None

    def look_back(self) -> None:
        """See `Recorder.look_back`."""
        self.datastore.look_back()

    def close(self) -> None:
        """See `Recorder.close`."""
        self.datastore.close()


def _insert_or_not(connection: sqlite3.Connection, append: Append) -> Outcome:
    """Insert the events of one append, or none of them."""
    for required in append.required:
        ((reached,),) = connection.execute(_REACHED, (required.stream,))
        if reached != required.version:
            return passed(required, reached)
    has_savepoint = append.size > 1
    if has_savepoint:
        connection.execute("SAVEPOINT append")
    try:
        return _insert(connection, append)
    except sqlite3.IntegrityError:
        if has_savepoint:
            connection.execute("ROLLBACK TO append")
        conflict = _conflict(connection, append)
        if conflict is None:
            raise
        return conflict
    finally:
        if has_savepoint and connection.in_transaction:
            connection.execute("RELEASE append")


def _insert(connection: sqlite3.Connection, append: Append) -> list[int]:
    """Insert the events of one append; answer their positions."""
    if append.size == 1:
        return [connection.execute(_INSERT_NEXT, append.entries[0]).lastrowid or 0]
    connection.executemany(_INSERT_NEXT, append.entries)
    ((head,),) = connection.execute(_HEAD)
    return list(range(head + 1 - append.size, head + 1))


def _conflict(connection: sqlite3.Connection, append: Append) -> VersionConflict | None:
    """Return which version is not the next; None if the append was refused for another reason."""
    added: dict[str, int] = {}
    for entry in append.entries:
        ((reached,),) = connection.execute(_REACHED, (entry.stream,))
        added[entry.stream] = added.get(entry.stream, 0) + 1
        if entry.version != reached + added[entry.stream]:
            return VersionConflict(entry.stream, entry.version, reached)
    return None


class SqliteFactory(eventsourcing_adapter.LedgerFactory):
    """What the library finds through PERSISTENCE_MODULE."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.datastore = SqliteDatastore(path_of(self.env["KEYFOLD_DATABASE_URL"]))

    def application_recorder(self) -> SqliteRecorder:
        """Return the recorder; the file is not opened yet."""
        return SqliteRecorder(self.datastore)

    def close(self) -> None:
        """Close what this process has opened."""
        self.datastore.close()
