"""What may happen next to subscriptions that keys gave: pure decisions, as in `decisions`.

A redeemed key's subscription begins now, or is *scheduled*: it follows another one of its product
and tier, and begins when that one ends. Whatever moves that end, or ends that one before its time,
moves what follows along in the same commit (`_followers`).

Each always has its whole length, so no day that was paid for is lost, and none is given twice. And
each renews seats that nobody has renewed yet (`current`): who renews ten keys keeps ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, Literal

from ledger.events import Fact, Occurrence, Sealed
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
from ledger.streams.account.state import GOES_ON, Account, Subscription, SubscriptionStatus
from ledger.streams.account.stream import fold
from ledger.streams.key import KeyIssued
from ledger.translation import gettext as _

Start = Literal["now", "when_current_ends"]

LATEST_YEAR: Final = 9000
_GIVES: Final = frozenset[SubscriptionStatus]({"active", "scheduled"})
_Place = tuple[str, str | None]


def current(account: Account, key: KeyIssued, now: datetime) -> Subscription | None:
    """Return what a key would follow; None if nothing of its product and tier gives seats.

    It has seats that nothing follows yet. It is what ends last of what runs and has as many of them
    as the key gives; if nothing has, what ends first of all, what is scheduled included.
    """
    there = _there(account, (key.product, key.tier), now, _GIVES)
    runs = {one.id for one in there if one.status(now) == "active"}
    if not runs:
        return None
    left = _not_followed(there, runs)
    free = [one for one in there if left[one.id]]
    enough = [one for one in free if one.id in runs and left[one.id] >= key.seats]
    return max(enough, key=_by_end) if enough else min(free, key=_by_end)


def _not_followed(there: Iterable[Subscription], runs: AbstractSet[str]) -> Mapping[str, int]:
    """Return how many seats of each nothing follows.

    What gives more than is left of what it follows goes on from others that end meanwhile, too.
    """
    by_end = sorted(there, key=_by_end)
    left = {one.id: one.seats for one in by_end}
    waiting = [one for one in by_end if one.id not in runs and one.follows in left]
    for later in sorted(waiting, key=lambda one: (one.started_at, one.position)):
        assert later.follows is not None
        more = later.seats - left[later.follows]
        left[later.follows] = max(0, -more)
        for one in by_end if more > 0 else ():
            if later.started_at <= one.expires_at < later.expires_at:
                taken = min(more, left[one.id])
                left[one.id] -= taken
                more -= taken
    return left


def running(account: Account, key: KeyIssued, now: datetime) -> Subscription | None:
    """Return what `current` names if that gives seats now, else what ends last of what does."""
    after = current(account, key, now)
    if after is None or after.status(now) == "active":
        return after
    return max(_there(account, (key.product, key.tier), now, {"active"}), key=_by_end)


def ending(account: Account, soon: datetime, now: datetime) -> list[Subscription]:
    """Return what ends by a moment and has not been renewed, what ends first first."""
    news = account.subscriptions.keys() - renewed_ids(account)
    found = (account.subscriptions[id] for id in news)
    return sorted(
        (one for one in found if one.expires_at <= soon and one.status(now) in GOES_ON),
        key=lambda one: (one.expires_at, one.id),
    )


def renewed_ids(account: Account) -> set[str]:
    """Return the ids of what has been renewed, at whatever moment it ends or has ended."""
    return renewed(
        SubscriptionSpan(
            *(one.id, (one.product, one.tier), one.position, one.seats),
            *(one.started_at, one.expires_at, one.suspended_at is not None),
        )
        for one in account.subscriptions.values()
        if one.terminated_at is None
    )


def activate(
    account: Account, key: KeyIssued, subscription: str, start: Start, now: datetime
) -> list[Fact]:
    """Return the fact that begins a key's subscription, or schedules it.

    Never refused for what there is: seats only add up. One that is to follow what there is begins
    now if there is nothing to follow, or no longer.

    Raises:
        InvalidRequest: something would end in a year beyond all use.
    """
    after = current(account, key, now) if start == "when_current_ends" else None
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
                expires_at=_end("/code", now, key.months),
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
            expires_at=_end("/start", after.expires_at, key.months),
        )
    ]


def take_in(
    key: KeyIssued, subscription: str, redeemed_at: datetime, expires_at: datetime
) -> list[Fact]:
    """Return the fact that a key redeemed in another system gives what is left of its time."""
    return [
        SubscriptionImported(
            subscription=subscription,
            key=key.key,
            masked=key.masked,
            product=key.product,
            tier=key.tier,
            seats=key.seats,
            months=key.months,
            redeemed_at=redeemed_at,
            expires_at=expires_at,
        )
    ]


def choices(
    account: Account, key: KeyIssued, now: datetime
) -> list[tuple[Start, datetime, datetime]]:
    """Return when what a key gives may begin, and would then end: what `activate` would accept.

    Raises:
        InvalidRequest: as `activate`, of one that begins now.
    """
    made = activate(account, key, "", "now", now)[0]
    assert isinstance(made, SubscriptionActivated)
    found: list[tuple[Start, datetime, datetime]] = [("now", now, made.expires_at)]
    with suppress(InvalidRequest):
        made = activate(account, key, "", "when_current_ends", now)[0]
        if isinstance(made, SubscriptionScheduled):
            found.append(("when_current_ends", made.starts_at, made.expires_at))
    return found


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
    terminated = SubscriptionTerminated(subscription=subscription, reason=reason)
    return _with_followers(account, terminated, now)


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
    end = _whole_length(found, now, "/subscription")
    started = SubscriptionStarted(subscription=subscription, expires_at=end, reason=reason)
    return _with_followers(account, started, now)


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
        its_own = f"{found.expires_at:%Y-%m-%dT%H:%M:%SZ}"
        before = _("must not be before its end, %(expires_at)s", expires_at=its_own)
        raise InvalidRequest(FieldError(pointer, before))
    if end - found.expires_at > timedelta(days=EXTENSION_DAYS_MAX):
        longest = _(
            "must be at most %(extension_days_max)s days after its end",
            extension_days_max=EXTENSION_DAYS_MAX,
        )
        raise InvalidRequest(FieldError(pointer, longest))
    extended = SubscriptionExtended(
        subscription=subscription,
        previous_expires_at=found.expires_at,
        expires_at=_within_use(pointer, end),
        reason=reason,
    )
    return _with_followers(account, extended, now, pointer)


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
    transferred = SubscriptionTransferred(subscription=subscription, to_account=to, reason=reason)
    return _with_followers(account, transferred, now)


def take_over(moved: Subscription, from_account: str, now: datetime) -> list[Fact]:
    """Return the fact that what is left of another account's subscription is this one's.

    A scheduled one keeps its date, and follows nothing any more.
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


