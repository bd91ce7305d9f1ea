"""When each access token was last used: beside the ledger, and coarse.

A row holds the hour in which a token was used last. It is nothing that anybody decides by, and a
request that only reads must append no event, so it is no part of the ledger.
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Final, LiteralString, Protocol

from eventsourcing.persistence import PersistenceError

from ledger.store.contract import Recorder
from ledger.store.sqlite.datastore import SqliteDatastore

if TYPE_CHECKING:
    from ledger.store.postgres.datastore import PostgresDatastore

REMEMBERED_MAX: Final = 10_000


class TokenUses(Protocol):
    """The hour of each token's last use."""

    def put(self, token: str, hour: datetime) -> None:
        """Remember that a token was used in an hour, unless it was used in a later one."""

    def all(self) -> dict[str, datetime]:
        """Return the hours by token; a token that was never used has none."""


class NotedUses:
    """Writes a use down once in an hour for each token, and never fails a request over it."""

    def __init__(self, uses: TokenUses) -> None:
        self._uses = uses
        self._noted: dict[str, datetime] = {}

    def note(self, token: str, now: datetime) -> None:
        """Remember that a token is used now; one write an hour, by each process.

        A standby cannot be written, and a database may be away: then this use is not remembered.
        """
        hour = now.replace(minute=0, second=0, microsecond=0)
        if self._noted.get(token) == hour:
            return
        if len(self._noted) >= REMEMBERED_MAX:
            self._noted.clear()
        self._noted[token] = hour
        try:
            self._uses.put(token, hour)
        except PersistenceError:
            return

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        return self._uses.all()


def token_uses(store: Recorder) -> TokenUses:
    """Return those of a ledger; of one in memory, they are gone with what is returned."""
    datastore = getattr(store, "datastore", None)
    if datastore is None:
        return MemoryTokenUses()
    if isinstance(datastore, SqliteDatastore):
        return SqliteTokenUses(datastore)
    return PostgresTokenUses(datastore)


class MemoryTokenUses:
    """The uses of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._uses: dict[str, datetime] = {}

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._lock:
            self._uses[token] = max(hour, self._uses.get(token, hour))

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        return dict(self._uses)


_ALL: LiteralString = "SELECT token, used_at FROM keyfold_token_uses"


class SqliteTokenUses:
    """The uses of a ledger in a SQLite file."""

    def __init__(self, datastore: SqliteDatastore) -> None:
        self._datastore = datastore

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO keyfold_token_uses VALUES (?, ?) ON CONFLICT (token) DO UPDATE SET"
                " used_at = excluded.used_at WHERE used_at < excluded.used_at",
                (token, hour.isoformat()),
            )

    def all(self) -> dict[str, datetime]:
        """See `TokenUses.all`."""
        rows = self._datastore.read(_ALL, ())
        return {token: datetime.fromisoformat(used_at) for token, used_at in rows}


class PostgresTokenUses:
    """The uses of a ledger in PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def put(self, token: str, hour: datetime) -> None:
        """See `TokenUses.put`."""
        with self._datastore.get_connection() as connection, connection.transaction():
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
        rows = self._datastore.read(_ALL)
        return {token: datetime.fromisoformat(used_at) for token, used_at in rows}
