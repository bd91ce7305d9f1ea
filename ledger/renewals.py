"""Which subscriptions have been renewed, so that their end is no news.

One has when keys that were redeemed later give at least as many seats of its product and tier from
its end on. What a later key gives counts for one renewal only: two tills whose seats end are not
both renewed by a single seat.

A later key that gives hardly anything after that end gave more seats, and renewed none: ten keys
that are redeemed in one week end in one week, and all ten are news.

A later key that is suspended gives no seats, and renews none until it is resumed.

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

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Final, NamedTuple

# A renewal gives at least this part of its time after the end of what it renews: one over so many.
PART_AFTER: Final = 4

_UNTIL: Final = itemgetter(0)


class SubscriptionSpan(NamedTuple):
    """A subscription that was not ended before its time, by a key.

    Attributes:
        suspended: it renews nothing, and may have been renewed.
        place: what it gives seats of: those of other places renew nothing of it.
        position: of the event that put it on the account.
    """

    id: str
    place: Hashable
    position: int
    seats: int
    starts_at: datetime
    ends_at: datetime
    suspended: bool = False

    @property
    def renews_until(self) -> datetime:
        """Return the latest end of another that it can renew."""
        return self.ends_at - (self.ends_at - self.starts_at) / PART_AFTER


def renewed(spans: Iterable[SubscriptionSpan]) -> set[str]:
    """Return the ids of those that have been renewed, of all that there are or have been."""
    by_place: defaultdict[Hashable, list[SubscriptionSpan]] = defaultdict(list)
    for one in spans:
        by_place[one.place].append(one)
    return {id for there in by_place.values() for id in _renewed(there)}


def _renewed(there: Sequence[SubscriptionSpan]) -> Iterator[str]:
    """Yield what has been renewed of one place, as ends come: what ends first is served first.

    Who can renew is asked for by the number of a span in `heirs`, which what can renew the earliest
    ends only comes first in, and by position. Each question takes about log n steps.
    """
    ones = sorted(there, key=lambda one: (one.ends_at, one.position))
    heirs = sorted(
        (one.renews_until, one.position, one) for one in ones if one.seats > 0 and not one.suspended
    )
    heirs = heirs[bisect_left(heirs, ones[0].ends_at, key=_UNTIL) :]
    starting = sorted((one.starts_at, number) for number, (_, _, one) in enumerate(heirs))
    open_to = _Open([position for _, position, _ in heirs])
    begun = finished = 0
    for one in ones:
        while begun < len(starting) and starting[begun][0] <= one.ends_at:
            number = starting[begun][1]
            later = heirs[number][2]
            if later.starts_at < later.ends_at:
                open_to.add(number, later.position, later.seats)
            begun += 1
        while finished < len(heirs) and heirs[finished][0] < one.ends_at:
            open_to.remove(finished)
            finished += 1
        if open_to.seats_after(one.position) >= one.seats:
            open_to.take(one.position, one.seats)
            yield one.id


class _Open:
    """Seats that renew something yet, by the number of what gives them.

    A tree of maxima finds the first number whose position is after another; sums of seats by
    position, in a binary indexed tree, tell whether there are enough.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        count = len(positions)
        self._positions = sorted(positions)
        self._sums = [0] * (len(self._positions) + 1)
        self._all = 0
        self._seats = [0] * count
        self._size = 1 << max(count - 1, 0).bit_length()
        self._latest = [0] * (2 * self._size)

    def add(self, number: int, position: int, seats: int) -> None:
        """Put what gives seats among those that renew."""
        self._seats[number] = seats
        self._count(position, seats)
        self._note(number, position)

    def remove(self, number: int) -> None:
        """Take out what is left of it, if it is there."""
        self._count(self._latest[self._size + number], -self._seats[number])
        self._seats[number] = 0
        self._note(number, 0)

    def seats_after(self, position: int) -> int:
        """Return how many seats there are of later positions."""
        rank, before = bisect_right(self._positions, position), 0
        while rank:
            before += self._sums[rank]
            rank &= rank - 1
        return self._all - before

    def take(self, position: int, seats: int) -> None:
        """Use up seats of later positions, those of the lowest numbers first."""
        while seats:
            number = self._first_after(position)
            its = min(self._seats[number], seats)
            if its == self._seats[number]:
                self.remove(number)
            else:
                self._seats[number] -= its
                self._count(self._latest[self._size + number], -its)
            seats -= its

    def _first_after(self, position: int) -> int:
        node = 1
        while node < self._size:
            node = 2 * node if self._latest[2 * node] > position else 2 * node + 1
        return node - self._size

    def _count(self, position: int, seats: int) -> None:
        self._all += seats
        rank = bisect_right(self._positions, position) if seats else len(self._sums)
        while rank < len(self._sums):
            self._sums[rank] += seats
            rank += rank & -rank

    def _note(self, number: int, position: int) -> None:
        node = self._size + number
        self._latest[node] = position
        while node > 1:
            node //= 2
            self._latest[node] = max(self._latest[2 * node], self._latest[2 * node + 1])
