"""What can be told at once of something that may be slow, or down: what it said last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

TIMES_AS_LONG = 20


class LastKnown(Generic[T]):
    """Asks in the background, one at a time, so that whoever wants to know never waits for long.

    Args:
        ask: may take any time, and raise anything.
        least_age_s: a value that is younger is not asked for again, nor one that is younger than
            twenty times what it took to find out. So it takes a bounded part of the time, however
            often somebody wants to know.
        clock: in seconds.

    Attributes:
        known: the last value; None before the first.
    """

    def __init__(
        self,
        ask: Callable[[], T],
        least_age_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._least_age_s = least_age_s
        self._clock = clock
        self._refresh_at: float | None = None
        self._lock = threading.Lock()
        self._pending: threading.Event | None = None
        self._failed = False
        self._since = 0.0
        self.known: T | None = None

    def is_fresh(self, timeout_s: float) -> bool:
        """Return whether the value is fresh; refresh it first, unless that was done lately.

        Args:
            timeout_s: how long finding out may take, from its beginning: where many want to know,
                they do not wait one after the other.
        """
        with self._lock:
            if self._refresh_at is not None and self._clock() < self._refresh_at:
                return True
            finished = self._pending
            if finished is None:
                finished = self._pending = threading.Event()
                self._since = time.monotonic()
                try:
                    threading.Thread(target=self._refresh, args=(finished,), daemon=True).start()
                except (RuntimeError, MemoryError):  # there is none to be had now
                    self._pending = None
                    return False
            left_s = self._since + timeout_s - time.monotonic()
        return finished.wait(max(0.0, left_s)) and not self._failed

    def _refresh(self, finished: threading.Event) -> None:
        began = self._clock()
        refresh_at = None
        try:
            self.known = self._ask()
            self._failed = False
            if self._least_age_s:
                ended = self._clock()
                refresh_at = ended + max(self._least_age_s, TIMES_AS_LONG * (ended - began))
        except Exception:
            self._failed = True
        with self._lock:
            self._refresh_at = refresh_at
            self._pending = None
        finished.set()