# What is scheduled


def _with_followers(
    account: Account, fact: Fact, now: datetime, pointer: str = "/subscription"
) -> list[Fact]:
    """Return a fact, and with it what becomes of what is scheduled."""
    after = fold(account, [Occurrence(fact=fact, recorded_at=now, occurred_at=now)])
    return [fact, *_followers(account, after, now, pointer)]


def _followers(before: Account, after: Account, now: datetime, pointer: str) -> Iterator[Fact]:
    """Yield what moves whatever follows a subscription that a change has moved or ended."""
    ends: dict[str, datetime] = {}
    waiting = [one for one in after.subscriptions.values() if one.status(now) == "scheduled"]
    for one in sorted(waiting, key=lambda one: (one.started_at, one.position, one.id)):
        starts_at, follows = _beginning(one, before, after, ends, now)
        if (one.started_at, one.follows) == (starts_at, follows):
            continue
        ends[one.id] = end = _whole_length(one, starts_at, pointer)
        if starts_at == now:
            yield SubscriptionStarted(subscription=one.id, expires_at=end)
        else:
            yield SubscriptionRescheduled(
                subscription=one.id, follows=follows, starts_at=starts_at, expires_at=end
            )


def _beginning(
    one: Subscription,
    before: Account,
    after: Account,
    ends: Mapping[str, datetime],
    now: datetime,
) -> tuple[datetime, str | None]:
    """Return when a scheduled subscription begins after a change, and what it follows then.

    Args:
        ends: where they are moved, of those before it.
    """
    starts_at, follows = one.started_at, one.follows
    while follows is not None:
        ahead = after.subscriptions[follows]
        if ahead.status(now) in GOES_ON:
            return ends.get(follows, ahead.expires_at), follows
        was = before.subscriptions[follows]
        if was.status(now) != "scheduled":
            return now, None
        # It never began: what comes after it moves up.
        starts_at, follows = was.started_at, was.follows
    return starts_at, None


def _there(
    account: Account, place: _Place, now: datetime, statuses: AbstractSet[SubscriptionStatus]
) -> list[Subscription]:
    return [
        one
        for one in account.subscriptions.values()
        if (one.product, one.tier) == place and one.status(now) in statuses
    ]


def _by_end(one: Subscription) -> tuple[datetime, datetime, str]:
    return one.expires_at, one.started_at, one.id


def _whole_length(scheduled: Subscription, starts_at: datetime, pointer: str) -> datetime:
    """Return when one ends that begins then: its months later, and what it was extended by."""
    sold = add_months(scheduled.started_at, scheduled.months)
    try:
        end = add_months(starts_at, scheduled.months) + (scheduled.expires_at - sold)
    except (OverflowError, ValueError):  # after the last year that a time can be in
        raise _too_late(pointer) from None
    return _within_use(pointer, end)


def _end(pointer: str, starts_at: datetime, months: int) -> datetime:
    """Return when what begins then ends, if that is within use."""
    try:
        end = add_months(starts_at, months)
    except (OverflowError, ValueError):  # after the last year that a time can be in
        raise _too_late(pointer) from None
    return _within_use(pointer, end)


def _within_use(pointer: str, end: datetime) -> datetime:
    if end.year > LATEST_YEAR:
        raise _too_late(pointer)
    return end


def _too_late(pointer: str) -> InvalidRequest:
    return InvalidRequest(
        FieldError(
            pointer,
            _("must make nothing end after the year %(latest_year)s", latest_year=LATEST_YEAR),
        )
    )
