"""A ledger in one SQLite file: one commit for all threads that append at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import PersistenceError, StoredEvent

from ledger.store import library
from ledger.store.connections import PerProcess
from ledger.store.group_commit import GroupCommit
from ledger.store.recorder import Entry, Row, VersionConflict, copy_of, entries_of
from ledger.store.sqlite_datastore import SqliteDatastore, path_of
from ledger.store.text_keys import SqliteTextKeys

BATCH_EVENTS_MAX = 1000

Append = list[Entry]
Outcome = list[int] | Exception

_INSERT = "INSERT INTO keyfold_events VALUES (?, ?, ?, ?, ?)"
_IS_TAKEN = "SELECT 1 FROM keyfold_events WHERE originator_id = ? AND originator_version = ?"
_REACHED = "SELECT max(originator_version) FROM keyfold_events WHERE originator_id = ?"
_HEAD = "SELECT coalesce(max(rowid), 0) FROM keyfold_events"
# The first row is the head; it has no version, and SQLite sorts NULL first.
_READ_STREAM = """
    SELECT coalesce(max(rowid), 0), NULL AS version, NULL, NULL FROM keyfold_events
    UNION ALL
    SELECT * FROM (
        SELECT rowid, originator_version, topic, state FROM keyfold_events
        WHERE originator_id = ? AND originator_version > ?
        ORDER BY originator_version LIMIT ?
    )
    ORDER BY version
"""
_READ_STREAMS = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE originator_id IN (SELECT value FROM json_each(?))
    ORDER BY rowid
"""
_READ_FROM = """
    SELECT rowid, originator_id, originator_version, topic, state FROM keyfold_events
    WHERE rowid > ? AND rowid <= ?
    ORDER BY rowid LIMIT ?
"""
_LAST_ROWID = 2**63 - 1
_NO_LIMIT = -1


class SqliteRecorder(library.LibraryReads):
    """The recorder contract over the table keyfold_events."""

    def __init__(self, datastore: SqliteDatastore) -> None:
        self.datastore = datastore
        self.text_keys = SqliteTextKeys(datastore)
        self._group_commit = PerProcess(
            lambda: GroupCommit[Append, list[int]](self._commit, len, BATCH_EVENTS_MAX)
        )

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        """Record all of the events or none: see `Recorder.insert_events`."""
        entries = entries_of(stored_events, kwargs)
        return self._group_commit().submit(entries) if entries else []

    def _commit(self, appends: Sequence[Append]) -> list[Outcome]:
        """Commit a batch of appends, each all or nothing; answer the outcome of each."""

        def insert(connection: sqlite3.Connection) -> list[Outcome]:
            ((head,),) = connection.execute(_HEAD)
            outcomes: list[Outcome] = []
            for append in appends:
                outcome = _insert(connection, append, head)
                if isinstance(outcome, list):
                    head += len(append)
                outcomes.append(outcome)
            return outcomes

        try:
            return self.datastore.append(insert)
        except PersistenceError as fault:
            return [copy_of(fault) for _ in appends]

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None
    ) -> tuple[int, list[Row]]:
        """See `Recorder.read_stream`."""
        most = _NO_LIMIT if limit is None else limit
        (head, *_), *rows = self.datastore.read(_READ_STREAM, (stream, after, most))
        return head, [Row(position, stream, *rest) for position, *rest in rows]

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        """See `Recorder.read_streams`."""
        rows = self.datastore.read(_READ_STREAMS, (json.dumps(list(streams)),))
        return [Row._make(row) for row in rows]

    def read_from(self, after: int, limit: int, upto: int | None = None) -> list[Row]:
        """See `Recorder.read_from`."""
        last = _LAST_ROWID if upto is None else upto
        return [Row._make(row) for row in self.datastore.read(_READ_FROM, (after, last, limit))]

    def head(self) -> int:
        """See `Recorder.head`."""
        ((head,),) = self.datastore.read(_HEAD)
        return int(head)

    def close(self) -> None:
        """See `Recorder.close`."""
        self.datastore.close()


def _insert(connection: sqlite3.Connection, append: Append, head: int) -> Outcome:
    """Insert the events of one append, or none of them, at the positions after `head`."""
    position = head
    has_savepoint = len(append) > 1
    if has_savepoint:
        connection.execute("SAVEPOINT append")
    try:
        for entry in append:
            position += 1
            connection.execute(_INSERT, (position, *entry))
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
    return list(range(head + 1, position + 1))


def _conflict(connection: sqlite3.Connection, append: Append) -> VersionConflict | None:
    """Answer which version of the append is taken; None if it was refused for another reason."""
    for entry in append:
        if connection.execute(_IS_TAKEN, entry[:2]).fetchone():
            ((reached,),) = connection.execute(_REACHED, (entry.stream,))
            return VersionConflict(entry.stream, entry.version, reached)
    return None


class Factory(library.LedgerFactory):
    """What the library finds through PERSISTENCE_MODULE."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.datastore = SqliteDatastore(path_of(self.env["KEYFOLD_DATABASE_URL"]))

    def application_recorder(self) -> SqliteRecorder:
        """Make the recorder; the file is not opened yet."""
        return SqliteRecorder(self.datastore)

    def close(self) -> None:
        """Close what this process has opened."""
        self.datastore.close()
