"""The keys of sealed text of a ledger in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, LiteralString

from ledger.store.postgres.datastore import PostgresDatastore
from ledger.store.text_keys import TextKey

PAGE_ROWS: Final = 1_000

_PAGE: LiteralString = """
    SELECT owner, wrapped_key, created_at FROM keyfold_text_keys
    WHERE owner > %b::text ORDER BY owner LIMIT %b::bigint
"""


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
            with self._datastore.connection() as connection:
                connection.execute(insert, (owner, wrapped, created_at))
            stored = self.get(owner)
            if stored is not None:  # else it was destroyed between the two
                return stored

    def destroy(self, owner: str) -> bool:
        """See `TextKeys.destroy`."""
        with self._datastore.connection() as connection:
            deleted = connection.execute("DELETE FROM keyfold_text_keys WHERE owner = %s", (owner,))
            return deleted.rowcount > 0

    def all(self) -> Iterator[TextKey]:
        """See `TextKeys.all`."""
        after = ""
        while rows := self._datastore.read(_PAGE, (after, PAGE_ROWS)):
            for owner, wrapped, created_at in rows:
                yield TextKey(owner, bytes(wrapped), created_at)
            after = rows[-1][0]
