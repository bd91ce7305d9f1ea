"""What one account tried and was refused.

Stream:    `attempts-<account>`
Facts:     RedemptionRefused, SeatRefused
Invariant: five failed tries of a code in one session block that session for 15 minutes; twenty in
           24 hours, over all sessions, block the account until the first of them is a day old.
Source:    the guides' troubleshooting ("Too many failed attempts").

A blocked try is not looked up and not counted, so a block ends when it said it would. A session
that was blocked starts from zero. Every refusal is kept with the facts it was decided on, so that
"why was I refused?" has an answer later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import TooManyAttempts

SESSION_FAILURES_MAX = 5
SESSION_BLOCK = timedelta(minutes=15)
ACCOUNT_FAILURES_MAX = 20
ACCOUNT_WINDOW = timedelta(hours=24)


# Facts


class RedemptionRefused(Fact, frozen=True):
    """A code was tried and refused.

    Attributes:
        refusal: the refusal's code.
        key: id of the key that the text would be, when it was a well-formed code; the text itself
            is never kept.
        masked: what may be shown of it, likewise.
        product: the product that was asked for, if any.
        found: what the key was (`unknown`, `redeemed`, `revoked`, `lapsed`), if it was looked up.
        key_version: version of the key's stream when it was looked up; 0 for an unknown one.
        consuming: true for a redemption, false for a mere validation.
    """

    session: str
    refusal: str
    key: str | None
    masked: str | None
    product: str | None
    found: str | None
    key_version: int | None
    consuming: bool


class SeatRefused(Fact, frozen=True):
    """A holder wanted a seat and was refused.

    Attributes:
        refusal: the refusal's code.
        seats, used: how the pool stood.
        sits_in: the tier in which the holder sits, if that was the reason.
        account_version: version of the account's stream that it was decided on.
    """

    refusal: str
    product: str
    tier: str | None
    holder: str
    seats: int
    used: int
    sits_in: str | None
    account_version: int


# State


class Session(Struct, frozen=True):
    """Failed tries of one session since it began, or since its last block."""

    failures: int
    blocked_until: datetime | None


class Attempts(Struct, frozen=True):
    """What the lockout needs to know.

    Attributes:
        recent: when the last failed tries of the account were, oldest first, at most twenty.
    """

    sessions: Map[str, Session]
    recent: tuple[datetime, ...]

    def blocked_until(self, session: str, now: datetime) -> datetime | None:
        """Answer when the session may try again, or None when it may now."""
        ends = [end for end in (self._session_block(session), self._account_block()) if end]
        return max((end for end in ends if end > now), default=None)

    def _session_block(self, session: str) -> datetime | None:
        known = self.sessions.get(session)
        return known.blocked_until if known else None

    def _account_block(self) -> datetime | None:
        if len(self.recent) < ACCOUNT_FAILURES_MAX:
            return None
        # Twenty are still within the window until the oldest of the last twenty leaves it.
        return self.recent[0] + ACCOUNT_WINDOW


# Fold


def fold(attempts: Attempts, events: Iterable[AnyOccurrence]) -> Attempts:
    sessions = attempts.sessions
    recent = attempts.recent
    for event in events:
        match event.fact:
            case RedemptionRefused(session=session):
                at = event.occurred_at
                sessions = sessions.set(session, _failed(sessions.get(session), at))
                recent = (*recent, at)[-ACCOUNT_FAILURES_MAX:]
    return Attempts(sessions, recent)


def _failed(session: Session | None, at: datetime) -> Session:
    served = session is None or session.blocked_until is not None
    failures = 1 if served or session is None else session.failures + 1
    blocked = at + SESSION_BLOCK if failures >= SESSION_FAILURES_MAX else None
    return Session(failures, blocked)


# Decisions


def admit(attempts: Attempts, session: str, now: datetime) -> None:
    """Let a session try a code.

    Raises:
        TooManyAttempts: the session or the account is blocked, with the seconds that are left.
    """
    until = attempts.blocked_until(session, now)
    if until is not None:
        raise TooManyAttempts(math.ceil((until - now).total_seconds()))


ATTEMPTS: Stream[Attempts] = Stream(
    kind="attempts",
    facts={
        "attempts.redemption_refused@1": RedemptionRefused,
        "attempts.seat_refused@1": SeatRefused,
    },
    initial=Attempts(Map(), ()),
    fold=fold,
)
