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


class SubscriptionImported(Fact, frozen=True):
    """What is left of a key that was redeemed in another system gives seats here from now on.

    Attributes:
        key, masked: as in `SubscriptionActivated`.
        redeemed_at: when it was redeemed there, and began.
        expires_at: as that system has it; it may have passed.
    """

    subscription: str
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    redeemed_at: datetime
    expires_at: datetime


class SubscriptionScheduled(Fact, frozen=True):
    """A redeemed key is to provide seats later: it begins when another subscription ends.

    Attributes:
        key, masked: as in `SubscriptionActivated`.
        follows: the subscription that it begins after.
        starts_at, expires_at: `months` calendar months; other facts move both.
    """

    subscription: str
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    follows: str
    starts_at: datetime
    expires_at: datetime


class SubscriptionRescheduled(Fact, frozen=True):
    """What a scheduled subscription begins after ends at another time than before.

    Attributes:
        follows: what it begins after now; None for nothing: it begins when its time comes.
    """

    subscription: str
    follows: str | None
    starts_at: datetime
    expires_at: datetime


class SubscriptionStarted(Fact, frozen=True):
    """A scheduled subscription began before its time, for its whole length.

    Attributes:
        reason: why somebody let it begin; None when what it was to follow has ended early.
    """

    subscription: str
    expires_at: datetime
    reason: Sealed | None = None


class SubscriptionExtended(Fact, frozen=True):
    """A subscription lasts longer than what was sold."""

    subscription: str
    previous_expires_at: datetime
    expires_at: datetime
    reason: Sealed | None = None


class SubscriptionSuspended(Fact, frozen=True):
    """A subscription gives no seats for now; its time goes on."""

    subscription: str
    reason: Sealed | None = None


class SubscriptionResumed(Fact, frozen=True):
    """A suspended subscription gives its seats again."""

    subscription: str
    reason: Sealed | None = None


class SubscriptionTransferred(Fact, frozen=True):
    """What was left of a subscription is another account's from now on; its holders stayed.

    Attributes:
        to_account: the account that has it now.
    """

    subscription: str
    to_account: str
    reason: Sealed | None = None


class SubscriptionTakenOver(Fact, frozen=True):
    """What was left of another account's subscription is this one's from now on; why is told there.

    Attributes:
        from_account: the account that had it.
        starts_at: when a scheduled one begins; None for one that had begun.
        suspended: it gives no seats until it is resumed.
    """

    subscription: str
    from_account: str
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    starts_at: datetime | None
    expires_at: datetime
    suspended: bool = False


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


# What becomes of a subscription, and names it alone.
SubscriptionChange = (
    SubscriptionExtended
    | SubscriptionRescheduled
    | SubscriptionResumed
    | SubscriptionStarted
    | SubscriptionSuspended
    | SubscriptionTerminated
    | SubscriptionTransferred
)
