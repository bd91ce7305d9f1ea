"""Which subscriptions have been renewed, so that their end is no news.

One has when keys that were redeemed later give at least as many seats of its product and tier from
its end on. What a later key gives counts for one renewal only: two tills whose seats end are not
both renewed by a single seat.

A later key that gives hardly anything after that end gave more seats, and renewed none: ten keys
that are redeemed in one week end in one week, and all ten are news.

Time alone changes nothing of this: what has ended keeps what renewed it.

    >>> from datetime import datetime, UTC
    >>> day = lambda n: datetime(2026, 3, n, tzinfo=UTC)
    >>> first = SubscriptionSpan("a", ("cloud_pos",), 1, 2, day(1), day(10))
    >>> renewed([first, SubscriptionSpan("b", ("cloud_pos",), 2, 2, day(10), day(20))])
    {'a'}
    >>> renewed([first, SubscriptionSpan("b", ("cloud_pos",), 2, 1, day(10), day(20))])
    set()
    >>> renewed([first, SubscriptionSpan("b", ("cloud_pos",), 2, 2, day(2), day(11))])
    set()
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

# A renewal gives at least this part of its time after the end of what it renews: one over so many.
PART_AFTER: Final = 4


class SubscriptionSpan(NamedTuple):
    """A subscription that was not ended before its time, by a key.

    Attributes:
        place: what it gives seats of: those of other places renew nothing of it.
        position: of the event that put it on the account.
    """

    id: str
    place: Hashable
    position: int
    seats: int
    starts_at: datetime
    ends_at: datetime

    @property
    def renews_until(self) -> datetime:
        """Return the latest end of another that it can renew."""
        return self.ends_at - (self.ends_at - self.starts_at) / PART_AFTER

    def renews(self, one: SubscriptionSpan) -> bool:
        """Return whether it goes on where another one ends, so that its seats may take over."""
        begins_in_time = self.starts_at <= one.ends_at
        return self.position > one.position and begins_in_time and self.ends_at > one.ends_at


def renewed(spans: Iterable[SubscriptionSpan]) -> set[str]:
    """Return the ids of those that have been renewed, of all that there are or have been."""
    by_place: defaultdict[Hashable, list[SubscriptionSpan]] = defaultdict(list)
    for one in spans:
        by_place[one.place].append(one)
    return {id for there in by_place.values() for id in _renewed(there)}


def _renewed(there: Sequence[SubscriptionSpan]) -> Iterable[str]:
    left = {one.id: one.seats for one in there}
    heirs = sorted(there, key=lambda one: (one.renews_until, one.position))
    for one in sorted(there, key=lambda one: (one.ends_at, one.position)):
        taken, lacking = [], one.seats
        for later in heirs[bisect_left(heirs, one.ends_at, key=lambda heir: heir.renews_until) :]:
            if lacking and later.renews(one):
                seats = min(left[later.id], lacking)
                taken.append((later, seats))
                lacking -= seats
            if not lacking:
                break
        if lacking:
            continue
        for later, seats in taken:
            left[later.id] -= seats
            if not left[later.id]:
                heirs.remove(later)
        yield one.id
