"""What one account tried and was refused.

Stream:    `attempts-<account>`
Facts:     RedemptionRefused, RedemptionAccepted, SeatRefused, BlockLifted
Invariant: five failed tries of a code in one session, on whichever accounts, block that session for
           15 minutes; twenty in 24 hours, over all sessions, block the account until the first of
           them is a day old; staff can lift both for the account.
Source:    the guides' troubleshooting ("Too many failed attempts").

A blocked try is not looked up and not counted, so a block ends when it said it would. A session
that was blocked starts from zero. Every refusal is kept with the facts it was decided on, so that
"why was I refused?" has an answer later; but a seat that is refused again and again is kept once an
hour, and no more than a hundred in an hour, so that nobody can make the ledger grow by asking.

Sessions are counted in streams of their own (`ledger.streams.session_attempts`). Tries that were
recorded before there were any are counted here, and carried over by the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime, timedelta

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Sealed, Stream
from ledger.refusals import TooManyAttempts
from ledger.streams.session_attempts import SESSION_BLOCK, SESSION_FAILURES_MAX, SessionAttempts

ACCOUNT_FAILURES_MAX = 20
ACCOUNT_WINDOW = timedelta(hours=24)
SEAT_REPEATED = timedelta(hours=1)
SEATS_REFUSED_MAX = 100


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
        counted: it was counted in the session's own stream; false before there was one.
    """

    session: str
    refusal: str
    key: str | None
    masked: str | None
    product: str | None
    found: str | None
    key_version: int | None
    consuming: bool
    counted: bool = False


class RedemptionAccepted(Fact, frozen=True):
    """A code was redeemed after others had failed within a day.

    It was recorded so that the redemption held only while no other try failed meanwhile; now the
    version of this stream is required, without an event.
    """

    session: str
    key: str


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


class BlockLifted(Fact, frozen=True):
    """Staff let the account, and its sessions, try again: all counts start from zero."""

    reason: Sealed | None = None


# State


class OldSession(Struct, frozen=True):
    """Failed tries of one session from before sessions had streams of their own."""

    failures: int
    blocked_until: datetime | None


class Attempts(Struct, frozen=True):
    """What the lockout needs to know.

    Attributes:
        sessions: counted here, before there were streams of sessions.
        recent: when the last failed tries of the account were, oldest first, at most twenty.
        recent_sessions: in which sessions those were.
        lifted: position of the event that lifted blocks last; 0 for none.
        seats: the last refused seats and when they were, oldest first, at most a hundred.
    """

    sessions: Map[str, OldSession]
    recent: tuple[datetime, ...]
    recent_sessions: tuple[str, ...] = ()
    lifted: int = 0
    seats: tuple[tuple[datetime, SeatRefused], ...] = ()

    def blocked_until(self, name: str, session: SessionAttempts, now: datetime) -> datetime | None:
        """Return when a session may try again on this account, or None when it may now.

        Args:
            name: the session's id, and `session` its own stream's state.
        """
        ends = [self.session_block(name, session, now), self.account_block(now)]
        return max((end for end in ends if end is not None), default=None)

    def session_block(self, name: str, session: SessionAttempts, now: datetime) -> datetime | None:
        """Return when the session's block ends; None if it has none now.

        One that was recorded further ahead of `now` than a block lasts is the work of a clock that
        was wrong: it does not count, or it would last for as long as that clock was ahead.
        """
        old = self.sessions.get(name)
        ends = (old.blocked_until if old else None, session.block(self.lifted))
        begun = [end - SESSION_BLOCK for end in ends if end is not None]
        counted = [at for at in begun if abs(now - at) < SESSION_BLOCK]
        return min(max(counted), now) + SESSION_BLOCK if counted else None

    def account_block(self, now: datetime) -> datetime | None:
        """Return when the account's block ends; None if it has none now.

        Failed tries that a wrong clock recorded count as in `session_block`.
        """
        counted = [at for at in self.recent if abs(now - at) < ACCOUNT_WINDOW]
        if len(counted) < ACCOUNT_FAILURES_MAX:
            return None
        # Twenty are still within the window until the oldest of the last twenty leaves it.
        return min(*counted, now) + ACCOUNT_WINDOW

    def failures(self, name: str, session: SessionAttempts) -> int:
        """Return how many tries of a session count that has failed once more now."""
        count = 1 + session.failures(self.lifted)
        old = self.sessions.get(name)
        if old is not None and old.blocked_until is None:
            count += old.failures
        return count


# Fold


def fold(attempts: Attempts, events: Iterable[AnyOccurrence]) -> Attempts:
    """Return what the lockout needs to know after these events."""
    for event in events:
        match event.fact:
            case RedemptionRefused() as refused:
                attempts = _refused(attempts, refused, event.occurred_at)
            case SeatRefused() as seat:
                seats = (*attempts.seats, (event.occurred_at, seat))[-SEATS_REFUSED_MAX:]
                attempts = replace(attempts, seats=seats)
            case BlockLifted():
                attempts = Attempts(Map(), (), lifted=event.position, seats=attempts.seats)
    return attempts


def _refused(attempts: Attempts, refused: RedemptionRefused, at: datetime) -> Attempts:
    name, sessions = refused.session, attempts.sessions
    if not refused.counted:
        sessions = sessions.set(name, _failed(sessions.get(name), at))
    elif name in sessions:
        sessions = sessions.delete(name)
    return replace(
        attempts,
        sessions=sessions,
        recent=(*attempts.recent, at)[-ACCOUNT_FAILURES_MAX:],
        recent_sessions=(*attempts.recent_sessions, name)[-ACCOUNT_FAILURES_MAX:],
    )


def _failed(session: OldSession | None, at: datetime) -> OldSession:
    served = session is None or session.blocked_until is not None
    failures = 1 if served or session is None else session.failures + 1
    blocked = at + SESSION_BLOCK if failures >= SESSION_FAILURES_MAX else None
    return OldSession(failures, blocked)


# Decisions


def admit(attempts: Attempts, name: str, session: SessionAttempts, now: datetime) -> None:
    """Let a session try a code.

    Raises:
        TooManyAttempts: the session or the account is blocked, with the seconds that are left.
    """
    until = attempts.blocked_until(name, session, now)
    if until is not None:
        raise TooManyAttempts(math.ceil((until - now).total_seconds()))


def refuse_seat(attempts: Attempts, refused: SeatRefused, now: datetime) -> list[Fact]:
    """Return the refused seat to record; none if the same was lately, or a hundred others were."""
    lately = [seat for at, seat in attempts.seats if abs(now - at) < SEAT_REPEATED]
    is_repeated = any(
        replace(seat, account_version=refused.account_version) == refused for seat in lately
    )
    return [] if is_repeated or len(lately) >= SEATS_REFUSED_MAX else [refused]


def lift(reason: Sealed | None) -> list[Fact]:
    """Return the fact that an account and its sessions may try again.

    It is recorded whether there was a block or not: one of a session may have come from tries on
    other accounts.
    """
    return [BlockLifted(reason=reason)]


ATTEMPTS: Stream[Attempts] = Stream(
    kind="attempts",
    facts={
        "attempts.redemption_refused@1": RedemptionRefused,
        "attempts.redemption_accepted@1": RedemptionAccepted,
        "attempts.seat_refused@1": SeatRefused,
        "attempts.block_lifted@1": BlockLifted,
    },
    initial=Attempts(Map(), ()),
    fold=fold,
)
