"""What can be told at once of something that may be slow, or down: what it said last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """Asks in the background, one at a time, so that whoever wants to know never waits for long.

    Args:
        ask: may take any time, and raise anything.

    Attributes:
        known: the last answer; None before the first.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._asking: threading.Event | None = None
        self._failed = False
        self._since = 0.0
        self.known: T | None = None

    def is_fresh(self, patience_s: float) -> bool:
        """Ask, unless somebody does already; return whether an answer came.

        Args:
            patience_s: how long an answer may take, from when it was asked for: where many want to
                know and there is no answer, they do not wait one after the other.
        """
        with self._lock:
            asking = self._asking
            if asking is None:
                asking = self._asking = threading.Event()
                self._since = time.monotonic()
                threading.Thread(target=self._find_out, args=(asking,), daemon=True).start()
            left_s = self._since + patience_s - time.monotonic()
        return asking.wait(max(0.0, left_s)) and not self._failed

    def _find_out(self, asking: threading.Event) -> None:
        try:
            self.known = self._ask()
            self._failed = False
        except Exception:
            self._failed = True
        with self._lock:
            self._asking = None
        asking.set()
