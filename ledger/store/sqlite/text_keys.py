"""The keys of sealed text of a ledger in a SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, LiteralString

from ledger.store.eventsourcing_adapter import OperationalError
from ledger.store.sqlite.datastore import SqliteDatastore
from ledger.store.text_keys import TextKey

PAGE_ROWS: Final = 1_000

_PAGE: LiteralString = """
    SELECT owner, wrapped_key, created_at FROM keyfold_text_keys
    WHERE owner > ? ORDER BY owner LIMIT ?
"""


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
        with self._datastore.connection() as connection:
            is_blocked, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_blocked:
            raise OperationalError(
                "the key is deleted, but a long read keeps its bytes in the write-ahead log:"
                " destroy it again when nobody reads"
            )
        return was_there

    def all(self) -> Iterator[TextKey]:
        """See `TextKeys.all`."""
        after = ""
        while rows := self._datastore.read(_PAGE, (after, PAGE_ROWS)):
            for owner, wrapped, created_at in rows:
                yield TextKey(owner, bytes(wrapped), created_at)
            after = rows[-1][0]
