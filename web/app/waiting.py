"""Waiting: few requests of a process at once, since each holds a thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from web.app.thread_shares import WAITING_MAX

_count = WAITING_MAX
_slots = BoundedSemaphore(_count)


def allow(count: int) -> None:
    """Let so many wait at once; to be called before anybody does."""
    global _count, _slots
    _count, _slots = count, BoundedSemaphore(count)


def slot_count() -> int:
    """Return how many of this process's requests may wait for one thing at once."""
    return _count


@contextmanager
def slot() -> Iterator[bool]:
    """Take a slot, if one is free; yield whether this request may wait."""
    taken = _slots
    if not taken.acquire(blocking=False):
        yield False
        return
    try:
        yield True
    finally:
        taken.release()
