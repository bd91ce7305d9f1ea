"""What may happen next to subscriptions that keys gave: pure decisions, as in `decisions`.

A redeemed key's subscription begins now, or is *scheduled*: it follows another one of the same
product and tier, and begins when that ends. Whatever moves that end moves it along, in the same
commit:

    extended                 it begins later
    terminated, transferred  it begins at once; if the other had not begun, it takes its place
    suspended                nothing: time goes on

It always has its whole length, so no day that was paid for is lost, and none is given twice.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, Literal

from ledger.events import Fact, Sealed
from ledger.limits import EXTENSION_DAYS_MAX
from ledger.months import add_months
from ledger.refusals import (
    FieldError,
    InvalidRequest,
    ManagedInStripe,
    SubscriptionElsewhere,
    SubscriptionEnded,
    SubscriptionIsSuspended,
    SubscriptionNotFound,
    SubscriptionNotStarted,
)
from ledger.renewals import SubscriptionSpan, renewed
from ledger.streams.account.facts import (
    SubscriptionActivated,
    SubscriptionExtended,
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
from ledger.streams.account.state import GOES_ON, Account, Subscription
from ledger.streams.key import KeyIssued

Start = Literal["now", "when_current_ends"]

LATEST_YEAR: Final = 9000


def current(account: Account, product: str, tier: str | None, now: datetime) -> Subscription | None:
    """Return what a key of this product and tier would follow: what ends last of what gives seats,
    or will without anything more happening. None if nothing does.
    """
    running = [
        one
        for one in account.subscriptions.values()
        if (one.product, one.tier) == (product, tier) and one.status(now) in ("active", "scheduled")
    ]
    return max(running, key=lambda one: (one.expires_at, one.started_at, one.id), default=None)


def ending(account: Account, soon: datetime, now: datetime) -> list[Subscription]:
    """Return what ends by a moment and has not been renewed, what ends first first."""
    by_place: defaultdict[tuple[str, str | None], list[Subscription]] = defaultdict(list)
    for one in account.subscriptions.values():
        if one.status(now) in GOES_ON:
            by_place[one.product, one.tier].append(one)
    found: list[Subscription] = []
    for there in by_place.values():
        followed = renewed(map(_span, there))
        found += [one for one in there if one.expires_at <= soon and one.id not in followed]
    return sorted(found, key=lambda one: (one.expires_at, one.id))


def _span(one: Subscription) -> SubscriptionSpan:
    starts_at = one.started_at if one.scheduled else None
    return SubscriptionSpan(one.id, one.position, one.seats, starts_at, one.expires_at)


def activate(
    account: Account, key: KeyIssued, subscription: str, start: Start, now: datetime
) -> list[Fact]:
    """Return the fact that begins a key's subscription, or schedules it.

    Never refused: seats only add up. One that is to follow what there is begins now if there is
    nothing to follow, or no longer.

    Raises:
        InvalidRequest: it would follow so many others that it ended in a year beyond all use.
    """
    after = current(account, key.product, key.tier, now) if start == "when_current_ends" else None
    if after is None:
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
    return [
        SubscriptionScheduled(
            subscription=subscription,
            key=key.key,
            masked=key.masked,
            product=key.product,
            tier=key.tier,
            seats=key.seats,
            months=key.months,
            follows=after.id,
            starts_at=after.expires_at,
            expires_at=_within_use("/start", add_months(after.expires_at, key.months)),
        )
    ]


def rename_key(subscription: str, key: KeyIssued) -> list[Fact]:
    """Return the fact that a subscription goes by the code that replaced its own."""
    return [SubscriptionKeyReissued(subscription=subscription, key=key.key, masked=key.masked)]


def terminate(
    account: Account, subscription: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """Return the fact that ends a subscription before its time; none if it was terminated.

    Raises:
        SubscriptionNotFound, ManagedInStripe: as `of_key`.
        SubscriptionEnded: it had run out by itself.
        SubscriptionElsewhere: another account has it.
    """
    found = of_key(account, subscription)
    if found.status(now) == "terminated":
        return []
    _still_here(found, now)
    return [
        SubscriptionTerminated(subscription=subscription, reason=reason),
        *_after_end(account, found, now),
    ]


def start(account: Account, subscription: str, reason: Sealed | None, now: datetime) -> list[Fact]:
    """Return the fact that a scheduled subscription begins now; none if it has begun.

    Raises:
        SubscriptionNotFound, ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded: as
            `extend`.
        SubscriptionIsSuspended: it has begun, and gives no seats.
    """
    found = _still_here(of_key(account, subscription), now)
    match found.status(now):
        case "active":
            return []
        case "suspended":
            raise SubscriptionIsSuspended
    end = _whole_length(found, now)
    return [
        SubscriptionStarted(subscription=subscription, expires_at=end, reason=reason),
        *_moved(account, found.id, end, now),
    ]


def extend(
    account: Account,
    subscription: str,
    length: timedelta | datetime,
    reason: Sealed | None,
    now: datetime,
) -> list[Fact]:
    """Return the fact that a subscription lasts longer; none if it lasts until then already.

    Args:
        length: by how much, or until when.

    Raises:
        SubscriptionNotFound, ManagedInStripe: as `of_key`.
        SubscriptionElsewhere: another account has it.
        SubscriptionEnded: it has run out, or was terminated.
        InvalidRequest: until a moment before its end, or longer than may be at once.
    """
    found = _still_here(of_key(account, subscription), now)
    pointer = "/days" if isinstance(length, timedelta) else "/until"
    try:
        end = found.expires_at + length if isinstance(length, timedelta) else length
    except OverflowError:
        raise _too_late(pointer) from None
    if end == found.expires_at:
        return []
    if end < found.expires_at:
        before = f"must not be before its end, {found.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        raise InvalidRequest(FieldError(pointer, before))
    if end - found.expires_at > timedelta(days=EXTENSION_DAYS_MAX):
        longest = f"must be at most {EXTENSION_DAYS_MAX} days after its end"
        raise InvalidRequest(FieldError(pointer, longest))
    return [
        SubscriptionExtended(
            subscription=subscription,
            previous_expires_at=found.expires_at,
            expires_at=_within_use(pointer, end),
            reason=reason,
        ),
        *_moved(account, found.id, end, now, pointer),
    ]


def suspend(
    account: Account, subscription: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """Return the fact that a subscription gives no seats for now; none if it is suspended.

    Raises:
        SubscriptionNotFound, ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded: as
            `extend`.
        SubscriptionNotStarted: it gives none yet.
    """
    if _begun(account, subscription, now) == "suspended":
        return []
    return [SubscriptionSuspended(subscription=subscription, reason=reason)]


def resume(account: Account, subscription: str, reason: Sealed | None, now: datetime) -> list[Fact]:
    """Return the fact that a suspended subscription gives its seats again; none if it does.

    Raises:
        SubscriptionNotFound, ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded: as
            `extend`.
        SubscriptionNotStarted: it was not suspended, and gives no seats yet.
    """
    if _begun(account, subscription, now) == "active":
        return []
    return [SubscriptionResumed(subscription=subscription, reason=reason)]


def leave(
    account: Account, subscription: str, to: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """Return the fact that a subscription is another account's now; none if it has gone there.

    Raises:
        SubscriptionNotFound, ManagedInStripe, SubscriptionElsewhere, SubscriptionEnded: as
            `extend`.
    """
    found = of_key(account, subscription)
    if found.transferred_to == to:
        return []
    _still_here(found, now)
    return [
        SubscriptionTransferred(subscription=subscription, to_account=to, reason=reason),
        *_after_end(account, found, now),
    ]


def take_over(
    moved: Subscription, from_account: str, reason: Sealed | None, now: datetime
) -> list[Fact]:
    """Return the fact that what is left of another account's subscription is this one's.

    One that was to begin later keeps its date, and follows nothing any more.
    """
    status = moved.status(now)
    return [
        SubscriptionTakenOver(
            subscription=moved.id,
            from_account=from_account,
            key=moved.key,
            masked=moved.masked,
            product=moved.product,
            tier=moved.tier,
            seats=moved.seats,
            months=moved.months,
            starts_at=moved.started_at if status == "scheduled" else None,
            expires_at=moved.expires_at,
            suspended=status == "suspended",
            reason=reason,
        )
    ]


def of_key(account: Account, subscription: str) -> Subscription:
    """Return a subscription that a key gave, whatever became of it.

    Raises:
        SubscriptionNotFound: this account has no such subscription.
        ManagedInStripe: it is Stripe's to change.
    """
    found = account.subscriptions.get(subscription)
    if found is not None:
        return found
    if any(one.subscription == subscription for one in account.stripe.subscriptions.values()):
        raise ManagedInStripe
    raise SubscriptionNotFound


def _still_here(found: Subscription, now: datetime) -> Subscription:
    """Return a subscription that has not ended on this account."""
    match found.status(now):
        case "transferred":
            raise SubscriptionElsewhere(found.transferred_to or "")
        case "expired" | "terminated":
            raise SubscriptionEnded
    return found


def _begun(account: Account, subscription: str, now: datetime) -> Literal["active", "suspended"]:
    match _still_here(of_key(account, subscription), now).status(now):
        case "scheduled":
            raise SubscriptionNotStarted
        case "suspended":
            return "suspended"
    return "active"


# What follows


def _after_end(account: Account, ended: Subscription, now: datetime) -> Iterator[Fact]:
    """Yield what becomes of those that follow one that ends now, before its time."""
    has_begun = ended.status(now) != "scheduled"
    for one in _followers(account, ended.id, now):
        if has_begun:
            end = _whole_length(one, now)
            yield SubscriptionStarted(subscription=one.id, expires_at=end)
        else:
            end = _whole_length(one, ended.started_at)
            yield SubscriptionRescheduled(
                subscription=one.id,
                follows=ended.follows,
                starts_at=ended.started_at,
                expires_at=end,
            )
        yield from _moved(account, one.id, end, now)


def _moved(
    account: Account, id: str, end: datetime, now: datetime, pointer: str = "/subscription"
) -> Iterator[Fact]:
    """Yield what becomes of those that follow one, and of those after them, when it ends then."""
    ends = deque([(id, end)])
    while ends:
        id, end = ends.popleft()
        for one in _followers(account, id, now):
            its_end = _within_use(pointer, _whole_length(one, end))
            yield SubscriptionRescheduled(
                subscription=one.id, follows=id, starts_at=end, expires_at=its_end
            )
            ends.append((one.id, its_end))


def _followers(account: Account, id: str, now: datetime) -> list[Subscription]:
    return [
        one
        for one in account.subscriptions.values()
        if one.follows == id and one.status(now) == "scheduled"
    ]


def _whole_length(scheduled: Subscription, starts_at: datetime) -> datetime:
    """Return when one ends that begins then: its months later, and what it was extended by."""
    sold = add_months(scheduled.started_at, scheduled.months)
    return add_months(starts_at, scheduled.months) + (scheduled.expires_at - sold)


def _within_use(pointer: str, end: datetime) -> datetime:
    if end.year > LATEST_YEAR:
        raise _too_late(pointer)
    return end


def _too_late(pointer: str) -> InvalidRequest:
    return InvalidRequest(FieldError(pointer, f"must not make it end after {LATEST_YEAR}"))
