"""What can be told at once of something that may be slow, or down: what it said last."""

from __future__ import annotations

import threading
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
        self.known: T | None = None

    def is_fresh(self, patience_s: float) -> bool:
        """Ask, unless somebody does already; return whether an answer came within `patience_s`.

        `known` is that answer then.
        """
        with self._lock:
            asking = self._asking
            if asking is None:
                asking = self._asking = threading.Event()
                threading.Thread(target=self._find_out, args=(asking,), daemon=True).start()
        return asking.wait(patience_s) and not self._failed

    def _find_out(self, asking: threading.Event) -> None:
        try:
            self.known = self._ask()
            self._failed = False
        except Exception:
            self._failed = True
        with self._lock:
            self._asking = None
        asking.set()
