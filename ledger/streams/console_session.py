"""One session of staff at the console, begun by a token that was shown once.

Stream:    `console_session-<id>`
Facts:     ConsoleSessionOpened, ConsoleSessionEnded
Invariant: a session that was ended stays ended.

As with the customers' sessions, the ledger holds the digest of a random secret in the browser's
cookie. That the token must still be valid is looked up beside this.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream

# Facts


class ConsoleSessionOpened(Fact, frozen=True):
    """Somebody signed in with a token.

    Attributes:
        token: its id.
        expires_at: from this moment on the session is over.
        cookie_digest: of the secret in the browser's cookie.
    """

    token: str
    expires_at: datetime
    cookie_digest: str


class ConsoleSessionEnded(Fact, frozen=True):
    """Somebody signed out."""

    token: str


# State


class ConsoleSession(Struct, frozen=True):
    token: str
    expires_at: datetime
    cookie_digest: str
    ended_at: datetime | None = None

    def stands(self, cookie_digest: str, now: datetime) -> bool:
        """Return whether the session goes on for the browser that holds a secret."""
        return (
            self.ended_at is None
            and now < self.expires_at
            and hmac.compare_digest(self.cookie_digest, cookie_digest)
        )


# Fold


def fold(session: ConsoleSession | None, events: Iterable[AnyOccurrence]) -> ConsoleSession | None:
    """Return the session after these events; None while nobody has signed in."""
    for event in events:
        match event.fact:
            case ConsoleSessionOpened(token=token, expires_at=expires_at, cookie_digest=digest):
                session = ConsoleSession(token, expires_at, digest)
            case ConsoleSessionEnded() if session:
                session = replace(session, ended_at=event.occurred_at)
    return session


# Decisions


def end(session: ConsoleSession | None) -> list[Fact]:
    """Return the fact that ends a session; none for one that never began, or has ended."""
    if session is None or session.ended_at is not None:
        return []
    return [ConsoleSessionEnded(token=session.token)]


CONSOLE_SESSION: Stream[ConsoleSession | None] = Stream(
    kind="console_session",
    facts={
        "console_session.opened@1": ConsoleSessionOpened,
        "console_session.ended@1": ConsoleSessionEnded,
    },
    initial=None,
    fold=fold,
)
