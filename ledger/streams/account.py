"""One customer's account: its subscriptions, and who sits on their seats.

Stream:    `account-<id>`, where the id is the portal's own
Facts:     SubscriptionActivated, SubscriptionKeyReissued, SubscriptionTerminated,
           SeatOccupied, SeatRelabelled, SeatReleased, AccountErased; what Stripe reports
Invariant: nobody is let in while as many seats are taken as there are.
Source:    the guide "Subscriptions".

All of an account is one stream, so that its history has one order and its seats one guard: whoever
decides on a seat appends to the stream that the decision was read from, and loses the race if
anything came between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Literal

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger import pool
from ledger.events import AnyEvent, Fact, Sealed, Stream
from ledger.months import add_months
from ledger.refusals import (
    HolderInOtherTier,
    ManagedInStripe,
    NoSeatAvailable,
    SeatNotOccupied,
    SubscriptionEnded,
    SubscriptionNotFound,
    VersionMismatch,
)
from ledger.streams import seat_syncs, stripe, stripe_side
from ledger.streams.key import KeyIssued
from ledger.streams.seat_syncs import SeatSyncs
from ledger.streams.stripe_side import StripeSide

SubscriptionStatus = Literal["active", "expired", "terminated"]


# Facts


class SubscriptionActivated(Fact, frozen=True, gc=False):
    """A redeemed key began to provide seats; it started when this fact occurred.

    Attributes:
        key, masked: the key's id, and what may be shown of its code.
        expires_at: `months` calendar months after the start; stored, so that no later rule about
            months changes what was sold.
    """

    subscription: str
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    expires_at: datetime


class SubscriptionKeyReissued(Fact, frozen=True, gc=False):
    """The subscription stays as it is, and is known by another code from now on."""

    subscription: str
    key: str
    masked: str


class SubscriptionTerminated(Fact, frozen=True):
    """The subscription ended before its time."""

    subscription: str
    reason: Sealed | None = None


class SeatOccupied(Fact, frozen=True):
    """A holder took a seat of a product and tier."""

    product: str
    tier: str | None
    holder: str
    label: Sealed | None = None


class SeatRelabelled(Fact, frozen=True):
    """A holder's seat was given another label; None takes the label away."""

    product: str
    holder: str
    label: Sealed | None = None


class SeatReleased(Fact, frozen=True):
    """A holder's seat was given back."""

    product: str
    tier: str | None
    holder: str
    reason: Sealed | None = None


class AccountErased(Fact, frozen=True):
    """The account's free text was given up: the key it was sealed under was destroyed.

    Attributes:
        owner: whose texts they were, as `Sealed.owner` has it.
        texts: how many were sealed since the account began, or since it was last erased.
        reason: why; sealed under a key of its own, which outlives the one that was destroyed.
    """

    owner: str
    texts: int
    reason: Sealed | None = None


# State


