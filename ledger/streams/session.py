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


class Session(Struct, frozen=True):
    """What the lockout needs to know of a session.

    Attributes:
        failures: since it began, was last blocked or let go; the last of them at `position`.
        blocked_until: by these failures; None while they are too few.
    """

    failures: int = 0
    blocked_until: datetime | None = None
    position: int = 0


# Fold


def fold(session: Session, events: Iterable[AnyOccurrence]) -> Session:
    for event in events:
        match event.fact:
            case TryFailed(failures=failures):
                blocks = failures >= SESSION_FAILURES_MAX
                until = event.occurred_at + SESSION_BLOCK if blocks else None
                session = Session(failures, until, event.position)
    return session


SESSION: Stream[Session] = Stream(
    kind="session",
    facts={
        "session.try_failed@1": TryFailed,
        "session.try_accepted@1": TryAccepted,
    },
    initial=Session(),
    fold=fold,
)
