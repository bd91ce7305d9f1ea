"""Connections to a SQLite file: one that appends, a few that read, a few for side tables.

The file must be there: only `ledger.store.schema.upgrade` makes one. The journal is a write-ahead
log, so that readers never wait for a writer, and every commit is on the disk when it is answered.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from ledger.store import eventsourcing_adapter as library
from ledger.store import unfinished_restore
from ledger.store.connections import Connections, PerProcess, close_when_dropped
from ledger.store.contract import Append, OutcomeUnknown, RestoreBegun, replaced
from ledger.store.lineage import Lineage, Mark
from ledger.store.sqlite import patience
from ledger.store.sqlite.files import Files
from ledger.store.sqlite.patience import patiently

T = TypeVar("T")

CONNECTIONS_MAX = 6  # of each kind, in each process
PATIENCE_S = 10.0


def path_of(database_url: str) -> str:
    """Return the absolute path that `sqlite:///PATH` means from the present working folder."""
    return str(Path(database_url.removeprefix("sqlite:///")).absolute())


def connect(path: str) -> sqlite3.Connection:
    """Open a file that is there in autocommit, for any thread.

    `synchronous=FULL` and `fullfsync` mean: on the disk when a commit returns. `temp_store=MEMORY`:
    what a large append could have to take back is not in a file elsewhere, on a disk that may be
    full.

    Raises:
        sqlite3.OperationalError: it is not there, or cannot be opened.
    """
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw",
        uri=True,
        timeout=patience.BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA fullfsync=ON")
        connection.execute("PRAGMA temp_store=MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def make(path: str) -> None:
    """Make an empty file that only its owner can read, unless there is one.

    SQLite gives the files beside it (`-wal`, `-shm`) the same permissions. One that is there is not
    even opened: to close it would release the locks of all connections that this process has to it,
    and another process would then put the log into the file beneath them.

    Raises:
        sqlite3.OperationalError: it cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise sqlite3.OperationalError(f"unable to open database file: {error.strerror}") from error


