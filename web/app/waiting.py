"""Waiting: few requests of a process at once, since each holds a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from web.app.thread_shares import WAITING_MAX

_count = WAITING_MAX
_places = BoundedSemaphore(_count)


def allow(count: int) -> None:
    """Let so many wait at once; to be called before anybody does."""
    global _count, _places
    _count, _places = count, BoundedSemaphore(count)


def places() -> int:
    """Return how many of this process's requests may wait for one thing at once."""
    return _count


@contextmanager
def place() -> Iterator[bool]:
    """Take a place, if one is free; yield whether this request may wait."""
    taken = _places
    if not taken.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        taken.release()
