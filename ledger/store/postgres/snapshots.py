"""The snapshots of a ledger in PostgreSQL."""

from __future__ import annotations

from typing import LiteralString

from ledger.store.postgres.datastore import PostgresDatastore
from ledger.store.snapshots import FromSnapshot, Snapshot, from_rows

_READ: LiteralString = """
    WITH kept AS MATERIALIZED (
        SELECT snapshot.version, snapshot.position, snapshot.recorded_at, snapshot.state
        FROM keyfold_snapshots AS snapshot JOIN keyfold_events
            ON originator_id = snapshot.stream AND originator_version = snapshot.version
            AND notification_id = snapshot.position
        WHERE snapshot.stream = %b::text AND snapshot.shape = %b::integer
    )
    (SELECT coalesce(max(notification_id), 0), 0::bigint, NULL::text, NULL::bytea
     FROM keyfold_events)
    UNION ALL (SELECT position, -version, recorded_at, state FROM kept)
    UNION ALL
    (SELECT notification_id, originator_version, topic, state FROM keyfold_events
     WHERE originator_id = %b::text
         AND originator_version > coalesce((SELECT version FROM kept), 0))
"""
_KEEP: LiteralString = """
    INSERT INTO keyfold_snapshots AS kept VALUES (%s, %s, %s, %s, %s, %b)
    ON CONFLICT (stream) DO UPDATE SET
        shape = excluded.shape, version = excluded.version,
        position = excluded.position, recorded_at = excluded.recorded_at, state = excluded.state
    WHERE kept.shape <> excluded.shape OR kept.version < excluded.version
"""
_STREAMS: LiteralString = """
    SELECT stream, shape, version, position, recorded_at, state FROM keyfold_snapshots
    WHERE stream > %b::text ORDER BY stream LIMIT %b::bigint
"""


class PostgresSnapshots:
    """The snapshots of a ledger in PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def read(self, stream: str, shape: int) -> FromSnapshot:
        """See `Snapshots.read`."""
        return from_rows(self._datastore.read(_READ, (stream, shape, stream)), shape)

    def keep(self, stream: str, snapshot: Snapshot) -> None:
        """See `Snapshots.keep`."""
        with self._datastore.connection() as connection, connection.transaction():
            # It may be lost, so no reader waits for a standby to have it.
            connection.execute("SET LOCAL synchronous_commit = local")
            connection.execute(_KEEP, (stream, *snapshot))

    def streams(self, after: str, limit: int) -> list[tuple[str, Snapshot]]:
        """See `Snapshots.streams`."""
        rows = self._datastore.read(_STREAMS, (after, limit))
        return [(stream, Snapshot._make(rest)) for stream, *rest in rows]
