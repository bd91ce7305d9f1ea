"""Which subscriptions have been renewed, so that their end is no news.

One has when keys that were redeemed later give at least as many seats of its product and tier from
its end on. What a later key gives counts for one renewal only: two tills whose seats end are not
both renewed by a single seat.

    >>> from datetime import datetime, UTC
    >>> day = lambda n: datetime(2026, 3, n, tzinfo=UTC)
    >>> first = SubscriptionSpan("a", 1, 2, None, day(10))
    >>> renewed([first, SubscriptionSpan("b", 2, 2, day(10), day(20))])
    {'a'}
    >>> renewed([first, SubscriptionSpan("b", 2, 1, None, day(20))])
    set()
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class SubscriptionSpan(NamedTuple):
    """A subscription that has not ended before its time, by a key.

    Attributes:
        position: of the event that put it on the account.
        starts_at: None for one that had begun then.
    """

    id: str
    position: int
    seats: int
    starts_at: datetime | None
    ends_at: datetime


def renewed(spans: Iterable[SubscriptionSpan]) -> set[str]:
    """Return the ids of those that are renewed; all are of one account, product and tier."""
    in_order = sorted(spans, key=lambda one: (one.ends_at, one.position))
    left = {one.id: one.seats for one in in_order}
    found: set[str] = set()
    for one in in_order:
        heirs = [later for later in in_order if _follows(later, one)]
        wanted = one.seats
        if sum(left[heir.id] for heir in heirs) < wanted:
            continue
        for heir in heirs:
            taken = min(left[heir.id], wanted)
            left[heir.id] -= taken
            wanted -= taken
        found.add(one.id)
    return found


def _follows(later: SubscriptionSpan, one: SubscriptionSpan) -> bool:
    begins_in_time = later.starts_at is None or later.starts_at <= one.ends_at
    return later.position > one.position and begins_in_time and later.ends_at > one.ends_at
