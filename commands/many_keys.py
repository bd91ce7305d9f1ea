"""Work on many keys, so many in one commit: what is done is done, and asking again goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from commands.retry import LedgerBusy, retry_on_conflict
from ledger.book import LedgerUnavailable
from ledger.store.eventsourcing_adapter import InterfaceError, OperationalError

KEYS_IN_A_COMMIT: Final = 1_000


class PartlyDone(Exception):
    """A fault came after some commits: what they did stays, and asking again does the rest."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} keys are done and stay so: ask again for the rest")
        self.done = done


class DoneKeys(NamedTuple):
    """What one commit did.

    Attributes:
        changed: how many keys.
        successors: of keys that were replaced since somebody looked: to be worked on as well.
    """

    changed: int
    successors: Sequence[str]


def work_on(ids: Iterable[str], work: Callable[[Sequence[str]], DoneKeys]) -> int:
    """Work on keys by their ids, a part in each commit; return how many were changed.

    Args:
        work: does one part; repeated if another writer came between.

    Raises:
        PartlyDone: the database failed, or was too busy, after the first commit.
        LedgerUnavailable, LedgerBusy: nothing was done.
    """
    left = deque(dict.fromkeys(ids))
    known = set(left)
    count = 0
    while left:
        part = [left.popleft() for _ in range(min(KEYS_IN_A_COMMIT, len(left)))]
        try:
            done = retry_on_conflict(lambda part=part: work(part))  # type: ignore[misc]
        except (LedgerUnavailable, LedgerBusy, OperationalError, InterfaceError) as fault:
            if count:
                raise PartlyDone(count) from fault
            raise
        count += done.changed
        for id in done.successors:
            if id not in known:
                known.add(id)
                left.append(id)
    return count
