"""How long things take in this process, and how often: to be watched, nothing is decided on it.

Nothing is locked, since a process may fork at any moment: of two threads that count at the same
instant one may be lost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Final, NamedTuple

# From a read of a file that is in memory to a commit on a disk that is about to fail.
BOUNDS_S: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip


class Work(NamedTuple):
    """Something that took its time, and is over.

    Attributes:
        is_call: whether it was a call to somebody else, and not to the database.
        about: what may be known of it outside, never whose it was.
        error: a word or two for why it failed; None if it did not.
    """

    name: str
    seconds: float
    is_call: bool = False
    about: Mapping[str, str | int] = MappingProxyType({})
    error: str | None = None


# Who is told of each piece of work in this process: nobody, unless it is traced.
LISTENERS: Final[list[Callable[[Work], object]]] = []


def tell(work: Work) -> None:
    """Tell whoever listens, if anybody does, of a piece of work that is over."""
    for listener in LISTENERS:
        listener(work)


class Durations:
    """How many times something took how long.

    Attributes:
        sum_s: of all of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float, error: Exception | None = None) -> None:
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds
        if LISTENERS:
            tell(Work(self._name, seconds, error=type(error).__name__ if error else None))

    def up_to(self) -> list[int]:
        """Return how many took no longer than each of the bounds, and then how many there were."""
        return list(accumulate(self._counts))


# An append, from when it queues until it is in, or refused; a read of streams from the database; a
# read of a table, with what it caught up first.
APPENDS: Final = Durations("append")
READS: Final = Durations("read streams")
TABLE_READS: Final = Durations("read table")
# Into how many commits how many appends went; and how many reads of streams the database was
# spared, since nothing was new and what is kept of them was good.
COUNTS: Final[Counter[str]] = Counter(commits=0, appends=0, reads_kept=0)
