"""What becomes true of an account as time passes, as far as is known.

A notice is given once for each thing that begins to be true, at the moment when it is true and
known: what was recorded late is told when it was recorded. So whatever was told up to a moment
stays told, and what is recorded after it changes only what is told after it.

    recorded    1 Mar: it lasts until 1 Apr     told   1 Mar started, 25 Mar ending (7 days)
    recorded   28 Mar: it lasts until 1 May     told   1 Apr ending (30), 24 Apr ending (7), …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from ledger.notice_kinds import NoticeKind
from ledger.streams.account.state import Account, Subscription
from ledger.streams.account.subscriptions import renewed_ids
from ledger.stripe.subscriptions import StripeSubscription

_STARTED: Final[NoticeKind] = "subscription.started"
_ENDING: Final[NoticeKind] = "subscription.ending"
_ENDED: Final[NoticeKind] = "subscription.ended"
_UNCONFIRMED: Final[NoticeKind] = "subscription.unconfirmed"
# What Stripe's subscription is while nothing of it was paid yet.
_NOT_BEGUN: Final = frozenset({"incomplete", "incomplete_expired"})


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


def changes(before: Account, after: Account, now: datetime, days: Iterable[int]) -> Changes:
    """Return what an event changes of the notices of an account.

    Args:
        before, after: the account just before and just after it.
        now: when it was recorded.
    """
    found = Changes([], [])
    places = before.places() | after.places()
    if before.subscriptions is after.subscriptions and before.stripe is after.stripe:
        # Somebody took a seat or gave one back, as in most events; that is all that is different.
        places = {one for one in places if before.used.get(one) != after.used.get(one)}
    else:
        _of_spans(found, before, after, now, days)
    for place in places:
        _of_pool(found, place, before, after, now)
    return found


# Subscriptions


def _of_spans(
    found: Changes, before: Account, after: Account, now: datetime, days: Iterable[int]
) -> None:
    old, new = _spans(before, now), _spans(after, now)
    for subject, span in new.items():
        known = old.get(subject)
        if known != span:
            _of_span(found, subject, known, span, now, days)
    for subject in old.keys() - new.keys():  # it never began, or is another account's
        found.dropped.extend((kind, subject) for kind in (_STARTED, _ENDING, _ENDED, _UNCONFIRMED))


def _spans(account: Account, now: datetime) -> dict[str, _Span]:
    renewed = renewed_ids(account)
    found = {
        one.id: _of_key(one, is_renewed=one.id in renewed)
        for one in account.subscriptions.values()
        if one.ended_at >= one.started_at  # else it never began
    }
    for reported in account.stripe.subscriptions.values():
        if reported.latest.status not in _NOT_BEGUN:
            found[reported.subscription] = _of_stripe(account, reported, now)
    return found


def _of_key(one: Subscription, *, is_renewed: bool) -> _Span:
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


def _of_stripe(account: Account, reported: StripeSubscription, now: datetime) -> _Span:
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


class _Filling(NamedTuple):
    """How a pool is filled; nobody is refused a seat of one that is open."""

    seats: int
    used: int

    @property
    def is_over(self) -> bool:
        """Return whether there are more holders than seats."""
        return self.used > self.seats

    @property
    def is_full(self) -> bool:
        """Return whether no seat is left of those there are."""
        return self.used >= self.seats > 0


def _filling(account: Account, place: tuple[str, str | None], at: datetime) -> _Filling:
    filled = account.pool(*place, at)
    is_open = any(row.open for row, _ in filled.rows)
    return _Filling(filled.seats, 0 if is_open else filled.used)


def _of_pool(
    found: Changes,
    place: tuple[str, str | None],
    before: Account,
    after: Account,
    now: datetime,
) -> None:
    """Add when a pool becomes full or has too few seats, now and at each later step."""
    subject = place[0] if place[1] is None else f"{place[0]}/{place[1]}"
    old, new = _steps_of(before, place, now), _steps_of(after, place, now)
    if old == new:
        return
    found.dropped.extend([("seats.over", subject), ("seats.full", subject)])
    known = old[0][1]
    for at, filling in new:
        facts = {
            "product": place[0], "tier": place[1], "seats": filling.seats, "used": filling.used,
        }  # fmt: skip
        if filling.is_over and not known.is_over:
            found.added.append(Coming("seats.over", subject, at, facts))
        elif filling.is_full and not filling.is_over and not known.is_full:
            found.added.append(Coming("seats.full", subject, at, facts))
        known = filling


def _steps_of(
    account: Account, place: tuple[str, str | None], now: datetime
) -> list[tuple[datetime, _Filling]]:
    later = (
        sorted(step for step in account.steps() if step > now) if account.used.get(place) else []
    )
    return [(at, _filling(account, place, at)) for at in [now, *later]]
