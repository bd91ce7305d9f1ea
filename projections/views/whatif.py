"""What if another rule had held? History folded under it, and who would have been affected.

    grace_days = 14                  # a key's seats stay for so long after it has expired
    holders = "newest_first"         # who keeps a seat of too few; else oldest_first

Nothing is changed and nothing recorded. What did happen is kept as it is: who sat down and who
left, and when; asked is who would have been allowed to work, and who would have been let in. A
subscription that was terminated, transferred or suspended gets no grace, and Stripe's has its own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from ledger import pool
from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS, SeatRefused
from projections.answer import Answer
from projections.views.account_over_time import account_over_time

Holding = tuple[str, str]  # product and holder
Counted = Callable[[int], object]

GRACE_DAYS_MAX: Final = 3650


class PolicyError(ValueError):
    """The policy cannot be used; the message says why."""


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """Another rule.

    Attributes:
        grace_days: for so long does an expired key go on giving its seats.
        holders: who keeps a seat when there are too few of them.
    """

    grace_days: Annotated[int, Meta(ge=0, le=GRACE_DAYS_MAX)] = 0
    holders: Literal["oldest_first", "newest_first"] = "oldest_first"

    @property
    def grace(self) -> timedelta:
        """Return for how long an expired key goes on giving its seats."""
        return timedelta(days=self.grace_days)


class HolderAffected(Answer, frozen=True):
    """A holder that would have been licensed when it was not, or the reverse.

    Attributes:
        gained, lost: for how long altogether; JSON has seconds.
        first, last: when the first such time began, and the last one ended.
    """

    account: str
    product: str
    tier: str | None
    holder: str
    gained: timedelta
    lost: timedelta
    first: datetime
    last: datetime


class LetIn(Answer, frozen=True):
    """A holder that was refused for want of a seat, and would have been let in."""

    account: str
    product: str
    tier: str | None
    holder: str
    at: datetime
    position: int


class WhatIf(Answer, frozen=True, rename={"holders": "items"}):
    """Who would have been affected, by account; and how much was looked at."""

    policy: Policy
    events: int
    accounts: int
    holders: list[HolderAffected]
    let_in: list[LetIn]
    next: None = None


def parse(text: str) -> Policy:
    """Return the policy that a TOML text describes.

    Raises:
        PolicyError: not TOML, or a field that is unknown or out of shape.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Policy)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise PolicyError(str(error)) from error


def what_if(
    book: Book, policy: Policy, now: datetime, on_events: Counted = lambda _: None
) -> WhatIf:
    """Return what would have been otherwise under a policy, up to now.

    Args:
        on_events: called with how many more events were read.
    """
    events, names = 0, set()
    for event in book.follow(0):
        events += 1
        on_events(1)
        kind, _, id = event.stream.partition("-")
        if kind in (ACCOUNT.kind, ATTEMPTS.kind):
            names.add(id)
    holders: list[HolderAffected] = []
    let_in: list[LetIn] = []
    for name in sorted(names):
        history = book.history(ACCOUNT, name)[1]
        holders += _affected(name, history, policy, now)
        let_in += _let_in(name, history, book.history(ATTEMPTS, name)[1], policy)
    return WhatIf(policy, events, len(names), holders, let_in)


# One account


def _affected(
    name: str, history: list[AnyEvent], policy: Policy, now: datetime
) -> list[HolderAffected]:
    found: dict[Holding, HolderAffected] = {}
    for start, end, account in _spans(history, policy, now):
        as_it_was = _licensed(account, _rows(account, start, timedelta(0)), Policy())
        as_if = _licensed(account, _rows(account, start, policy.grace), policy)
        for place in as_it_was ^ as_if:
            span, none = end - start, timedelta(0)
            gained, lost = (span, none) if place in as_if else (none, span)
            seat = account.seats[place]
            known = found.get(place) or HolderAffected(
                name, seat.product, seat.tier, seat.holder, none, none, start, end
            )
            found[place] = replace(
                known, gained=known.gained + gained, lost=known.lost + lost, last=end
            )
    return [found[place] for place in sorted(found)]


def _let_in(
    name: str, history: list[AnyEvent], tries: list[AnyEvent], policy: Policy
) -> Iterator[LetIn]:
    for event in tries:
        fact = event.fact
        if isinstance(fact, SeatRefused) and fact.refusal == "no_seat_available":
            then = [one for one in history if one.version <= fact.account_version]
            account = ACCOUNT.fold(ACCOUNT.initial, then)
            rows = _rows(account, event.occurred_at, policy.grace)
            seats = sum(
                row.seats for row in rows if (row.product, row.tier) == (fact.product, fact.tier)
            )
            if account.used.get((fact.product, fact.tier), 0) < seats:
                at = event.occurred_at
                yield LetIn(name, fact.product, fact.tier, fact.holder, at, event.position)


def _spans(
    history: list[AnyEvent], policy: Policy, now: datetime
) -> Iterator[tuple[datetime, datetime, Account]]:
    """Yield the spans within which nothing changes, under either rule, up to now."""
    states = list(account_over_time(history, now))
    starts = [at for at, _ in states] + [now]
    for (at, account), (_, following) in zip(states, pairwise(starts), strict=True):
        steps = account.steps() | {step + policy.grace for step in account.steps() if step < now}
        end = min(following, now)
        within = sorted(step for step in steps if at < step < end)
        for start, stop in pairwise([at, *within, end]):
            if start < stop:
                yield start, stop, account


def _rows(account: Account, at: datetime, grace: timedelta) -> list[pool.PoolRow]:
    late = (
        one.row()
        for one in account.subscriptions.values()
        if one.status(at) == "expired" and one.suspended_at is None and at - one.expires_at < grace
    )
    return [*account.rows(at), *late]


def _licensed(account: Account, rows: list[pool.PoolRow], policy: Policy) -> set[Holding]:
    newest = policy.holders == "newest_first"
    found: set[Holding] = set()
    for place, used in account.used.items():
        filled = pool.fill((row for row in rows if (row.product, row.tier) == place), used)
        holders = account.holders(*place)
        if newest:
            holders.reverse()
        found |= {(one.product, one.holder) for one in holders[: filled.used - filled.over]}
    return found
