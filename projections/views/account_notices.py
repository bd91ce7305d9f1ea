"""What becomes true of an account as time passes, as far as is known.

A notice is given once for each thing that begins to be true, at the moment when it is true and
known: what was recorded late is told when it was recorded. So whatever was told up to a moment
stays told, and what is recorded after it changes only what is told after it.

    recorded    1 Mar: it lasts until 1 Apr     told   1 Mar started, 25 Mar ending (7 days)
    recorded   28 Mar: it lasts until 1 May     told   1 Apr ending (30), 24 Apr ending (7), …
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from ledger.notice_kinds import NoticeKind
from ledger.streams.account.state import Account, Subscription
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.subscriptions import renewed_ids
from ledger.stripe.subscriptions import subscription_id

_STARTED: Final[NoticeKind] = "subscription.started"
_ENDING: Final[NoticeKind] = "subscription.ending"
_ENDED: Final[NoticeKind] = "subscription.ended"
_UNCONFIRMED: Final[NoticeKind] = "subscription.unconfirmed"
# What Stripe's subscription is while nothing of it was paid yet.
_NOT_BEGUN: Final = frozenset({"incomplete", "incomplete_expired"})

_NOTHING: Final = ACCOUNT.initial

Place = tuple[str, str | None]


class Coming(NamedTuple):
    """A notice that is given at a moment, if nothing is recorded before.

    Attributes:
        subject: what it is about: an id, or a product and its tier.
        facts: as JSON has them.
    """

    kind: NoticeKind
    subject: str
    at: datetime
    facts: dict[str, Any]


class Changes(NamedTuple):
    """What an event changes of what is coming.

    Attributes:
        dropped: of these kinds and subjects nothing comes any more that was to come.
        added: what comes, or is given at once.
    """

    dropped: list[tuple[NoticeKind, str]]
    added: list[Coming]


class _Span(NamedTuple):
    """From when to when a subscription lasts.

    Attributes:
        ends_at: None while it goes on with no end known.
        is_renewed: other keys' give as many seats from its end on.
        unconfirmed_at: when a period's end will have been without news for too long.
    """

    started_at: datetime
    ends_at: datetime | None
    is_renewed: bool
    unconfirmed_at: datetime | None
    facts: dict[str, Any]


def warnings(
    kind: NoticeKind,
    subject: str,
    began_at: datetime,
    ends_at: datetime,
    now: datetime,
    days: Iterable[int],
    facts: dict[str, Any],
) -> Iterator[Coming]:
    """Yield what is told before an end: so many days before, each once.

    What began with fewer days than that to go is not told of by those. Of moments that had passed
    when the end became known, the last is told then.

    Args:
        now: when the end became known.
    """
    passed: int | None = None
    for one in sorted(days, reverse=True):
        try:
            at = ends_at - timedelta(days=one)
        except OverflowError:
            continue
        if at <= began_at or now >= ends_at:
            continue
        if at > now:
            yield Coming(kind, subject, at, {**facts, "days": one})
        else:
            passed = one
    if passed is not None:
        yield Coming(kind, subject, now, {**facts, "days": passed})


def changes(
    before: Account, after: Account, now: datetime, days: Iterable[int], *, anew: bool = False
) -> Changes:
    """Return what an event changes of the notices of an account.

    Args:
        before, after: the account just before and just after it.
        now: when it was written.
        anew: what is to come is worked out by what the account is now, and not by what is
            different. For an event whose clock says that another was ahead: what that one took for
            past, and told nothing of, is to come.
    """
    found = _differences(before, after, now, days)
    if anew:
        whole = _differences(_NOTHING, after, now, days)
        found.dropped.extend(whole.dropped)
        found.added.extend(one for one in whole.added if one.at > now)
    return found


def _differences(before: Account, after: Account, now: datetime, days: Iterable[int]) -> Changes:
    found = Changes([], [])
    if before.subscriptions is after.subscriptions and before.stripe is after.stripe:
        # Somebody took a seat or gave one back, as in most events; that is all that is different.
        places = before.used.keys() | after.used.keys()
        places = {one for one in places if before.used.get(one) != after.used.get(one)}
    else:
        places = before.places() | after.places()
        _of_spans(found, before, after, now, days)
    for place in places:
        _of_pool(found, place, before, after, now)
    return found


# Subscriptions


def _of_spans(
    found: Changes, before: Account, after: Account, now: datetime, days: Iterable[int]
) -> None:
    renewed = renewed_ids(before), renewed_ids(after)
    of_keys = before.subscriptions, after.subscriptions
    for id in _different(*of_keys) | (renewed[0] ^ renewed[1]):
        known, span = (
            _of_key(one, is_renewed=id in its) if (one := all_of_them.get(id)) else None
            for all_of_them, its in zip(of_keys, renewed, strict=True)
        )
        _of_subscription(found, id, known, span, now, days)
    if before.stripe is not after.stripe:
        for id in before.stripe.subscriptions.keys() | after.stripe.subscriptions.keys():
            known, span = (_of_stripe(one, id, now) for one in (before, after))
            _of_subscription(found, subscription_id(id), known, span, now, days)


def _different(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    """Return the ids of what is in one of them alone, or not the same in both."""
    return {id for id, one in after.items() if before.get(id) is not one} | (
        before.keys() - after.keys()
    )


def _of_subscription(
    found: Changes,
    subject: str,
    known: _Span | None,
    span: _Span | None,
    now: datetime,
    days: Iterable[int],
) -> None:
    if span is not None and known != span:
        _of_span(found, subject, known, span, now, days)
    elif span is None and known is not None:  # it never began, or is another account's
        found.dropped.extend((kind, subject) for kind in (_STARTED, _ENDING, _ENDED, _UNCONFIRMED))


def _of_key(one: Subscription, *, is_renewed: bool) -> _Span | None:
    if one.scheduled and one.ended_at < one.started_at:
        return None  # it never began
    facts = {
        "product": one.product,
        "tier": one.tier,
        "seats": one.seats,
        "source": "activation_key",
        "key": one.masked,
        "ends_at": one.ended_at,
        "renewed": is_renewed,
    }
    return _Span(one.started_at, one.ended_at, is_renewed, None, facts)


def _of_stripe(account: Account, id: str, now: datetime) -> _Span | None:
    reported = account.stripe.subscriptions.get(id)
    if reported is None or reported.latest.status in _NOT_BEGUN:
        return None
    rows = reported.rows(account.stripe.mapped)
    steps = sorted(step for step in reported.steps() if step > now)
    unconfirmed = [step for step in steps if reported.status(step) == "unconfirmed"]
    if reported.status(now) == "unconfirmed":
        unconfirmed = [now]
    facts = {
        "product": rows[0].product if rows else None,
        "tier": rows[0].tier if rows else None,
        "seats": sum(row.seats for row in rows),
        "source": "stripe",
        "key": None,
        "ends_at": reported.ends_at,
        "renewed": False,
    }
    first = unconfirmed[0] if unconfirmed else None
    return _Span(reported.started_at, reported.ends_at, False, first, facts)


def _of_span(
    found: Changes,
    subject: str,
    known: _Span | None,
    span: _Span,
    now: datetime,
    days: Iterable[int],
) -> None:
    had_begun = known is not None and known.started_at <= now
    if known is None or known.started_at != span.started_at:
        found.dropped.append((_STARTED, subject))
        if span.started_at > now or not had_begun:
            at = max(span.started_at, now)
            found.added.append(Coming(_STARTED, subject, at, span.facts))
    ends = (span.ends_at, span.is_renewed, span.facts)
    if known is None or ends != (known.ends_at, known.is_renewed, known.facts):
        _of_end(found, subject, known, span, now, days)
    if known is None or known.unconfirmed_at != span.unconfirmed_at:
        found.dropped.append((_UNCONFIRMED, subject))
        was = known.unconfirmed_at if known else None
        if span.unconfirmed_at is not None and (span.unconfirmed_at > now or was is None):
            found.added.append(Coming(_UNCONFIRMED, subject, span.unconfirmed_at, span.facts))


def _of_end(
    found: Changes,
    subject: str,
    known: _Span | None,
    span: _Span,
    now: datetime,
    days: Iterable[int],
) -> None:
    found.dropped.extend([(_ENDING, subject), (_ENDED, subject)])
    had_ended = known is not None and known.ends_at is not None and known.ends_at <= now
    if span.ends_at is None or (had_ended and span.ends_at <= now):
        return
    if not span.is_renewed:
        only_facts = known is not None and (known.ends_at, known.is_renewed) == (
            span.ends_at,
            span.is_renewed,
        )
        began_at = now if only_facts else span.started_at
        found.added.extend(
            warnings(_ENDING, subject, began_at, span.ends_at, now, days, span.facts)
        )
    found.added.append(Coming(_ENDED, subject, max(span.ends_at, now), span.facts))


# Pools


class Supply(NamedTuple):
    """How many seats a pool has from a moment on; nobody is refused a seat of one that is open."""

    seats: int
    is_open: bool

    def is_over(self, used: int) -> bool:
        """Return whether there are more holders than seats."""
        return not self.is_open and used > self.seats

    def is_full(self, used: int) -> bool:
        """Return whether no seat is left of those there are."""
        return not self.is_open and used >= self.seats > 0


Steps = list[tuple[datetime, Supply]]


def _of_pool(found: Changes, place: Place, before: Account, after: Account, now: datetime) -> None:
    """Add when a pool becomes full or has too few seats, now and at each later step."""
    new = steps_of(after, place, now)
    same = before.subscriptions is after.subscriptions and before.stripe is after.stripe
    old = new if same else steps_of(before, place, now)
    had, used = before.used.get(place, 0), after.used.get(place, 0)
    if (old, had) == (new, used):
        return
    subject = place[0] if place[1] is None else f"{place[0]}/{place[1]}"
    found.dropped.extend([("seats.over", subject), ("seats.full", subject)])
    was_over, was_full = old[0][1].is_over(had), old[0][1].is_full(had)
    for at, supply in new if used else new[:1]:
        is_over, is_full = supply.is_over(used), supply.is_full(used)
        facts = {"product": place[0], "tier": place[1], "seats": supply.seats, "used": used}
        if is_over and not was_over:
            found.added.append(Coming("seats.over", subject, at, facts))
        elif is_full and not is_over and not was_full:
            found.added.append(Coming("seats.full", subject, at, facts))
        was_over, was_full = is_over, is_full


def steps_of(account: Account, place: Place, now: datetime) -> Steps:
    """Return what a pool has now, and from each later moment on at which that changes."""
    seats: defaultdict[datetime, int] = defaultdict(int)
    is_open: defaultdict[datetime, int] = defaultdict(int)
    for one in account.subscriptions.values():
        if (one.product, one.tier) != place or one.suspended_at or one.terminated_at:
            continue
        # What was not to begin later has begun, whatever time was written to it.
        begins_at = max(one.started_at, now) if one.scheduled else now
        if begins_at < one.expires_at:
            seats[begins_at] += one.seats
            seats[one.expires_at] -= one.seats
    for reported in account.stripe.subscriptions.values():
        given = given_open = 0
        for at in [now, *sorted(step for step in reported.steps() if step > now)]:
            its = [
                row
                for row in reported.provides(account.stripe.mapped, at)
                if (row.product, row.tier) == place
            ]
            gives, gives_open = sum(row.seats for row in its), sum(row.open for row in its)
            seats[at] += gives - given
            is_open[at] += gives_open - given_open
            given, given_open = gives, gives_open
    steps = [(now, Supply(0, is_open=False))]
    has = has_open = 0
    for at in sorted(seats):
        has, has_open = has + seats[at], has_open + is_open[at]
        supply = Supply(has, has_open > 0)
        if at == now:
            steps[0] = now, supply
        elif supply != steps[-1][1]:
            steps.append((at, supply))
    return steps
