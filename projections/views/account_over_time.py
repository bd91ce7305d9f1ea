"""An account at every moment at which one of its facts came to count."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from msgspec.structs import replace

from ledger.events import AnyEvent
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT

# States that are kept to fold on from when facts turn out to have been recorded out of their order.
# Clocks of several machines differ by little, so those facts are few and near.
_STATES_KEPT = 64

_version = attrgetter("version")


def account_over_time(
    events: Iterable[AnyEvent], latest: datetime
) -> Iterator[tuple[datetime, Account]]:
    """Yield each moment at which facts came to count, oldest first, and the account from it on.

    Its subscriptions, seats and side at Stripe are those that a question about that moment finds:
    of what had occurred by then, folded in the order in which it was recorded. What is later than
    `latest`, by a clock that was wrong, counts from `latest` on.
    """

    def counts_from(event: AnyEvent) -> datetime:
        return min(event.occurred_at, latest)

    # Neither reads what the other writes. Years of Stripe's reports may be recorded at once, when a
    # customer is linked late; folded as one they would be folded anew for each fact of those years.
    ours, stripes = _InOrder(), _InOrder()
    for at, group in groupby(sorted(events, key=counts_from), counts_from):
        new = list(group)
        ours.add([event for event in new if not event.name.startswith("stripe.")])
        stripes.add([event for event in new if event.name.startswith("stripe.")])
        yield at, replace(ours.account, stripe=stripes.account.stripe)


def account_steps(
    events: Iterable[AnyEvent], latest: datetime, upto: datetime
) -> Iterator[tuple[datetime, Account]]:
    """Yield every moment at which anything may have stepped, with the account at it.

    Those are the moments of `account_over_time`, and those at which what the account has changes
    by the mere passing of time, up to a moment.
    """
    changes = list(account_over_time(events, latest))
    nexts: list[datetime | None] = [at for at, _ in changes[1:]]
    for (at, account), following in zip(changes, [*nexts, None], strict=False):
        if at > upto:
            return
        yield at, account
        last = upto if following is None or following > upto else following
        for end in _ends(account, after=at, upto=last, closed=following != last):
            yield end, account


def _ends(account: Account, after: datetime, upto: datetime, *, closed: bool) -> list[datetime]:
    return sorted(
        end for end in account.steps() if after < end and (end < upto or (closed and end == upto))
    )


class _InOrder:
    """Facts folded in the order of their versions, in whatever order they come."""

    def __init__(self) -> None:
        self._facts: list[AnyEvent] = []
        # How many facts are folded in, and what comes of it.
        self._states: deque[tuple[int, Account]] = deque(maxlen=_STATES_KEPT)

    @property
    def account(self) -> Account:
        """Return the account after the events so far."""
        return self._states[-1][1] if self._states else ACCOUNT.initial

    def add(self, new: list[AnyEvent]) -> None:
        if not new:
            return
        new = sorted(new, key=_version)
        place = bisect(self._facts, new[0].version, key=_version)
        self._facts[place:] = sorted([*self._facts[place:], *new], key=_version)
        while self._states and self._states[-1][0] > place:
            self._states.pop()
        count, account = self._states[-1] if self._states else (0, ACCOUNT.initial)
        # Also where the new ones end: what comes next most likely goes there, before the same
        # facts that were recorded later.
        after = bisect(self._facts, new[-1].version, key=_version)
        for end in sorted({after, len(self._facts)}):
            account = ACCOUNT.fold(account, self._facts[count:end])
            self._states.append((end, account))
            count = end
