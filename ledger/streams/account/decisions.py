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

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from immutables import Map
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Sealed, Stream
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
from ledger.streams.account import seat_sync_state, stripe_state
from ledger.streams.account.state import Account, Seat, Subscription
from ledger.streams.key import KeyIssued
from ledger.stripe import facts, requests

# Facts


class SubscriptionActivated(Fact, frozen=True):
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


class SubscriptionKeyReissued(Fact, frozen=True):
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
        texts: how many could be read until then, in whichever stream; before there was a count of
            those, how many had been sealed in this one.
        reason: why; sealed under a key of its own, which outlives the one that was destroyed.
    """

    owner: str
    texts: int
    reason: Sealed | None = None


# Fold


class _Draft:
    """A state on its way to the next one; what it began with stays valid.

    Of seats and of their moves it only notes what happened, since most of it is overtaken by what
    happened after; what came of it is reckoned when the draft is finished.

    Attributes:
        places: who sits now where something happened, by product and holder; None for nobody.
        moves: when seats were taken or given back, by product.
    """

    __slots__ = (
        "before", "erased_at", "moves", "places", "seat_syncs", "seats", "stripe", "subscriptions",
        "texts",
    )  # fmt: skip

    def __init__(self, account: Account) -> None:
        self.before = account
        self.subscriptions = account.subscriptions
        self.seats = account.seats
        self.places: dict[tuple[str, str], Seat | None] = {}
        self.moves: dict[str, list[datetime]] = {}
        self.texts = account.texts
        self.erased_at = account.erased_at
        self.stripe = account.stripe
        self.seat_syncs = account.seat_syncs

    def finished(self) -> Account:
        """Return the account with every change of the draft in it."""
        self.settle_moves()
        seats, used = self.seats.mutate(), dict(self.before.used)
        for place, seat in self.places.items():
            _leave(seats.pop(place, None), used)
            if seat is not None:
                seats[place] = seat
                used[seat.product, seat.tier] = used.get((seat.product, seat.tier), 0) + 1
        return Account(
            self.subscriptions,
            seats.finish(),
            used,
            self.texts,
            self.erased_at,
            self.stripe,
            self.seat_syncs,
        )

    def settle_moves(self) -> None:
        if self.moves:
            self.seat_syncs = seat_sync_state.with_moves(self.seat_syncs, self.moves)
            self.moves = {}

    def seat(self, place: tuple[str, str]) -> Seat | None:
        """Return a holder's seat as the draft has it, by product and holder."""
        return self.places[place] if place in self.places else self.seats.get(place)

    def put(self, subscription: Subscription) -> None:
        if self.subscriptions is self.before.subscriptions:
            self.subscriptions = dict(self.subscriptions)
        self.subscriptions[subscription.id] = subscription


def fold(account: Account, events: Iterable[AnyOccurrence]) -> Account:
    """Return the account after these events, which are the next of its stream."""
    draft = _Draft(account)
    for event in events:
        fact = event.fact
        _APPLY.get(type(fact), _reported)(draft, fact, event)
    return draft.finished()


def _occupied(draft: _Draft, fact: SeatOccupied, event: AnyOccurrence) -> None:
    product, holder, at = fact.product, fact.holder, event.occurred_at
    draft.places[product, holder] = Seat(
        product, fact.tier, holder, fact.label, at, event.version, event.position
    )
    draft.texts += fact.label is not None
    draft.moves.setdefault(product, []).append(at)


def _released(draft: _Draft, fact: SeatReleased, event: AnyOccurrence) -> None:
    draft.places[fact.product, fact.holder] = None
    draft.texts += fact.reason is not None
    draft.moves.setdefault(fact.product, []).append(event.occurred_at)


def _relabelled(draft: _Draft, fact: SeatRelabelled, _: AnyOccurrence) -> None:
    draft.texts += fact.label is not None
    place = fact.product, fact.holder
    seat = draft.seat(place)
    if seat is not None:
        draft.places[place] = replace(seat, label=fact.label)


