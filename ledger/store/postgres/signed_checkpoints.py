"""The signed checkpoints of a ledger in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString

from ledger.store.postgres.datastore import PostgresDatastore
from ledger.store.signed_checkpoints import COLUMNS, NEWEST, PAGE, SignedCheckpoint


class PostgresSignedCheckpoints:
    """The signed checkpoints of a ledger in PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`."""
        with self._datastore.connection() as connection:
            connection.execute(
                "INSERT INTO keyfold_signed_checkpoints VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (size, signers) DO NOTHING",
                signed,
            )
        ((*stored,),) = self._datastore.read(
            f"SELECT {COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE size = %b::bigint AND signers = %b",
            signed[:2],
        )
        return SignedCheckpoint._make(stored)

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        rows = self._datastore.read(NEWEST)
        return SignedCheckpoint._make(rows[0]) if rows else None

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        select: LiteralString = (
            f"SELECT {COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE (size, signers) > (%b::bigint, %b::text)"
            " ORDER BY size, signers LIMIT %b::bigint"
        )
        after = (-1, "")
        while rows := self._datastore.read(select, (*after, PAGE)):
            yield from map(SignedCheckpoint._make, rows)
            after = rows[-1][:2]
