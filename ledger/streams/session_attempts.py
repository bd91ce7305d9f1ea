"""Failed tries of one session, over all accounts.

Stream:    `session-<digest>`: a keyed digest of the session's id (`ledger.codes`), which the portal
           chooses
Facts:     TryFailed, TryAccepted
Invariant: five failed tries of a code in one session block that session for 15 minutes, on
           whichever accounts they were.

What was tried, and why it was refused, is in the account's own stream (`ledger.streams.attempts`),
which also decides who is let in; this one only counts. Both are appended in one commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream

SESSION_FAILURES_MAX = 5
SESSION_BLOCK = timedelta(minutes=15)

# Facts


class TryFailed(Fact, frozen=True):
    """A code was tried in this session and refused.

    Attributes:
        on_account: whose account it was tried for.
        failures: how many have failed with this one, since the session began, was last blocked, or
            was let go by staff. Stored, since the account's stream has a say in it.
    """

    on_account: str
    failures: int


class TryAccepted(Fact, frozen=True):
    """A code was redeemed in this session after others had failed.

    It was recorded so that the redemption held only while no other try failed meanwhile; now the
    version of this stream is required, without an event.
    """

    on_account: str


# State


class SessionAttempts(Struct, frozen=True):
    """What the lockout needs to know of a session, over all accounts.

    Attributes:
        failed: positions of the last tries that failed, oldest first, at most five.
        blocked_from, blocked_at: positions of the first and the last of the tries that began the
            last block; 0 if there was none.
        blocked_until: when that block ends.
        carried: how many tries count besides those since the last block; they were recorded before
            there were streams of sessions.
    """

    failed: tuple[int, ...] = ()
    blocked_from: int = 0
    blocked_at: int = 0
    blocked_until: datetime | None = None
    carried: int = 0

    def block(self, lifted: int) -> datetime | None:
        """Return when the last block ends, for an account whose blocks were lifted at a position.

        A block counts there if every try that began it came after.
        """
        return self.blocked_until if self.blocked_from > lifted else None

    def failures(self, lifted: int) -> int:
        """Return how many tries have failed since the last block that counts, and the lifting."""
        since = self.blocked_at if self.blocked_from > lifted else lifted
        carried = self.carried if lifted <= self.blocked_at else 0
        return carried + sum(position > since for position in self.failed)


# Fold


def fold(session: SessionAttempts, events: Iterable[AnyOccurrence]) -> SessionAttempts:
    """Return the count of failed tries after these events."""
    for event in events:
        match event.fact:
            case TryFailed(failures=failures):
                failed = (*session.failed, event.position)[-SESSION_FAILURES_MAX:]
                counted = sum(position > session.blocked_at for position in failed)
                carried = max(session.carried, failures - counted)
                # In all; or on an account where some count that others have had lifted.
                if max(counted + carried, failures) >= SESSION_FAILURES_MAX:
                    until = event.occurred_at + SESSION_BLOCK
                    session = SessionAttempts(failed, failed[0], event.position, until)
                else:
                    session = replace(session, failed=failed, carried=carried)
    return session


SESSION: Stream[SessionAttempts] = Stream(
    kind="session",
    facts={
        "session.try_failed@1": TryFailed,
        "session.try_accepted@1": TryAccepted,
    },
    initial=SessionAttempts(),
    fold=fold,
)
