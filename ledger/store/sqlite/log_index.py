"""Return whether anything was committed to a SQLite file since a look at it, without asking SQLite.

All processes that have the file open share the index of its log (`-shm`) in their memory. Every
commit writes the index's header, twice, before it is answered
(<https://www.sqlite.org/walformat.html#the_wal_index_header>): with a count of the commits, the
log's length and its checksum. To compare these bytes takes a fortieth of what SQLite takes to say
that nothing is new.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path

_HEADERS_SIZE = 96  # both copies
_SALTS = slice(32, 40)
# How far the log was put into the file, and how far that was begun.
_DONE, _BEGUN = slice(96, 100), slice(128, 132)
_MAPPED_SIZE = 132

Inode = tuple[int, int]


class LogIndex:
    """What is kept of the index of one file's log."""

    def __init__(self, opened: int) -> None:
        found = os.fstat(opened)
        self.opened = opened
        self.inode: Inode = found.st_dev, found.st_ino
        self._mapped: mmap.mmap | None = None
        if found.st_size >= _MAPPED_SIZE:
            self._mapped = mmap.mmap(opened, _MAPPED_SIZE, access=mmap.ACCESS_READ)

    @property
    def is_removed(self) -> bool:
        """Return whether no connection can be opened to it any more."""
        return not os.fstat(self.opened).st_nlink

    def headers(self) -> bytes:
        """Return what is another after every commit; nothing if that cannot be told."""
        return self._mapped[:_HEADERS_SIZE] if self._mapped is not None else b""

    def put_into_file(self) -> bytes | None:
        """Return what is another before any of the log is put into the file.

        None while that goes on, or if it cannot be told.
        """
        found = self._mapped
        if found is None or found[_DONE] != found[_BEGUN]:
            return None
        return found[_SALTS] + found[_BEGUN]


# What this process has opened. To close one would release the locks that SQLite has on the same
# file, of all connections of this process; so each is kept for as long as the file is there.
_indexes: list[LogIndex] = []


def log_index(path: str) -> LogIndex | None:
    """Return the index under a path; None if there is none."""
    for one in [*_indexes]:
        with suppress(OSError, ValueError):  # another thread has just done it
            if one.is_removed:
                _indexes.remove(one)
                os.close(one.opened)
    try:
        found = Path(path).stat()
        for one in _indexes:
            if one.inode == (found.st_dev, found.st_ino):
                return one
        index = LogIndex(os.open(path, os.O_RDONLY))
    except (OSError, ValueError):  # a ValueError if it has just become shorter
        return None
    _indexes.append(index)
    return index
