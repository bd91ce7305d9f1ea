"""Return whether a SQLite file is still the one that was opened.

SQLite goes on writing to a file that was renamed or deleted, and what is written to it is lost.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from ledger.store.sqlite.log_index import Inode, LogIndex, log_index

_HEADER_SIZE = 100  # it says how many pages there are, and is another after most changes
# The bytes that SQLite locks to read, and to put the log into the file when the last one leaves.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


def _inode(path: str) -> Inode | None:
    """Return which file is under a path, None if none is."""
    try:
        found = os.stat(path)  # noqa: PTH116 - for every read, and a Path takes as long again
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Files:
    """Which files a process has open: the ledger's, and its log once there is one."""

    def __init__(self, path: str) -> None:
        self._path = path
        # SQLite follows links, and keeps its other files beside what it finds.
        self._found = os.path.realpath(path)
        self._log = f"{self._found}-wal"
        self._opened = _inode(path)
        self._opened_log: Inode | None = None
        self._index: LogIndex | None = None
        self._is_index_ours = False
        self._written_ns = 0
        self._kept: int | None = None
        self._lock = Lock()
        self._size = 0
        self._header = b""
        self._put_into_file: bytes | None = None
        self._is_written_over = False

    def are_not_replaced(self) -> bool:
        """Return whether the same files are still under their paths."""
        if self._opened is None:
            self._opened = _inode(self._path)
            return True
        try:
            found = os.stat(self._path)  # noqa: PTH116 - as above
        except OSError:
            return False
        if (found.st_dev, found.st_ino) != self._opened:
            return False
        if self._opened_log is not None and _inode(self._log) != self._opened_log:
            return False
        is_known = (
            found.st_mtime_ns == self._written_ns
            and found.st_size == self._size
            and self._put_into_file_now() == self._put_into_file
        )
        try:
            return is_known or not self._was_written_over()
        except OSError:  # it was removed just now
            return False

    def _put_into_file_now(self) -> bytes | None:
        found = self._index if self._is_index_ours else None
        return None if found is None else found.put_into_file()

    def _was_written_over(self) -> bool:
        """Return whether the file is another although its log was not put into it.

        An older copy that was put over it in place, under the same log. SQLite itself writes to the
        file only what it takes from the log, and says so beforehand.
        """
        with self._lock:
            found, header = os.stat(self._path), _header(self._path)  # noqa: PTH116 - as above
            # In this order: what was put into the file by now is said in the index.
            put_into_file = self._put_into_file_now()
            known = self._put_into_file
            is_another = (found.st_size, header) != (self._size, self._header)
            if known is not None and known == put_into_file and is_another:
                self._is_written_over = True
            if self._is_written_over:
                return True
            # In that order: what is not said in the index is not in the file yet.
            found, header = os.stat(self._path), _header(self._path)  # noqa: PTH116 - as above
            self._put_into_file = put_into_file
            self._written_ns, self._size, self._header = found.st_mtime_ns, found.st_size, header
            return False

    def note_log(self) -> None:
        """Note which log there is: while a connection is open, SQLite makes no other one."""
        if self._opened_log is None:
            self._opened_log = _inode(self._log)
            if self._opened_log is not None:
                self._index = log_index(f"{self._found}-shm")

    def committed(self) -> bytes:
        """Return what is another after every commit; nothing while that cannot be told.

        Which is so until a commit of our own has changed it: what lies there under the name of an
        index may be left over from another file.
        """
        return self._headers() if self._is_index_ours else b""

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Yield for a commit of ours, and see by it whether the index is that of our file."""
        before = self._headers()
        yield
        if before and self._headers() != before:
            self._is_index_ours = True

    def _headers(self) -> bytes:
        return self._index.headers() if self._index is not None else b""

    @property
    def is_another(self) -> bool:
        """Return whether another file is under the path, or none."""
        return _inode(self._path) != self._opened

    def keep_from_log(self) -> bool:
        """Keep the file from its old log, if it was written over; return false if done before.

        Whoever leaves last puts the log into the file: into an older copy that would be pages of
        two histories. A lock on what SQLite locks for that keeps it from doing so, until `let_go`.
        If only the log was removed, that is how its events are saved.
        """
        if self._kept is not None:
            return False
        self._kept = os.open(self._path, os.O_RDONLY)  # to close it would release SQLite's locks
        if self._is_written_over:
            self._rename_log()
        written = os.fstat(self._kept).st_mtime_ns
        if written != self._written_ns and hasattr(fcntl, "F_OFD_SETLK"):
            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
            fcntl.fcntl(self._kept, fcntl.F_OFD_SETLK, lock)
        return True

    def let_go(self) -> None:
        """Let others have the file, when the connections to it are closed."""
        self._index, self._is_index_ours = None, False
        if self._kept is not None:
            os.close(self._kept)
            self._kept = None

    def put_log_aside(self) -> None:
        """Keep the log of the file that was opened from being taken for that of another one.

        SQLite would put its pages into whatever file has the ledger's name. Each process that had
        the file open does this; who comes second finds the log of the new file, and must leave it
        alone. So the look and the rename are one step for all of them, and the connections to the
        old log must be open still, or its inode may be that of a new one.
        """
        if os.path.realpath(self._path) != self._found:
            return  # the name leads elsewhere; the file that was opened keeps its log
        self._rename_log()

    def _rename_log(self) -> None:
        with _alone_in(Path(self._found).parent):
            if self._opened_log is not None and _inode(self._log) == self._opened_log:
                with suppress(FileNotFoundError):
                    Path(self._log).rename(f"{self._log}.replaced")
                Path(f"{self._found}-shm").unlink(missing_ok=True)


# To close one would release the locks that SQLite has on the same file, as with indexes of logs; so
# each is kept for as long as the file is there.
_opened: dict[Inode, int] = {}
_opening = Lock()


def _header(path: str) -> bytes:
    """Return the first bytes of a file that SQLite has open."""
    with _opening:
        for known, opened in [*_opened.items()]:
            if not os.fstat(opened).st_nlink:
                os.close(_opened.pop(known))
        inode = _inode(path)
        if inode is None or inode not in _opened:
            opened = os.open(path, os.O_RDONLY)
            found = os.fstat(opened)
            inode = found.st_dev, found.st_ino
            _opened[inode] = opened
        return os.pread(_opened[inode], _HEADER_SIZE, 0)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Be the only process in this block for a folder."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
