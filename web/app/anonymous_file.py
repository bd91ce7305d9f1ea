"""A file without a name, which processes that one starts another can share.

It is in memory where the system has such files, and gone when the last process has closed it. It is
read and written, never mapped: to touch a page for which there is no room would kill the process.
"""

from __future__ import annotations

import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any, Self


class AnonymousFile:
    """One such file; it goes with a process that is started, by its descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def new(cls) -> Self:
        """Return a new, empty one."""
        if hasattr(os, "memfd_create"):
            return cls(os.memfd_create("keyfold"))
        with tempfile.TemporaryFile() as file:
            return cls(os.dup(file.fileno()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand the file to a process that is being started."""
        return _received, (type(self), DupFd(self._fd))


def _received(kind: type[AnonymousFile], fd: Any) -> AnonymousFile:
    return kind(fd.detach())
