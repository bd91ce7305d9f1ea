"""Sign in at the console, with a token or at the provider, and out again; failures are recorded."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Final, NamedTuple

from commands.retry import decide, retry_on_conflict
from commands.services import Services
from ledger import signing
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import empty_stream
from ledger.streams import console_session, people, sign_ins
from ledger.streams.console_session import (
    CONSOLE_SESSION,
    SESSION_LIFETIME,
    ConsoleSessionOpened,
    PersonSignedIn,
)
from ledger.streams.people import PEOPLE
from ledger.streams.sign_ins import SIGN_INS, ConsoleSignInRefused, PersonSignInRefused
from ledger.streams.token import Role, Token

ID_BYTES: Final = 16
SECRET_BYTES: Final = 32


class SignedIn(NamedTuple):
    """The session that began; `secret` is what the browser shows from now on."""

    id: str
    secret: str


def sign_in(services: Services, context: RequestContext, token: Token) -> SignedIn:
    """Begin a session, and return its id and secret.

    It ends with the token, if that is sooner than in twelve hours.
    """
    ends = [context.now + SESSION_LIFETIME, *([token.expires_at] if token.expires_at else [])]
    drawn = _drawn(services)
    fact = ConsoleSessionOpened(
        token=token.id, expires_at=min(ends), cookie_digest=signing.digest(drawn.secret)
    )
    # Its id was drawn just now, so nothing has happened to it.
    change = Change(empty_stream(CONSOLE_SESSION, drawn.id), [fact])
    services.book.append(context._replace(actor=token.id), change)
    return drawn


def sign_in_person(
    services: Services,
    context: RequestContext,
    person: str,
    role: Role,
    reseller: str | None,
    lifetime: timedelta = SESSION_LIFETIME,
) -> SignedIn:
    """Begin a session of a person whom the provider has vouched for, and return id and secret.

    Args:
        role, reseller: what the provider says that the person is.

    Raises:
        LockedOut: the person is let in no more.
    """
    drawn = _drawn(services)
    fact = PersonSignedIn(
        person=person,
        role=role,
        reseller=reseller,
        expires_at=context.now + min(lifetime, SESSION_LIFETIME),
        cookie_digest=signing.digest(drawn.secret),
    )
    acting = context._replace(actor=person)

    def attempt() -> SignedIn:
        known = services.book.load(PEOPLE, people.ID)
        admitted = people.admit(known.state, person, role, reseller)
        # Nobody may have been locked out in between.
        services.book.append(
            acting,
            Change(known, admitted, required=True),
            Change(empty_stream(CONSOLE_SESSION, drawn.id), [fact]),
        )
        return drawn

    return retry_on_conflict(attempt)


def sign_out(services: Services, context: RequestContext, id: str) -> None:
    """End a session for good; one that has ended stays as it is."""
    decide(services, context, CONSOLE_SESSION, id, lambda loaded: console_session.end(loaded.state))


def record_refused(
    services: Services,
    context: RequestContext,
    fact: ConsoleSignInRefused | PersonSignInRefused,
) -> None:
    """Record that somebody could not sign in, unless a try like it was recorded just now."""
    decide(
        services,
        context,
        SIGN_INS,
        sign_ins.ID,
        lambda loaded: sign_ins.refuse(loaded.state, fact, context.now),
    )


def _drawn(services: Services) -> SignedIn:
    """Return the id and the secret of a new session."""
    id = base64.b32encode(services.random_bytes(ID_BYTES)).decode().rstrip("=").lower()
    return SignedIn(id, services.random_bytes(SECRET_BYTES).hex())
