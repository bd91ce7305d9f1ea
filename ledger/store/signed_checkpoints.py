"""The checkpoints that were ever signed: beside the ledger, so that none contradicts another.

A row stays for ever; it is on the disk before its note is handed out. What is kept here is of use
to the ledger itself. An auditor trusts the copies that were handed out, not these.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, Final, LiteralString, NamedTuple, Protocol

from ledger.store.contract import Recorder
from ledger.store.sqlite.datastore import SqliteDatastore

if TYPE_CHECKING:
    from ledger.store.postgres.datastore import PostgresDatastore

PAGE: Final = 500


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it was handed out.

    Attributes:
        size: how many events it covers.
        signers: the ids of the keys that signed it, in hexadecimal, split by commas.
        note: its text with the signatures.
        signed_at: RFC 3339.
    """

    size: int
    signers: str
    root: bytes
    note: str
    signed_at: str


class SignedCheckpoints(Protocol):
    """Those that were signed; one for each size and set of keys."""

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """Remember a checkpoint, unless one of its size and keys is; answer the one that is."""

    def newest(self) -> SignedCheckpoint | None:
        """Answer one that covers the most events."""

    def all(self) -> Iterator[SignedCheckpoint]:
        """Answer all, by size."""


def signed_checkpoints(store: Recorder) -> SignedCheckpoints:
    """Answer those of a ledger; of one in memory, they are gone with what is answered."""
    datastore = getattr(store, "datastore", None)
    if datastore is None:
        return MemorySignedCheckpoints()
    if isinstance(datastore, SqliteDatastore):
        return SqliteSignedCheckpoints(datastore)
    return PostgresSignedCheckpoints(datastore)


class MemorySignedCheckpoints:
    """The signed checkpoints of a ledger in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._signed: dict[tuple[int, str], SignedCheckpoint] = {}

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`."""
        with self._lock:
            return self._signed.setdefault((signed.size, signed.signers), signed)

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        return max(self._signed.values(), default=None)

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        yield from sorted(self._signed.values())


_COLUMNS: LiteralString = "size, signers, root, note, signed_at"
_NEWEST: LiteralString = (
    f"SELECT {_COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608 - all of it is ours
    " ORDER BY size DESC, signers DESC LIMIT 1"
)


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
                f"SELECT {_COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
                " WHERE size = ? AND signers = ?",
                signed[:2],
            )
            return SignedCheckpoint._make(cursor.fetchone())

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        rows = self._datastore.read(_NEWEST)
        return SignedCheckpoint._make(rows[0]) if rows else None

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        select = (
            f"SELECT {_COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE (size, signers) > (?, ?) ORDER BY size, signers LIMIT ?"
        )
        after = (-1, "")
        while rows := self._datastore.read(select, (*after, PAGE)):
            yield from map(SignedCheckpoint._make, rows)
            after = rows[-1][:2]


class PostgresSignedCheckpoints:
    """The signed checkpoints of a ledger in PostgreSQL."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self._datastore = datastore

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`."""
        with self._datastore.get_connection() as connection:
            connection.execute(
                "INSERT INTO keyfold_signed_checkpoints VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (size, signers) DO NOTHING",
                signed,
            )
        ((*stored,),) = self._datastore.read(
            f"SELECT {_COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE size = %b::bigint AND signers = %b",
            signed[:2],
        )
        return SignedCheckpoint._make(stored)

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        rows = self._datastore.read(_NEWEST)
        return SignedCheckpoint._make(rows[0]) if rows else None

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        select: LiteralString = (
            f"SELECT {_COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608
            " WHERE (size, signers) > (%b::bigint, %b::text)"
            " ORDER BY size, signers LIMIT %b::bigint"
        )
        after = (-1, "")
        while rows := self._datastore.read(select, (*after, PAGE)):
            yield from map(SignedCheckpoint._make, rows)
            after = rows[-1][:2]