def _activated(draft: _Draft, fact: SubscriptionActivated, event: AnyOccurrence) -> None:
    draft.put(
        Subscription(
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
    )


def _key_reissued(draft: _Draft, fact: SubscriptionKeyReissued, _: AnyOccurrence) -> None:
    known = draft.subscriptions.get(fact.subscription)
    if known is not None:
        draft.put(replace(known, key=fact.key, masked=fact.masked))


def _terminated(draft: _Draft, fact: SubscriptionTerminated, event: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    known = draft.subscriptions.get(fact.subscription)
    if known is not None:
        draft.put(replace(known, terminated_at=event.occurred_at))


def _erased(draft: _Draft, _: AccountErased, event: AnyOccurrence) -> None:
    """Forget what nobody can read any more."""
    for place in {*draft.seats, *draft.places}:
        seat = draft.seat(place)
        if seat is not None and seat.label is not None:
            draft.places[place] = replace(seat, label=None)
    draft.texts, draft.erased_at = 0, event.occurred_at


def _reported(draft: _Draft, fact: Fact, event: AnyOccurrence) -> None:
    draft.texts += isinstance(getattr(fact, "reason", None), Sealed)
    draft.stripe = stripe_state.fold(draft.stripe, event)
    draft.settle_moves()
    draft.seat_syncs = seat_sync_state.with_sync(draft.seat_syncs, event)


def _leave(seat: Seat | None, used: dict[tuple[str, str | None], int]) -> None:
    """Count a seat out, if there was one; what is counted is always what is in `seats`."""
    if seat is None:
        return
    used[seat.product, seat.tier] -= 1
    if not used[seat.product, seat.tier]:
        del used[seat.product, seat.tier]


_APPLY: dict[type[Fact], Callable[[_Draft, Any, AnyOccurrence], None]] = {
    SeatOccupied: _occupied,
    SeatReleased: _released,
    SeatRelabelled: _relabelled,
    SubscriptionActivated: _activated,
    SubscriptionKeyReissued: _key_reissued,
    SubscriptionTerminated: _terminated,
    AccountErased: _erased,
}


# Decisions


def expect_version(version: int, expected: int | None) -> None:
    """Hold the account's version against the one that the caller has seen, if any.

    Raises:
        VersionMismatch: something was recorded since.
    """
    if expected is not None and expected != version:
        raise VersionMismatch(version)


def activate(key: KeyIssued, subscription: str, now: datetime) -> list[Fact]:
    """Return the fact that begins a key's subscription. Never refused: seats only add up."""
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
    """Return the fact that a subscription goes by the code that replaced its own."""
    return [SubscriptionKeyReissued(subscription=subscription, key=key.key, masked=key.masked)]


def terminate(
    account: Account, subscription: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """Return the fact that ends a key-sourced subscription before its time; none if it was so
    ended.

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
    """Return the fact that lets a holder in. One that sits there keeps its seat, with a new label
    if any.

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
    """Return the fact that gives a holder's seat back.

    Raises:
        SeatNotOccupied: the holder has none of this product.
    """
    seat = account.seat(product, holder)
    if seat is None:
        raise SeatNotOccupied
    return [SeatReleased(product=product, tier=seat.tier, holder=holder, reason=reason)]


def erase(
    account: Account, owner: str, reason: Sealed | None, texts: int, *, had_key: bool = False
) -> list[Fact]:
    """Return the fact that the account's free text is given up; none if none came since the last
    time.

    Args:
        texts: how many could be read, in this stream and in others.
        had_key: there was a key that texts were sealed under, of this stream or of others.

    Of an account that never had a text it is recorded, too: somebody asked, and may ask for proof.
    """
    if account.erased_at is not None and not account.texts and not had_key:
        return []
    return [AccountErased(owner=owner, texts=texts, reason=reason)]


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
        "stripe.customer_linked@1": facts.StripeCustomerLinked,
        "stripe.customer_unlinked@1": facts.StripeCustomerUnlinked,
        "stripe.subscription_given_up@1": facts.StripeSubscriptionGivenUp,
        "stripe.prices_mapped@1": facts.StripePricesMapped,
        **facts.REPORTS,
        **requests.SEAT_SYNCS,
        **requests.PURCHASES,
    },
    initial=Account({}, Map(), {}),
    fold=fold,
)
