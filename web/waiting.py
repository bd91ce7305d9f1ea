"""Waiting for the ledger: few requests of a process at once, since each holds a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Final

# Half of a worker's threads, as many as it has by default, are for the others.
WAITING_MAX: Final = 4

_places = BoundedSemaphore(WAITING_MAX)


@contextmanager
def place() -> Iterator[bool]:
    """Take a place, if one is free; yield whether this request may wait."""
    if not _places.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        _places.release()
