"""Whose browser it is: a session that a token was shown for once.

The cookie holds the token's id and an end, signed; the token itself is in no cookie, and is worth
nothing to who reads one. Each request looks the token up anew: once it is revoked, its sessions are
over. The session's id binds its forms.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final

from flask import Response, g, request
from msgspec import Struct

from ledger.streams import token as tokens
from ledger.streams.token import TOKEN, Role, Token
from web.auth import ADMIN, AUDITOR, RESELLER, SUPPORT
from web.context import Caller, caller, parts, ports, stamp
from web.pages import cookies, forms, signing

PURPOSE: Final = "console"
COOKIE: Final = "keyfold_console"
LASTS: Final = timedelta(hours=12)
# A portal's token is a program's; there is nothing here for it.
ROLES: Final[frozenset[Role]] = frozenset({ADMIN, SUPPORT, AUDITOR, RESELLER})


class NotSignedIn(Exception):
    """Nobody is signed in with this browser, or not any more."""


class NotForRole(Exception):
    """The token that this browser is signed in with may not do this."""


class Session(Struct, frozen=True):
    """What the cookie says.

    Attributes:
        token: the id of the token that was shown, `kft_…`.
    """

    id: str
    token: str
    expires_at: datetime


def come_in(roles: frozenset[Role]) -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this session.

    Raises:
        NotSignedIn, NotForRole: in this order.
        FormRefused: the form was not shown in this session.
    """
    session = known()
    if session is None:
        raise NotSignedIn
    token = _valid(session)
    if token is None:
        raise NotSignedIn
    g.console_session = session
    g.caller = Caller(token.id, token.role, token.reseller)
    g.stamp = stamp()._replace(actor=token.id)
    if token.role not in roles:
        raise NotForRole
    if request.method == "POST":
        forms.expect_ours(session.id)


def known() -> Session | None:
    """Answer the session that the cookie names, whether or not it is over."""
    text = request.cookies.get(cookies.called(COOKIE))
    return signing.read(parts().wiring.cookie_key, PURPOSE, text, Session) if text else None


def current() -> Session | None:
    """Answer the session of a request that was let in by one."""
    session: Session | None = g.get("console_session")
    return session


def role() -> Role:
    return caller().role


def bound() -> str | None:
    """Answer the one reseller that the caller may see; None for who may see all."""
    return caller().reseller


def may(*roles: Role) -> bool:
    return caller().role in roles


def begin(response: Response, token: Token) -> None:
    """Give the browser its cookie; it ends with the token, if that is sooner."""
    end = stamp().now + LASTS
    if token.expires_at is not None:
        end = min(end, token.expires_at)
    session = Session(secrets.token_hex(16), token.id, end)
    text = signing.sign(parts().wiring.cookie_key, PURPOSE, session)
    cookies.put(response, COOKIE, text, samesite="Strict")


def end(response: Response) -> None:
    cookies.put(response, COOKIE, "", max_age=0, samesite="Strict")


def _valid(session: Session) -> Token | None:
    now = stamp().now
    if now >= session.expires_at:
        return None
    token = ports().book.load(TOKEN, tokens.stream_id(session.token)).state
    return token if token is not None and token.valid(now) and token.role in ROLES else None
