"""When the tokens of a ledger in PostgreSQL were last used."""

from __future__ import annotations

from datetime import datetime

from ledger.store.postgres.datastore import PostgresDatastore
from ledger.store.token_uses import ALL


class PostgresTokenUses:
    """The uses of a ledger in PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._datastore.connection() as connection, connection.transaction():
            # It may be lost: no request waits for a standby, nor long for who writes the same.
            connection.execute(
                "SET LOCAL synchronous_commit = local; SET LOCAL lock_timeout = '1s'"
            )
            connection.execute(
                "INSERT INTO keyfold_token_uses AS kept VALUES (%s, %s)"
                " ON CONFLICT (token) DO UPDATE SET used_at = excluded.used_at"
                " WHERE kept.used_at < excluded.used_at",
                (token, hour.isoformat()),
            )

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        rows = self._datastore.read(ALL)
        return {token: datetime.fromisoformat(used_at) for token, used_at in rows}
