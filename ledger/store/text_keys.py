"""The keys of sealed free text: beside the ledger and not in it, so that they can be destroyed.

A store holds one key for each owner (an account's stream). The bytes are opaque here: they are
wrapped, and what is in them is known elsewhere.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Protocol

from eventsourcing.persistence import OperationalError

if TYPE_CHECKING:
    from ledger.store.postgres.datastore import PostgresDatastore
    from ledger.store.sqlite.datastore import SqliteDatastore


class TextKeys(Protocol):
    """One wrapped key for each owner, until it is destroyed."""

    def get(self, owner: str) -> bytes | None:
        """Answer the owner's wrapped key, None if there is none or it has been destroyed."""

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """Store a key unless the owner has one; answer the one that is stored.

        Whoever else does the same at the same time is answered the same.
        """

    def destroy(self, owner: str) -> bool:
        """Delete the owner's key for good; answer whether there was one."""


class MemoryTextKeys:
    """The keys of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._keys: dict[str, tuple[bytes, str]] = {}

    def get(self, owner: str) -> bytes | None:
        """See `TextKeys.get`."""
        key = self._keys.get(owner)
        return key[0] if key else None

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """See `TextKeys.put_if_absent`."""
        with self._lock:
            return self._keys.setdefault(owner, (wrapped, created_at))[0]

    def destroy(self, owner: str) -> bool:
        """See `TextKeys.destroy`."""
        with self._lock:
            return self._keys.pop(owner, None) is not None


class SqliteTextKeys:
    """The keys of a ledger in a SQLite file.

    Destroying overwrites the key's bytes in the file and empties the write-ahead log, so that no
    file of the ledger holds them any more. Backups may.

    SQLite clears what it deletes (`secure_delete`), but not the copies that it leaves in a page's
    unused part when it moves rows to another one. Pages that it frees it clears whole. So all keys
    are taken out and put back: a hundred thousand of them take some tenths of a second.
    """

    def __init__(self, datastore: SqliteDatastore) -> None:
        self._datastore = datastore

    def get(self, owner: str) -> bytes | None:
        """See `TextKeys.get`."""
        select = "SELECT wrapped_key FROM keyfold_text_keys WHERE owner = ?"
        rows = self._datastore.read(select, (owner,))
        return rows[0][0] if rows else None

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """See `TextKeys.put_if_absent`."""
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO keyfold_text_keys VALUES (?, ?, ?) ON CONFLICT (owner) DO NOTHING",
                (owner, wrapped, created_at),
            )
            cursor.execute("SELECT wrapped_key FROM keyfold_text_keys WHERE owner = ?", (owner,))
            stored: bytes = cursor.fetchone()[0]
        return stored

    def destroy(self, owner: str) -> bool:
        """See `TextKeys.destroy`; may be repeated until the log is empty.

        Raises:
            OperationalError: the key is deleted, but a reader that does not finish keeps its bytes
                in the write-ahead log.
        """
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute("SELECT 1 FROM keyfold_text_keys WHERE owner = ?", (owner,))
            was_there = cursor.fetchone() is not None
            cursor.execute("SELECT * FROM keyfold_text_keys WHERE owner <> ?", (owner,))
            others = [tuple(row) for row in cursor.fetchall()]
            cursor.execute("DELETE FROM keyfold_text_keys")
            cursor.executemany("INSERT INTO keyfold_text_keys VALUES (?, ?, ?)", others)
        with self._datastore.get_connection() as connection:
            cursor = connection.cursor()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_blocked, *_ = cursor.fetchone()
        if is_blocked:
            raise OperationalError(
                "the key is deleted, but a long read keeps its bytes in the write-ahead log:"
                " destroy it again when nobody reads"
            )
        return was_there


class PostgresTextKeys:
    """The keys of a ledger in PostgreSQL.

    Destroying deletes the row. PostgreSQL clears its bytes from the table when it vacuums and
    reuses the page, and keeps them in its write-ahead log, in standbys and in backups for as long
    as those are kept.
    """

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def get(self, owner: str) -> bytes | None:
        """See `TextKeys.get`."""
        select = "SELECT wrapped_key FROM keyfold_text_keys WHERE owner = %b"
        rows = self._datastore.read(select, (owner,))
        return rows[0][0] if rows else None

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """See `TextKeys.put_if_absent`."""
        insert = "INSERT INTO keyfold_text_keys VALUES (%s, %s, %s) ON CONFLICT (owner) DO NOTHING"
        while True:
            with self._datastore.get_connection() as connection:
                connection.execute(insert, (owner, wrapped, created_at))
            stored = self.get(owner)
            if stored is not None:  # else it was destroyed between the two
                return stored

    def destroy(self, owner: str) -> bool:
        """See `TextKeys.destroy`."""
        with self._datastore.get_connection() as connection:
            deleted = connection.execute("DELETE FROM keyfold_text_keys WHERE owner = %s", (owner,))
            return deleted.rowcount > 0
