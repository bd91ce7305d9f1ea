"""The signed checkpoints of a ledger in a SQLite file."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.store.signed_checkpoints import COLUMNS, NEWEST, PAGE, SignedCheckpoint
from ledger.store.sqlite.datastore import SqliteDatastore


class SqliteSignedCheckpoints:
    """The signed checkpoints of a ledger in a SQLite file."""

    def __init__(self, datastore: SqliteDatastore) -> None:
        self._datastore = datastore

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`."""
        with self._datastore.transaction(commit=True) as cursor:
            cursor.execute(
                "INSERT INTO keyfold_signed_checkpoints VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (size, signers) DO NOTHING",
                signed,
            )
            cursor.execute(
                f"SELECT {COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
                " WHERE size = ? AND signers = ?",
                signed[:2],
            )
            return SignedCheckpoint._make(cursor.fetchone())

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        rows = self._datastore.read(NEWEST)
        return SignedCheckpoint._make(rows[0]) if rows else None

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        select = (
            f"SELECT {COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE (size, signers) > (?, ?) ORDER BY size, signers LIMIT ?"
        )
        after = (-1, "")
        while rows := self._datastore.read(select, (*after, PAGE)):
            yield from map(SignedCheckpoint._make, rows)
            after = rows[-1][:2]
