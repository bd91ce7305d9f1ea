"""Return whether the ledger under a process is still the one that it has been reading.

A database can go back: a fail-over to a standby that lacked the last commits, a restore, an older
file renamed into place. What a process remembers is then of a history that no longer exists. So
each store counts *generations*: whenever it may be looking at another history, the next one begins,
and whatever was remembered in an earlier one is worth nothing.

The *mark* is the last event whose content is known. A ledger that does not hold it any more, or
holds another one in its place, has gone back.
"""

from __future__ import annotations

import logging
from threading import Lock
from typing import NamedTuple

_log = logging.getLogger("keyfold.ledger")


class Mark(NamedTuple):
    """An event that was in the ledger."""

    position: int
    state: bytes


class Lineage:
    """The generation, the mark, and what is to be said of a ledger that went back."""

    def __init__(self) -> None:
        self.generation = 0
        self.mark = Mark(0, b"")
        self.notice: str | None = None
        self._lock = Lock()

    def saw(self, position: int, state: bytes) -> None:
        """Note an event that is in the ledger."""
        if position > self.mark.position:
            self.mark = Mark(position, state)

    def begin(self, notice: str | None = None) -> None:
        """Begin the next generation: nothing that was remembered counts any more.

        Args:
            notice: why, if it is not harmless; logged, and kept for whoever asks.
        """
        with self._lock:
            self.generation += 1
            self.mark = Mark(0, b"")
            if notice:
                self.notice = notice
        if notice:
            _log.error("%s; everything that was remembered has been dropped", notice)

    def went_back(self, mark: Mark, head: int) -> None:
        """Begin the next generation of a ledger that has lost an event."""
        if head < mark.position:
            self.begin(f"the ledger went back: it had reached {mark.position}, and ends at {head}")
        else:
            self.begin(f"the ledger went back: position {mark.position} holds another event")
