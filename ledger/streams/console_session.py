"""One session at the console, begun by a token that was shown once, or at a person's provider.

Stream:    `console_session-<id>`
Facts:     ConsoleSessionOpened, ConsoleSessionEnded, PersonSignedIn, PersonSignedOut
Invariant: a session that was ended stays ended.

As with the customers' sessions, the ledger holds the digest of a random secret in the browser's
cookie. That the token must still be valid, or the person let in, is looked up beside this.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.streams.token import Role

SESSION_LIFETIME: Final = timedelta(hours=12)

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


class PersonSignedIn(Fact, frozen=True):
    """Somebody signed in at the provider of OpenID Connect that people sign in with.

    Attributes:
        person: its id; neither the provider nor what it calls the person can be read from it.
        role, reseller: what the provider said that the person is, for this session.
        expires_at, cookie_digest: as in `ConsoleSessionOpened`.
    """

    person: str
    role: Role
    expires_at: datetime
    cookie_digest: str
    reseller: str | None = None


class PersonSignedOut(Fact, frozen=True):
    """A person signed out here; at the provider it may still be signed in."""

    person: str


# State


class ConsoleSession(Struct, frozen=True):
    """A session as its facts make it.

    Attributes:
        holder: the id of the token or of the person that it was begun by.
        opened_at: the position at which it began.
        role, reseller: of a person's session; a token's own are asked for.
    """

    holder: str
    expires_at: datetime
    cookie_digest: str
    opened_at: int
    role: Role | None = None
    reseller: str | None = None
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
                session = ConsoleSession(token, expires_at, digest, event.position)
            case PersonSignedIn() as fact:
                session = ConsoleSession(
                    fact.person,
                    fact.expires_at,
                    fact.cookie_digest,
                    event.position,
                    fact.role,
                    fact.reseller,
                )
            case ConsoleSessionEnded() | PersonSignedOut() if session:
                session = replace(session, ended_at=event.occurred_at)
    return session


# Decisions


def end(session: ConsoleSession | None) -> list[Fact]:
    """Return the fact that ends a session; none for one that never began, or has ended."""
    if session is None or session.ended_at is not None:
        return []
    if session.role is not None:
        return [PersonSignedOut(person=session.holder)]
    return [ConsoleSessionEnded(token=session.holder)]


CONSOLE_SESSION: Stream[ConsoleSession | None] = Stream(
    kind="console_session",
    facts={
        "console_session.opened@1": ConsoleSessionOpened,
        "console_session.ended@1": ConsoleSessionEnded,
        "console_session.person_signed_in@1": PersonSignedIn,
        "console_session.person_signed_out@1": PersonSignedOut,
    },
    initial=None,
    fold=fold,
)
