"""A lock that one process at a time holds, of all that work with a ledger, on whichever machine.

It is given up by the death of its holder, with nobody's help: on PostgreSQL it belongs to a
connection, on SQLite to an open file.

    lock = open_exclusive_lock("sqlite:///keyfold.db", "webhooks")
    if lock.acquire():
        …  while lock.is_held(): …
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from ledger.store import kind_of
from ledger.store.eventsourcing_adapter import OperationalError

if TYPE_CHECKING:
    import psycopg

_KEY_BYTES: Final = 7  # of a whole number that PostgreSQL takes


class ExclusiveLock(Protocol):
    """A lock; not for threads to share."""

    def acquire(self) -> bool:
        """Return whether the lock is ours now; at once, without waiting for its holder.

        Raises:
            PersistenceError: the database does not respond.
        """

    def is_held(self) -> bool:
        """Return whether the lock is ours still."""

    def release(self) -> None:
        """Give the lock up, if it is held."""


def open_exclusive_lock(database_url: str, name: str) -> ExclusiveLock:
    """Return a lock of the ledger at an address; it is not held yet.

    Args:
        name: of what is to be done by one; letters and underscores.
    """
    match kind_of(database_url):
        case "sqlite":
            from ledger.store.sqlite.datastore import path_of

            return FileLock(f"{os.path.realpath(path_of(database_url))}-{name}")
        case "postgres":
            return AdvisoryLock(database_url, name)
        case "memory":
            return ProcessLock()


class ProcessLock:
    """The lock of a ledger in memory, which no other process has."""

    def acquire(self) -> bool:
        """Return True."""
        return True

    def is_held(self) -> bool:
        """Return True."""
        return True

    def release(self) -> None:
        """Do nothing."""


class FileLock:
    """A lock on an empty file beside the ledger's, which goes with it, or stays after a kill."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """See `ExclusiveLock.acquire`."""
        if self.is_held():
            return True
        self.release()
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperationalError(f"cannot open {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return self.is_held()

    def is_held(self) -> bool:
        """Return whether the file that is locked is still the one under its path."""
        if self._descriptor is None:
            return False
        ours = os.fstat(self._descriptor)
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as the descriptor's
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """See `ExclusiveLock.release`.

        Who opened the file before it was removed finds, once it is locked, that it is no more the
        one under its path, and opens another.
        """
        if self._descriptor is None:
            return
        if self.is_held():
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108 - as it was opened
        os.close(self._descriptor)
        self._descriptor = None


class AdvisoryLock:
    """A lock of a session of PostgreSQL."""

    def __init__(self, database_url: str, name: str) -> None:
        self._database_url = database_url
        digest = hashlib.sha256(f"keyfold {name}".encode()).digest()
        self._key = int.from_bytes(digest[:_KEY_BYTES], "big")
        self._connection: psycopg.Connection[Any] | None = None
        self._is_ours = False

    def acquire(self) -> bool:
        """See `ExclusiveLock.acquire`; who has to wait keeps his connection."""
        import psycopg
        from psycopg.rows import tuple_row

        from ledger.store.postgres.datastore import connect, conninfo_of, fault_of

        if self.is_held():
            return True
        try:
            if self._connection is None:
                self._connection = connect(conninfo_of(self._database_url), {}, tuple_row)
            # A standby gives such locks too, and after a fail-over it would be one more.
            ((self._is_ours,),) = self._connection.execute(
                "SELECT CASE WHEN pg_is_in_recovery() THEN false ELSE pg_try_advisory_lock(%s) END",
                (self._key,),
            )
        except psycopg.Error as error:
            self.release()
            raise fault_of(error) from error
        return self._is_ours

    def is_held(self) -> bool:
        """Return whether the session goes on; with it ends the lock."""
        if self._connection is None or not self._is_ours:
            return False
        import psycopg

        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            self.release()
            return False
        return True

    def release(self) -> None:
        """See `ExclusiveLock.release`."""
        self._is_ours = False
        if self._connection is not None:
            import psycopg

            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
