"""One customer's account: its subscriptions, and who sits on their seats.

Stream:    `account-<id>`, where the id is the portal's own
Facts:     SubscriptionActivated, SubscriptionImported, SubscriptionScheduled,
           SubscriptionRescheduled, SubscriptionStarted, SubscriptionExtended,
           SubscriptionSuspended, SubscriptionResumed,
           SubscriptionTransferred, SubscriptionTakenOver, SubscriptionKeyReissued,
           SubscriptionTerminated, SeatOccupied, SeatPassedOn, SeatRelabelled, SeatReleased,
           AccountErased; what Stripe reports
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
from ledger.streams.account import seat_sync_state, stripe_state
from ledger.streams.account.facts import (
    AccountErased,
    SeatOccupied,
    SeatPassedOn,
    SeatRelabelled,
    SeatReleased,
    SubscriptionActivated,
    SubscriptionExtended,
    SubscriptionImported,
    SubscriptionKeyReissued,
    SubscriptionRescheduled,
    SubscriptionResumed,
    SubscriptionScheduled,
    SubscriptionStarted,
    SubscriptionSuspended,
    SubscriptionTakenOver,
    SubscriptionTerminated,
    SubscriptionTransferred,
)
from ledger.streams.account.state import Account, Seat, Subscription
from ledger.stripe import facts, requests


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

    def change(self, subscription: str, **fields: Any) -> None:
        """Change fields of a subscription, if there is one of that id."""
        known = self.subscriptions.get(subscription)
        if known is not None:
            self.put(replace(known, **fields))


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


def _passed_on(draft: _Draft, fact: SeatPassedOn, event: AnyOccurrence) -> None:
    """Put a holder in the place of another; as many are taken as before, so nothing moved.

    At a moment that knows nothing of the other's coming, the holder came by itself.
    """
    place = fact.product, fact.predecessor
    seat = draft.seat(place)
    draft.places[place] = None
    draft.texts += fact.label is not None
    draft.places[fact.product, fact.holder] = Seat(
        fact.product,
        fact.tier,
        fact.holder,
        fact.label,
        seat.occupied_at if seat else event.occurred_at,
        seat.version if seat else event.version,
        event.position,
        fact.predecessor,
    )


def _relabelled(draft: _Draft, fact: SeatRelabelled, _: AnyOccurrence) -> None:
    draft.texts += fact.label is not None
    place = fact.product, fact.holder
    seat = draft.seat(place)
    if seat is not None:
        draft.places[place] = replace(seat, label=fact.label)


def _activated(
    draft: _Draft, fact: SubscriptionActivated | SubscriptionImported, event: AnyOccurrence
) -> None:
    elsewhere = fact.redeemed_at if isinstance(fact, SubscriptionImported) else None
    draft.put(
        Subscription(
            id=fact.subscription,
            key=fact.key,
            masked=fact.masked,
            product=fact.product,
            tier=fact.tier,
            seats=fact.seats,
            months=fact.months,
            started_at=elsewhere or event.occurred_at,
            expires_at=fact.expires_at,
            position=event.position,
        )
    )


def _scheduled(draft: _Draft, fact: SubscriptionScheduled, event: AnyOccurrence) -> None:
    draft.put(
        Subscription(
            id=fact.subscription,
            key=fact.key,
            masked=fact.masked,
            product=fact.product,
            tier=fact.tier,
            seats=fact.seats,
            months=fact.months,
            started_at=fact.starts_at,
            expires_at=fact.expires_at,
            position=event.position,
            scheduled=True,
            follows=fact.follows,
        )
    )


def _rescheduled(draft: _Draft, fact: SubscriptionRescheduled, _: AnyOccurrence) -> None:
    draft.change(
        fact.subscription,
        started_at=fact.starts_at,
        expires_at=fact.expires_at,
        follows=fact.follows,
    )


def _started(draft: _Draft, fact: SubscriptionStarted, event: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(
        fact.subscription,
        started_at=event.occurred_at,
        expires_at=fact.expires_at,
        scheduled=False,
    )


def _extended(draft: _Draft, fact: SubscriptionExtended, _: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(fact.subscription, expires_at=fact.expires_at)


def _suspended(draft: _Draft, fact: SubscriptionSuspended, event: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(fact.subscription, suspended_at=event.occurred_at)


def _resumed(draft: _Draft, fact: SubscriptionResumed, _: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(fact.subscription, suspended_at=None)


def _transferred(draft: _Draft, fact: SubscriptionTransferred, event: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(fact.subscription, terminated_at=event.occurred_at, transferred_to=fact.to_account)


def _taken_over(draft: _Draft, fact: SubscriptionTakenOver, event: AnyOccurrence) -> None:
    draft.put(
        Subscription(
            id=fact.subscription,
            key=fact.key,
            masked=fact.masked,
            product=fact.product,
            tier=fact.tier,
            seats=fact.seats,
            months=fact.months,
            started_at=fact.starts_at or event.occurred_at,
            expires_at=fact.expires_at,
            position=event.position,
            scheduled=fact.starts_at is not None,
            suspended_at=event.occurred_at if fact.suspended else None,
        )
    )


def _key_reissued(draft: _Draft, fact: SubscriptionKeyReissued, _: AnyOccurrence) -> None:
    draft.change(fact.subscription, key=fact.key, masked=fact.masked)


def _terminated(draft: _Draft, fact: SubscriptionTerminated, event: AnyOccurrence) -> None:
    draft.texts += fact.reason is not None
    draft.change(fact.subscription, terminated_at=event.occurred_at)


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
    SeatPassedOn: _passed_on,
    SeatReleased: _released,
    SeatRelabelled: _relabelled,
    SubscriptionActivated: _activated,
    SubscriptionImported: _activated,
    SubscriptionKeyReissued: _key_reissued,
    SubscriptionTerminated: _terminated,
    SubscriptionScheduled: _scheduled,
    SubscriptionRescheduled: _rescheduled,
    SubscriptionStarted: _started,
    SubscriptionExtended: _extended,
    SubscriptionSuspended: _suspended,
    SubscriptionResumed: _resumed,
    SubscriptionTransferred: _transferred,
    SubscriptionTakenOver: _taken_over,
    AccountErased: _erased,
}


ACCOUNT: Stream[Account] = Stream(
    kind="account",
    facts={
        "account.subscription_activated@1": SubscriptionActivated,
        "account.subscription_imported@1": SubscriptionImported,
        "account.subscription_key_reissued@1": SubscriptionKeyReissued,
        "account.subscription_terminated@1": SubscriptionTerminated,
        "account.subscription_scheduled@1": SubscriptionScheduled,
        "account.subscription_rescheduled@1": SubscriptionRescheduled,
        "account.subscription_started@1": SubscriptionStarted,
        "account.subscription_extended@1": SubscriptionExtended,
        "account.subscription_suspended@1": SubscriptionSuspended,
        "account.subscription_resumed@1": SubscriptionResumed,
        "account.subscription_transferred@1": SubscriptionTransferred,
        "account.subscription_taken_over@1": SubscriptionTakenOver,
        "account.seat_occupied@1": SeatOccupied,
        "account.seat_passed_on@1": SeatPassedOn,
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
