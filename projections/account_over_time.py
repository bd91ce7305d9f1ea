"""An account at every moment at which one of its facts came to count."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from ledger.events import AnyEvent
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account

# States that are kept to fold on from when facts turn out to have been recorded out of their order.
# Clocks of several machines differ by little, so those facts are few and near.
_STATES_KEPT = 64

_version = attrgetter("version")


def account_over_time(
    events: Iterable[AnyEvent], latest: datetime
) -> Iterator[tuple[datetime, Account]]:
    """Yield each moment at which facts came to count, oldest first, and the account from it on.

    It is the account that a question about that moment finds: of what had occurred by then, folded
    in the order in which it was recorded. What is later than `latest`, by a clock that was wrong,
    counts from `latest` on.
    """

    def counts_from(event: AnyEvent) -> datetime:
        return min(event.occurred_at, latest)

    counted: list[AnyEvent] = []  # by version
    states: deque[tuple[int, Account]] = deque(maxlen=_STATES_KEPT)  # of how many of them
    for at, group in groupby(sorted(events, key=counts_from), counts_from):
        new = sorted(group, key=_version)
        place = bisect(counted, new[0].version, key=_version)
        counted[place:] = sorted([*counted[place:], *new], key=_version)
        while states and states[-1][0] > place:
            states.pop()
        count, account = states[-1] if states else (0, ACCOUNT.initial)
        # Also where the new ones end: what comes next most likely goes there, before the same
        # facts that were recorded later.
        for end in sorted({bisect(counted, new[-1].version, key=_version), len(counted)}):
            account = ACCOUNT.fold(account, counted[count:end])
            states.append((end, account))
            count = end
        yield at, account
