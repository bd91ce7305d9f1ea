"""Locks for threads that decide on the same stream: best effort, not for correctness.

Of eight that decide on one version only one can append; the others would have decided for nothing.
Other processes know nothing of it, a few streams share a lock, and who has waited for long goes on
without.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from ledger.events import Stream
from ledger.store.connections import PerProcess

LOCKS = 1_024
PATIENCE_S = 1.0


class BestEffortLock:
    """Let one thread at a time into a `with` block, most of the time."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._taken = False

    @property
    def is_taken(self) -> bool:
        """Return whether somebody is in the block, this thread or another."""
        return self._lock.locked()

    def __enter__(self) -> None:
        self._taken = self._lock.acquire(timeout=PATIENCE_S)

    def __exit__(self, *_: object) -> None:
        if self._taken:
            self._lock.release()


class StreamLocks:
    """A striped lock: each stream has one of a fixed number of locks."""

    def __init__(self) -> None:
        self._locks = PerProcess(lambda: [Lock() for _ in range(LOCKS)])

    def of(self, stream: Stream[Any], id: str) -> BestEffortLock:
        """Return the lock of a stream, for one `with` block."""
        return BestEffortLock(self._locks()[hash((stream.kind, id)) % LOCKS])
