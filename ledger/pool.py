"""Whose seat is it?

Seats of one product and tier form a pool over everything that provides them, whatever its source.
A holder is let in while the pool has room. Which row a holder counts against is derived at reading,
never stored: rows are filled in a fixed order by the holders in the order in which they came.

    rows     renewing first, then latest end, then earliest start, then id
    holders  by the moment they sat down, then by version

A row whose seats are billed by the number of holders is open: it takes all who are left.

So when a row ends, its holders move to what is left; when the pool shrinks under its holders,
nobody is thrown out: the newest are *over*, and are licensed again as soon as there is room.

    >>> from datetime import datetime, UTC
    >>> day = lambda n: datetime(2026, 3, n, tzinfo=UTC)
    >>> small = PoolRow("kfsub_a", "pos", None, 2, False, day(1), day(20))
    >>> large = PoolRow("kfsub_b", "pos", None, 5, False, day(2), day(30))
    >>> [(row.subscription, used) for row, used in fill([small, large], used=6).rows]
    [('kfsub_b', 5), ('kfsub_a', 1)]
    >>> fill([small], used=6).over
    4
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_NO_END: Final = timedelta.min


class PoolRow(NamedTuple):
    """Something that provides seats of one product and tier at the moment asked about.

    `expires_at` is None for a row that renews with no known end. An `open` row takes as many
    holders as come: its seats are billed by their number.
    """

    subscription: str
    product: str
    tier: str | None
    seats: int
    renews: bool
    started_at: datetime
    expires_at: datetime | None
    open: bool = False


class Filled(NamedTuple):
    """A pool's rows in order, each with how many holders count against it; and how it stands.

    The rows' numbers add up to `used - over`.
    """

    rows: list[tuple[PoolRow, int]]
    seats: int
    used: int
    over: int

    @property
    def free(self) -> int:
        """Return how many more holders find a seat; 0, too, where more are used than there are."""
        return max(self.seats - self.used, 0)

    @property
    def has_room(self) -> bool:
        """Return whether one more holder is let in."""
        return self.free > 0 or any(row.open for row, _ in self.rows)

    def row_at(self, rank: int) -> PoolRow | None:
        """Return the row of the holder that came in `rank`-th, from 0; None when it is over."""
        for row, used in self.rows:
            if rank < used:
                return row
            rank -= used
        return None


def in_order(rows: Iterable[PoolRow]) -> list[PoolRow]:
    """Return the rows in the order in which they are filled."""
    found = list(rows)
    if len(found) > 1:
        found.sort(key=_order)
    return found


def _order(row: PoolRow) -> tuple[bool, timedelta, datetime, str]:
    before_latest = _NO_END if row.expires_at is None else _LATEST - row.expires_at
    return not row.renews, before_latest, row.started_at, row.subscription


def fill(rows: Iterable[PoolRow], used: int) -> Filled:
    """Return the rows of one pool in their order, with `used` holders spread over them."""
    filled: list[tuple[PoolRow, int]] = []
    seats, left = 0, used
    for row in in_order(rows):
        here = left if row.open or left < row.seats else row.seats
        filled.append((row, here))
        seats, left = seats + row.seats, left - here
    return Filled(filled, seats, used, left)
