"""An account's state: its subscriptions, who sits on their seats, and what it has at Stripe."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal

from immutables import Map
from msgspec import Struct

from ledger import pool
from ledger.events import Sealed
from ledger.streams.account.seat_sync_state import SeatSyncs
from ledger.streams.account.stripe_state import StripeState

SubscriptionStatus = Literal[
    "scheduled", "active", "suspended", "expired", "terminated", "transferred"
]
# It may give seats, now or later, if nothing more happens.
GOES_ON: Final = frozenset[SubscriptionStatus]({"scheduled", "active", "suspended"})


class Subscription(Struct, frozen=True, array_like=True, gc=False):
    """A subscription as its facts make it.

    Attributes:
        started_at, expires_at: it provides seats in `[started_at, expires_at)`, unless something
            else happens; on an account that took it over, from then on.
        position: of the event that put it on this account.
        terminated_at: when it ended before its time, or left for another account.
        scheduled: it was to begin later, and did so or will by the mere passing of time.
        follows: what a scheduled one was to begin after.
        transferred_to: the account that it left for.
    """

    id: str
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    started_at: datetime
    expires_at: datetime
    position: int
    terminated_at: datetime | None = None
    scheduled: bool = False
    follows: str | None = None
    suspended_at: datetime | None = None
    transferred_to: str | None = None

    def status(self, at: datetime) -> SubscriptionStatus:
        """Return what the subscription is at a moment that is not before its last fact.

        A fact counts as soon as it is folded: a clock that was ahead may have written a later time
        to it, and that changes nothing of its having happened.
        """
        if self.terminated_at is not None:
            return "transferred" if self.transferred_to else "terminated"
        if self.scheduled and at < self.started_at:
            return "scheduled"
        if at >= self.expires_at:
            return "expired"
        return "active" if self.suspended_at is None else "suspended"

    @property
    def ended_at(self) -> datetime:
        """Return when the subscription ended, or will if nothing more happens."""
        return self.terminated_at or self.expires_at

    def provides(self, at: datetime) -> pool.PoolRow | None:
        """Return what it gives at a moment."""
        return self.row() if self.status(at) == "active" else None

    def row(self) -> pool.PoolRow:
        """Return what it provides while it is active."""
        return pool.PoolRow(
            self.id,
            self.product,
            self.tier,
            self.seats,
            False,  # it does not renew
            self.started_at,
            self.expires_at,
        )


class Seat(Struct, frozen=True, array_like=True, gc=False):
    """A taken seat.

    Attributes:
        occupied_at, version: when somebody sat down on it, and the version of that event; they stay
            when the seat is passed on, and are its place in the queue.
        position: of the event with which this holder got it.
        predecessor: who had it before, if it was passed on.
    """

    product: str
    tier: str | None
    holder: str
    label: Sealed | None
    occupied_at: datetime
    version: int
    position: int
    predecessor: str | None = None

    @property
    def order(self) -> tuple[datetime, int]:
        """Return what holders of a pool are served by: when they sat down, then the version."""
        return self.occupied_at, self.version


Seats = Map[tuple[str, str], Seat]


class ListedSeats:
    """Seats as a snapshot lists them; the map of them is made when somebody looks for one.

    It takes as long to make as the list takes to read, and most questions only ask how many
    there are.
    """

    __slots__ = ("_listed", "_map")

    def __init__(self, listed: list[Seat]) -> None:
        self._listed = listed
        self._map: Seats | None = None

    def by_place(self) -> Seats:
        """Return them by product and holder."""
        if self._map is None:
            # One by one, which takes two thirds of what it takes by way of a dict.
            making = Seats().mutate()
            for seat in self._listed:
                making[seat.product, seat.holder] = seat
            self._map = making.finish()
        return self._map

    def __eq__(self, other: object) -> bool:
        return self.by_place() == (other.by_place() if isinstance(other, ListedSeats) else other)

    __hash__ = None  # type: ignore[assignment]


class Account(Struct, frozen=True):
    """An account as its facts make it; one that nothing happened to is empty.

    The maps are persistent ones (hash array mapped tries): a state that was handed out stays valid
    while later ones are folded from it, without copying.

    Attributes:
        subscriptions: by id, ended ones too, in the order of activation.
        taken: the seats, as a map or as what one can be made of; see `seats`.
        used: how many are taken, by product and tier; no zeroes.
        texts: how many texts were sealed and not erased since.
        erased_at: when its texts were last erased.
        stripe: what Stripe has reported about it.
        seat_syncs: how far Stripe has been told of seats that are billed.
    """

    subscriptions: dict[str, Subscription]
    taken: Seats | ListedSeats
    used: dict[tuple[str, str | None], int]
    texts: int = 0
    erased_at: datetime | None = None
    stripe: StripeState = StripeState()
    seat_syncs: SeatSyncs = SeatSyncs()

    @property
    def seats(self) -> Seats:
        """Return the taken seats by product and holder."""
        return self.taken.by_place() if isinstance(self.taken, ListedSeats) else self.taken

    def seat(self, product: str, holder: str) -> Seat | None:
        """Return the holder's seat of a product, None if it has none."""
        return self.seats.get((product, holder))

    def rows(self, at: datetime) -> Iterator[pool.PoolRow]:
        """Return what provides seats at a moment, of all products."""
        for subscription in self.subscriptions.values():
            row = subscription.provides(at)
            if row is not None:
                yield row
        if self.stripe.subscriptions:
            yield from self.stripe.provides(at)

    def places(self) -> set[tuple[str, str | None]]:
        """Return the product and tier of every pool that it has, or has had, something in."""
        bought = {(one.product, one.tier) for one in self.subscriptions.values()}
        return bought | set(self.used) | self.stripe.places()

    def steps(self) -> set[datetime]:
        """Return the moments at which what it provides changes by the mere passing of time."""
        return set(self._steps())

    def next_step(self, at: datetime) -> datetime | None:
        """Return the first such moment after another one; None if nothing is going to change."""
        later = [step for step in self._steps() if step > at]
        return min(later) if later else None

    def _steps(self) -> list[datetime]:
        # Not a set: to hash a time that has just been read takes as long as to read it.
        steps = [one.ended_at for one in self.subscriptions.values()]
        steps += [one.started_at for one in self.subscriptions.values() if one.scheduled]
        if self.stripe.subscriptions:
            steps.extend(self.stripe.steps())
        return steps

    def pool(self, product: str, tier: str | None, at: datetime) -> pool.Filled:
        """Return how one pool stands at a moment."""
        rows = (row for row in self.rows(at) if (row.product, row.tier) == (product, tier))
        return pool.fill(rows, self.used.get((product, tier), 0))

    def holders(self, product: str, tier: str | None) -> list[Seat]:
        """Return the taken seats of one pool, who came first first."""
        taken = (s for s in self.seats.values() if (s.product, s.tier) == (product, tier))
        return sorted(taken, key=lambda seat: seat.order)
