"""Sign in at the console with a token, and out again; both are recorded, failures too."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Final, NamedTuple

from commands.retry import decide
from commands.services import Services
from ledger import signing
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import empty_stream
from ledger.streams import console_session, sign_ins
from ledger.streams.console_session import CONSOLE_SESSION, ConsoleSessionOpened
from ledger.streams.sign_ins import SIGN_INS, ConsoleSignInRefused, SignInProblem
from ledger.streams.token import Token

SESSION_LIFETIME: Final = timedelta(hours=12)
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
    id = base64.b32encode(services.random_bytes(ID_BYTES)).decode().rstrip("=").lower()
    secret = services.random_bytes(SECRET_BYTES).hex()
    fact = ConsoleSessionOpened(
        token=token.id, expires_at=min(ends), cookie_digest=signing.digest(secret)
    )
    # Its id was drawn just now, so nothing has happened to it.
    change = Change(empty_stream(CONSOLE_SESSION, id), [fact])
    services.book.append(context._replace(actor=token.id), change)
    return SignedIn(id, secret)


def sign_out(services: Services, context: RequestContext, id: str) -> None:
    """End a session for good; one that has ended stays as it is."""
    decide(services, context, CONSOLE_SESSION, id, lambda loaded: console_session.end(loaded.state))


def record_refused(
    services: Services, context: RequestContext, problem: SignInProblem, token: str | None
) -> None:
    """Record that somebody could not sign in, unless a try like it was recorded just now."""
    fact = ConsoleSignInRefused(problem=problem, token=token)
    decide(
        services,
        context,
        SIGN_INS,
        sign_ins.ID,
        lambda loaded: sign_ins.refuse(loaded.state, fact, context.now),
    )
