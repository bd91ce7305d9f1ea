"""When the tokens of a ledger in a SQLite file were last used."""

from __future__ import annotations

from datetime import datetime

from ledger.store.sqlite.datastore import SqliteDatastore
from ledger.store.sqlite.patience import ASIDE_S
from ledger.store.token_uses import ALL


class SqliteTokenUses:
    """The uses of a ledger in a SQLite file."""

    def __init__(self, datastore: SqliteDatastore) -> None:
        self._datastore = datastore

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._datastore.transaction(commit=True, within_s=ASIDE_S) as cursor:
            cursor.execute(
                "INSERT INTO keyfold_token_uses VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET"
                " used_at = excluded.used_at WHERE used_at < excluded.used_at",
                (token, hour.isoformat()),
            )

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        rows = self._datastore.read(ALL, ())
        return {token: datetime.fromisoformat(used_at) for token, used_at in rows}