def settle(database_url: str) -> None:
    """Put all of the log into the file, so that the file by itself is the whole ledger.

    For when everybody has left; while others are at work it does what can be done without waiting.
    An address of another kind of database is passed over.
    """
    if not database_url.startswith("sqlite:"):
        return
    with suppress(sqlite3.Error), closing(connect(path_of(database_url))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Have the file written through a log, so that readers never wait; it stays so."""
    patiently(connection, "PRAGMA journal_mode=WAL")


def _connect_reader(path: str) -> sqlite3.Connection:
    connection = connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def fault_of(error: sqlite3.Error, path: str) -> library.PersistenceError:
    """Return a fault of the driver in the library's words, with the driver's as its cause."""
    if unfinished_restore.REFUSED in str(error):
        return RestoreBegun(unfinished_restore.REFUSED)
    hint = ""
    if not Path(path).exists() or "no such table" in str(error):
        hint = "; is there no ledger yet? run: keyfold db upgrade"
    fault = library.fault_class(sqlite3, error)(f"{error} ({path}){hint}")
    fault.__cause__ = error
    return fault


def _connect_side(path: str, *, waits_for_disk: bool) -> sqlite3.Connection:
    """Open a connection for side tables, with rows that are read by name."""
    connection = connect(path)
    if not waits_for_disk:
        connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
    connection.row_factory = sqlite3.Row
    return connection


@contextmanager
def transaction(
    connection: sqlite3.Connection, *, commit: bool, within_s: float | None = None
) -> Iterator[sqlite3.Cursor]:
    """Yield a cursor inside a transaction, which takes the write lock first.

    Without `commit` it takes no lock, and is rolled back.

    Args:
        within_s: for how long the lock is waited for, if not for as long as ever.
    """
    if commit:
        connection.execute("PRAGMA busy_timeout=0")
        try:
            patiently(connection, "BEGIN IMMEDIATE", within_s=within_s)
        finally:
            connection.execute(f"PRAGMA busy_timeout={int(patience.BUSY_TIMEOUT_S * 1000)}")
    else:
        connection.execute("BEGIN")
    try:
        with closing(connection.cursor()) as cursor:
            yield cursor
        if commit:
            connection.commit()
    finally:
        connection.rollback()


class SqliteWriter:
    """The one connection of a process that appends; used by one thread at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction, commit it, and return what it returned.

        Raises:
            OutcomeUnknown: the disk failed in the middle of the commit.
            sqlite3.Error, or what `work` raised: certainly nothing was changed.
        """
        connection = self._connection or self._open()
        patiently(connection, "BEGIN IMMEDIATE")
        try:
            result = work(connection)
            _commit(connection)
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise
        return result

    def insert(self, statement: str, params: Sequence[object]) -> int:
        """Insert one row in a transaction of its own, and return its rowid.

        To have the statement begin and commit by itself saves two others.

        Raises:
            OutcomeUnknown, sqlite3.Error: as `transact` does.
        """
        connection = self._connection or self._open()
        try:
            return patiently(connection, statement, params).lastrowid or 0
        except sqlite3.OperationalError as error:
            _doubt_the_disk(error)
            raise

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise library.InterfaceError("the store has been closed")
        connection = connect(self._path)
        use_write_ahead_log(connection)  # a restored copy may have lost it
        connection.execute("PRAGMA busy_timeout=0")
        self._connection = connection
        close_when_dropped(self, [connection])
        return connection

    @property
    def is_closed(self) -> bool:
        """Return whether it was closed for good."""
        return self._closed

    def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _commit(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        _doubt_the_disk(error)
        raise


def _doubt_the_disk(error: sqlite3.OperationalError) -> None:
    """Raise OutcomeUnknown if a commit failed in the one way after which the events may be there.

    The last write of a commit is the mark that makes it one. If the disk fails to confirm it, the
    mark may yet be found there after a crash.
    """
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_IOERR:
        raise OutcomeUnknown(f"the disk failed during the commit: {error}") from error


_LOG_GONE = (
    "the ledger's log (-wal) was removed while the file was open, or an older copy was put over it:"
    " stop every Keyfold, put the file in place, and start again"
)
_LOOK_BACK = """
    SELECT coalesce(max(rowid), 0), (SELECT state FROM keyfold_events WHERE rowid = ?)
    FROM keyfold_events
"""


class SqliteConnections(NamedTuple):
    """The connections of one process.

    Attributes:
        files: that they have open.
        writer: appends to the ledger.
        readers: the ledger's own reads.
        others: side tables.
    """

    files: Files
    writer: SqliteWriter
    readers: Connections[sqlite3.Connection]
    others: Connections[sqlite3.Connection]


# When the database was read: in which files, and after which commit of theirs.
Look = tuple[Files, bytes]


class SqliteDatastore:
    """A file that is there, with a few connections to it in each process.

    Args:
        side_waits_for_disk: whether what is committed to side tables is on the disk then. If not, a
            crash of the machine may take it back, and nothing that was committed before it.
    """

    def __init__(self, path: str, *, side_waits_for_disk: bool = True) -> None:
        self.path = path
        self._side_waits_for_disk = side_waits_for_disk
        self.lineage = Lineage()
        self._replacing = RLock()
        self._sessions = PerProcess(self._make_sessions)

    def _make_sessions(self) -> SqliteConnections:
        def idle(connection: sqlite3.Connection) -> bool:
            return not connection.in_transaction

        def reader() -> sqlite3.Connection:
            return _connect_reader(self.path)

        def side() -> sqlite3.Connection:
            return _connect_side(self.path, waits_for_disk=self._side_waits_for_disk)

        return SqliteConnections(
            Files(self.path),
            SqliteWriter(self.path),
            Connections(reader, idle, CONNECTIONS_MAX, PATIENCE_S),
            Connections(side, idle, CONNECTIONS_MAX, PATIENCE_S),
        )

    def _current(self) -> SqliteConnections:
        """Return the connections to the file that is under the path now.

        Raises:
            OperationalError: there was one, and now there is none; or its log is gone.
        """
        sessions = self._sessions()
        if sessions.writer.is_closed or sessions.files.are_not_replaced():
            return sessions
        return self._reopened(sessions)

    def _reopened(self, stale: SqliteConnections) -> SqliteConnections:
        with self._replacing:
            sessions = self._sessions()
            if sessions is not stale and sessions.files.are_not_replaced():
                return sessions
            mark = self.lineage.mark
            if not sessions.files.is_another:
                # Connections of this file share what they know of its log, in the whole process.
                if sessions.files.keep_from_log():
                    self.lineage.begin(_LOG_GONE)
                raise library.OperationalError(_LOG_GONE)
            sessions.files.put_log_aside()
            _close(sessions)
            self._sessions.replace(self._make_sessions())
            if not Path(self.path).exists():
                self.lineage.begin("the ledger's file was removed")
                raise library.OperationalError(
                    f"the ledger's file is gone ({self.path}): put it back; it is used again then"
                )
            self.lineage.begin("another file is under the ledger's path")
            self._hold_to(mark)
            return self._sessions()

    def look_back(self) -> None:
        """See `Recorder.look_back`."""
        self._hold_to(self.lineage.mark)

    def _hold_to(self, mark: Mark) -> None:
        if mark.position:
            ((head, state),) = self.read(_LOOK_BACK, (mark.position,))
            if state != mark.state:
                self.lineage.went_back(mark, head)

    def read(self, statement: str, params: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one reading statement: one snapshot.

        Raises:
            PersistenceError: a fault, in the library's words.
        """
        return self.look(statement, params)[1]

    def look(
        self, statement: str, params: Sequence[object] = ()
    ) -> tuple[Look, list[tuple[Any, ...]]]:
        """Return rows as `read` does, and when they were read."""
        while True:
            sessions = self._current()
            at = sessions.files, sessions.files.committed()
            try:
                rows = _rows(sessions.readers, statement, params)
            except (sqlite3.Error, library.InterfaceError) as error:
                if sessions is not self._sessions():
                    continue  # another thread has found another file under the path
                if isinstance(error, sqlite3.Error):
                    raise fault_of(error, self.path) from error
                raise
            sessions.files.note_log()
            return at, rows

    def is_news(self, since: Look) -> bool:
        """Return whether anything may have been committed since a look, by anybody."""
        files, committed = since
        return self._current().files is not files or not committed or files.committed() != committed

    def append(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in a transaction on the connection that appends, and return what it returned.

        Raises:
            OutcomeUnknown: the disk failed in the middle of the commit.
            PersistenceError: any other fault; certainly nothing was changed.
        """
        sessions = self._current()
        try:
            with sessions.files.committing():
                done = sessions.writer.transact(work)
        except sqlite3.Error as error:
            self._confirm(sessions)
            raise fault_of(error, self.path) from error
        self._confirm(sessions)
        return done

    def _confirm(self, sessions: SqliteConnections) -> None:
        """Refuse to call recorded what was written to a file that is no longer the ledger's.

        Raises:
            OutcomeUnknown: another file is under the path by now.
        """
        if not sessions.files.are_not_replaced() or sessions is not self._sessions():
            raise OutcomeUnknown("the ledger's file was replaced during the commit")
        sessions.files.note_log()

    def append_row(self, statement: str, append: Append) -> int:
        """Insert one row on the connection that appends, and return its rowid.

        Raises:
            LedgerReplaced: the append was decided on an earlier generation.
            OutcomeUnknown, PersistenceError: as `append` does.
        """
        sessions = self._current()
        if append.generation not in (None, self.lineage.generation):
            raise replaced(append)
        try:
            with sessions.files.committing():
                place = sessions.writer.insert(statement, append.entries[0])
        except sqlite3.Error as error:
            self._confirm(sessions)
            raise fault_of(error, self.path) from error
        self._confirm(sessions)
        return place

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for side tables, in autocommit."""
        with self._faults(), self._current().others.lend() as connection:
            yield connection

    @contextmanager
    def transaction(
        self, *, commit: bool, within_s: float | None = None
    ) -> Iterator[sqlite3.Cursor]:
        """Yield a cursor for side tables: see `transaction`."""
        with (
            self.connection() as connection,
            transaction(connection, commit=commit, within_s=within_s) as cursor,
        ):
            yield cursor

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say faults of the driver in the library's words, with the driver's as their cause."""
        try:
            yield
        except sqlite3.Error as error:
            raise fault_of(error, self.path) from error

    def close(self) -> None:
        """Close what this process has opened."""
        sessions = self._sessions.made()
        if sessions is not None:
            _close(sessions)


def _rows(
    readers: Connections[sqlite3.Connection],
    statement: str,
    params: Sequence[object],
) -> list[tuple[Any, ...]]:
    connection = readers.take()
    try:
        return connection.execute(statement, params).fetchall()
    finally:
        readers.give_back(connection)


def _close(sessions: SqliteConnections) -> None:
    sessions.writer.close()
    sessions.readers.close()
    sessions.others.close()
    sessions.files.let_go()
