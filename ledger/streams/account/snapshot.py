"""An account's state as bytes, for a snapshot that spares folding a long stream from its start.

A snapshot is only a shortcut: without it the same state is folded from the events. It is dropped,
not migrated: whoever changes what an account's fold makes, or how it is packed, raises `SHAPE`, and
every older snapshot is passed over. A test notices when somebody forgets.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from immutables import Map
from msgspec import Struct

from ledger.encoding import encoded
from ledger.events import SnapshotFormat
from ledger.streams.account.purchases import StripePurchase
from ledger.streams.account.seat_sync_state import Moved, Refused, SeatSyncs, Unanswered
from ledger.streams.account.state import Account, ListedSeats, Seat, Subscription
from ledger.streams.account.stripe_state import StripeState
from ledger.stripe.facts import Meaning
from ledger.stripe.requests import PurchaseOutcome, StripeCheckoutStarted, StripeSeatsAsked
from ledger.stripe.subscriptions import StripeInvoice, StripeSubscription

SHAPE: Final = 10

_NO_STRIPE: Final = StripeState()
_NO_SYNCS: Final = SeatSyncs()


class _Purchase(Struct, array_like=True):
    version: int
    asked_at: datetime
    checkout: StripeCheckoutStarted | None
    seats: StripeSeatsAsked | None
    outcome: PurchaseOutcome | None


class _Stripe(Struct, array_like=True):
    customers: tuple[str, ...]
    subscriptions: dict[str, StripeSubscription]
    invoices: dict[str, StripeInvoice]
    mapped: dict[str, Meaning]
    purchases: list[_Purchase]
    deleted: tuple[str, ...]


class _Syncs(Struct, array_like=True):
    moved: dict[str, Moved]
    unanswered: dict[str, Unanswered]
    refused: dict[str, Refused]


class _Account(Struct, array_like=True):
    subscriptions: list[Subscription]
    seats: list[Seat]
    used: dict[tuple[str, str | None], int]
    texts: int
    erased_at: datetime | None
    stripe: _Stripe | None
    seat_syncs: _Syncs | None


_ENCODER = msgspec.msgpack.Encoder()
_decode = msgspec.msgpack.Decoder(_Account).decode


def pack(account: Account) -> bytes:
    """Return the state as bytes; the same state is not always the same bytes."""
    stripe, syncs = account.stripe, account.seat_syncs
    return encoded(
        _ENCODER,
        _Account(
            list(account.subscriptions.values()),
            list(account.seats.values()),
            account.used,
            account.texts,
            account.erased_at,
            _packed_stripe(stripe) if stripe != _NO_STRIPE else None,
            _Syncs(dict(syncs.moved), dict(syncs.unanswered), dict(syncs.refused))
            if syncs != _NO_SYNCS
            else None,
        ),
    )


def unpack(packed: bytes) -> Account:
    """Return the state that was packed.

    Raises:
        msgspec.DecodeError: the bytes are nothing that `pack` made.
    """
    found = _decode(packed)
    syncs = found.seat_syncs
    return Account(
        {one.id: one for one in found.subscriptions},
        ListedSeats(found.seats),
        found.used,
        found.texts,
        found.erased_at,
        _unpacked_stripe(found.stripe) if found.stripe else _NO_STRIPE,
        SeatSyncs(Map(syncs.moved), Map(syncs.unanswered), Map(syncs.refused))
        if syncs
        else _NO_SYNCS,
    )


def _packed_stripe(side: StripeState) -> _Stripe:
    return _Stripe(
        side.customers,
        side.subscriptions,
        dict(side.invoices),
        side.mapped,
        [_packed_purchase(one) for one in side.purchases.values()],
        side.deleted,
    )


def _packed_purchase(one: StripePurchase) -> _Purchase:
    checkout = one.fact if isinstance(one.fact, StripeCheckoutStarted) else None
    seats = one.fact if isinstance(one.fact, StripeSeatsAsked) else None
    return _Purchase(one.version, one.asked_at, checkout, seats, one.outcome)


def _unpacked_stripe(side: _Stripe) -> StripeState:
    return StripeState(
        side.customers,
        side.subscriptions,
        Map(side.invoices),
        side.mapped,
        Map({one.version: _unpacked_purchase(one) for one in side.purchases}),
        side.deleted,
    )


def _unpacked_purchase(one: _Purchase) -> StripePurchase:
    fact = one.checkout or one.seats
    assert fact is not None, "one of the two was packed"
    return StripePurchase(one.version, one.asked_at, fact, one.outcome)


SNAPSHOT_FORMAT: Final[SnapshotFormat[Account]] = SnapshotFormat(SHAPE, pack, unpack)
