"""Work on many keys, so many in one commit: what is done is done, and asking again goes on."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from commands.retry import PAUSE_MAX_S, LedgerBusy
from ledger.book import LedgerUnavailable
from ledger.store.contract import VersionConflict
from ledger.store.eventsourcing_adapter import InterfaceError, OperationalError

KEYS_IN_A_COMMIT: Final = 1_000
CUT_AFTER_CONFLICT: Final = 4
# Without a conflict, before parts grow again: who redeems one key after the other gets few of them.
COMMITS_BEFORE_MORE: Final = 10
# One after the other, without any progress between.
CONFLICTS_MAX: Final = 200


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
        work: does one part in one commit; where another writer comes between (VersionConflict),
            smaller parts are tried, so that there is progress whatever is done with the keys
            meanwhile.

    Raises:
        PartlyDone: the database failed, or was too busy, after the first commit.
        LedgerUnavailable, LedgerBusy: nothing was done.
    """
    left = deque(dict.fromkeys(ids))
    known = set(left)
    count, size, lost, won = 0, KEYS_IN_A_COMMIT, 0, 0
    while left:
        part = [left.popleft() for _ in range(min(size, len(left)))]
        try:
            done = work(part)
        except VersionConflict:
            # Somebody was there first with one of them: with fewer at a time that is rarer, down
            # to one, which can only be lost to who has changed that very key.
            left.extendleft(reversed(part))
            size = max(1, len(part) // CUT_AFTER_CONFLICT)
            lost, won = lost + 1, 0
            if lost == CONFLICTS_MAX:
                raise (PartlyDone(count) if count else LedgerBusy()) from None
            time.sleep(random.uniform(0, PAUSE_MAX_S) if size == 1 else 0)  # noqa: S311
            continue
        except (LedgerUnavailable, OperationalError, InterfaceError) as fault:
            if count:
                raise PartlyDone(count) from fault
            raise
        lost, won = 0, won + 1
        if won % COMMITS_BEFORE_MORE == 0:
            size = min(KEYS_IN_A_COMMIT, size * 2)
        count += done.changed
        for id in done.successors:
            if id not in known:
                known.add(id)
                left.append(id)
    return count
