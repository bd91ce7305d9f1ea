"""What happens to an account: its facts, but for what Stripe reports (`ledger.stripe`)."""

from __future__ import annotations

from datetime import datetime

from ledger.events import Fact, Sealed


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


class SeatPassedOn(Fact, frozen=True):
    """A holder took the seat of another one, its place in the queue and since when it is taken.

    Attributes:
        holder: who has it from now on.
        predecessor: who had it until now.
    """

    product: str
    tier: str | None
    holder: str
    predecessor: str
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