class Subscription(Struct, frozen=True):
    """A subscription as its facts make it.

    Attributes:
        started_at, expires_at: it provides seats in `[started_at, expires_at)`, unless terminated.
        position: of the event that activated it.
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

    def status(self, at: datetime) -> SubscriptionStatus:
        """Answer what the subscription is at a moment that is not before its start."""
        if self.terminated_at is not None and at >= self.terminated_at:
            return "terminated"
        return "active" if at < self.expires_at else "expired"

    @property
    def ended_at(self) -> datetime:
        """Answer when the subscription ended, or will if nothing more happens."""
        return self.terminated_at or self.expires_at

    def row(self) -> pool.Row:
        """Answer what it provides while it is active."""
        return pool.Row(
            self.id,
            self.product,
            self.tier,
            self.seats,
            renews=False,
            started_at=self.started_at,
            expires_at=self.expires_at,
        )


class Seat(Struct, frozen=True):
    """A taken seat.

    Attributes:
        version, position: of the event with which the holder sat down.
    """

    product: str
    tier: str | None
    holder: str
    label: Sealed | None
    occupied_at: datetime
    version: int
    position: int

    @property
    def order(self) -> tuple[datetime, int]:
        """By which holders of a pool are served: who came first."""
        return self.occupied_at, self.version


class Account(Struct, frozen=True):
    """An account as its facts make it; one that nothing happened to is empty.

    The maps are persistent ones (hash array mapped tries): a state that was handed out stays valid
    while later ones are folded from it, without copying.

    Attributes:
        subscriptions: by id, ended ones too, in the order of activation.
        seats: taken ones, by product and holder.
        used: how many are taken, by product and tier; no zeroes.
        texts: how many texts were sealed and not erased since.
        erased_at: when its texts were last erased.
        stripe: what Stripe has reported about it.
        seat_syncs: how far Stripe has been told of seats that are billed.
    """

    subscriptions: dict[str, Subscription]
    seats: Map[tuple[str, str], Seat]
    used: dict[tuple[str, str | None], int]
    texts: int = 0
    erased_at: datetime | None = None
    stripe: StripeSide = StripeSide()
    seat_syncs: SeatSyncs = SeatSyncs()

    def seat(self, product: str, holder: str) -> Seat | None:
        return self.seats.get((product, holder))

    def rows(self, at: datetime) -> Iterator[pool.Row]:
        """Answer what provides seats at a moment, of all products."""
        for subscription in self.subscriptions.values():
            if subscription.status(at) == "active":
                yield subscription.row()
        yield from self.stripe.provides(at)

    def places(self) -> set[tuple[str, str | None]]:
        """Answer the product and tier of every pool that it has, or has had, something in."""
        bought = {(one.product, one.tier) for one in self.subscriptions.values()}
        return bought | set(self.used) | self.stripe.places()

    def steps(self) -> set[datetime]:
        """Answer the moments at which what it provides changes by the mere passing of time."""
        return {one.ended_at for one in self.subscriptions.values()} | self.stripe.steps()

    def pool(self, product: str, tier: str | None, at: datetime) -> pool.Filled:
        """Answer how one pool stands at a moment."""
        rows = (row for row in self.rows(at) if (row.product, row.tier) == (product, tier))
        return pool.fill(rows, self.used.get((product, tier), 0))

    def holders(self, product: str, tier: str | None) -> list[Seat]:
        """Answer the taken seats of one pool, who came first first."""
        taken = (s for s in self.seats.values() if (s.product, s.tier) == (product, tier))
        return sorted(taken, key=lambda seat: seat.order)


# Fold


def fold(account: Account, events: Iterable[AnyEvent]) -> Account:
    subscriptions = dict(account.subscriptions)
    used = dict(account.used)
    seats = account.seats.mutate()
    texts, erased_at = account.texts, account.erased_at
    at_stripe, syncs = account.stripe, account.seat_syncs
    for event in events:
        fact = event.fact
        match fact:
            case SeatOccupied(product=product, tier=tier, holder=holder, label=label):
                _leave(seats.pop((product, holder), None), used)
                seats[product, holder] = Seat(
                    product, tier, holder, label, event.occurred_at, event.version, event.position
                )
                used[product, tier] = used.get((product, tier), 0) + 1
                texts += label is not None
                syncs = seat_syncs.with_move(syncs, product, event.occurred_at)
            case SeatReleased():
                _leave(seats.pop((fact.product, fact.holder), None), used)
                texts += fact.reason is not None
                syncs = seat_syncs.with_move(syncs, fact.product, event.occurred_at)
            case SeatRelabelled():
                texts += fact.label is not None
                place = fact.product, fact.holder
                if place in seats:
                    seats[place] = replace(seats[place], label=fact.label)
            case SubscriptionActivated():
                subscriptions[fact.subscription] = _activated(fact, event)
            case SubscriptionKeyReissued() if fact.subscription in subscriptions:
                subscriptions[fact.subscription] = replace(
                    subscriptions[fact.subscription], key=fact.key, masked=fact.masked
                )
            case SubscriptionTerminated():
                texts += fact.reason is not None
                _end(subscriptions, fact.subscription, event.occurred_at)
            case AccountErased():
                seats = _without_labels(seats.finish()).mutate()
                texts, erased_at = 0, event.occurred_at
            case _:
                texts += isinstance(getattr(fact, "reason", None), Sealed)
                at_stripe = stripe_side.fold(at_stripe, event)
                syncs = seat_syncs.with_sync(syncs, event)
    return Account(subscriptions, seats.finish(), used, texts, erased_at, at_stripe, syncs)


def _end(subscriptions: dict[str, Subscription], id: str, at: datetime) -> None:
    if id in subscriptions:
        subscriptions[id] = replace(subscriptions[id], terminated_at=at)


def _without_labels(seats: Map[tuple[str, str], Seat]) -> Map[tuple[str, str], Seat]:
    """Forget what nobody can read any more."""
    return Map({place: replace(seat, label=None) for place, seat in seats.items()})


def _leave(seat: Seat | None, used: dict[tuple[str, str | None], int]) -> None:
    """Count a seat out, if there was one; what is counted is always what is in `seats`."""
    if seat is None:
        return
    used[seat.product, seat.tier] -= 1
    if not used[seat.product, seat.tier]:
        del used[seat.product, seat.tier]


def _activated(fact: SubscriptionActivated, event: AnyEvent) -> Subscription:
    return Subscription(
        id=fact.subscription,
        key=fact.key,
        masked=fact.masked,
        product=fact.product,
        tier=fact.tier,
        seats=fact.seats,
        months=fact.months,
        started_at=event.occurred_at,
        expires_at=fact.expires_at,
        position=event.position,
    )


# Decisions


def expect_version(version: int, expected: int | None) -> None:
    """Hold the account's version against the one that the caller has seen, if any.

    Raises:
        VersionMismatch: something was recorded since.
    """
    if expected is not None and expected != version:
        raise VersionMismatch(version)


def activate(key: KeyIssued, subscription: str, now: datetime) -> list[Fact]:
    """Begin the subscription that a redeemed key gives. Never refused: seats only add up."""
    return [
        SubscriptionActivated(
            subscription=subscription,
            key=key.key,
            masked=key.masked,
            product=key.product,
            tier=key.tier,
            seats=key.seats,
            months=key.months,
            expires_at=add_months(now, key.months),
        )
    ]


def rename_key(subscription: str, key: KeyIssued) -> list[Fact]:
    """Let a subscription be known by the code that replaced its own."""
    return [SubscriptionKeyReissued(subscription=subscription, key=key.key, masked=key.masked)]


def terminate(
    account: Account, subscription: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """End a key-sourced subscription before its time. Ended so already: nothing is recorded.

    Raises:
        SubscriptionNotFound: this account has no such subscription.
        ManagedInStripe: it is Stripe's to end.
        SubscriptionEnded: it had run out by itself.
    """
    found = account.subscriptions.get(subscription)
    if found is None:
        if any(one.subscription == subscription for one in account.stripe.subscriptions.values()):
            raise ManagedInStripe
        raise SubscriptionNotFound
    match found.status(now):
        case "terminated":
            return []
        case "expired":
            raise SubscriptionEnded
    return [SubscriptionTerminated(subscription=subscription, reason=reason)]


def occupy(
    account: Account,
    product: str,
    tier: str | None,
    holder: str,
    label: Sealed | None,
    now: datetime,
    *,
    capped: bool = True,
) -> list[Fact]:
    """Let a holder in. One that sits there already keeps its seat, with the new label if any.

    Args:
        capped: whether there is an end to the seats; seats that are billed by the number of
            holders have none.

    Raises:
        HolderInOtherTier: it has a seat of this product in another tier: that is given back first.
        NoSeatAvailable: as many are taken as there are.
    """
    seat = account.seat(product, holder)
    if seat is not None:
        if seat.tier != tier:
            raise HolderInOtherTier(seat.tier)
        if label is None or label == seat.label:
            return []
        return [SeatRelabelled(product=product, holder=holder, label=label)]
    filled = account.pool(product, tier, now)
    if capped and not filled.has_room:
        raise NoSeatAvailable(filled.seats, filled.used)
    return [SeatOccupied(product=product, tier=tier, holder=holder, label=label)]


def release(
    account: Account, product: str, holder: str, reason: Sealed | None = None
) -> list[Fact]:
    """Give a seat back.

    Raises:
        SeatNotOccupied: the holder has none of this product.
    """
    seat = account.seat(product, holder)
    if seat is None:
        raise SeatNotOccupied
    return [SeatReleased(product=product, tier=seat.tier, holder=holder, reason=reason)]


def erase(account: Account, owner: str, reason: Sealed | None) -> list[Fact]:
    """Give up the account's free text. With none since the last time: nothing is recorded.

    Of an account that never had a text it is recorded, too: somebody asked, and may ask for proof.
    """
    if account.erased_at is not None and not account.texts:
        return []
    return [AccountErased(owner=owner, texts=account.texts, reason=reason)]


ACCOUNT: Stream[Account] = Stream(
    kind="account",
    facts={
        "account.subscription_activated@1": SubscriptionActivated,
        "account.subscription_key_reissued@1": SubscriptionKeyReissued,
        "account.subscription_terminated@1": SubscriptionTerminated,
        "account.seat_occupied@1": SeatOccupied,
        "account.seat_relabelled@1": SeatRelabelled,
        "account.seat_released@1": SeatReleased,
        "account.erased@1": AccountErased,
        "stripe.customer_linked@1": stripe.StripeCustomerLinked,
        "stripe.prices_mapped@1": stripe.StripePricesMapped,
        **stripe.REPORTS,
        **stripe.SEAT_SYNCS,
        **stripe.PURCHASES,
    },
    initial=Account({}, Map(), {}),
    fold=fold,
)
