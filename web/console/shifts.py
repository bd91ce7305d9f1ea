"""Who is at the console in this browser: a shift, begun by a token that was shown once.

The cookie holds the token's id and an end, signed; the token itself is in none. Each request looks
the token up anew: once it is revoked, its shifts are over. The shift's id binds its forms.
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


class Shift(Struct, frozen=True):
    """What the cookie says.

    Attributes:
        token: the id of the token that was shown, `kft_…`.
    """

    id: str
    token: str
    expires_at: datetime


def come_in(roles: frozenset[Role]) -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this shift.

    Raises:
        NotSignedIn, NotForRole: in this order.
        FormRefused: the form was not shown in this shift.
    """
    shift = known()
    if shift is None:
        raise NotSignedIn
    token = _valid(shift)
    if token is None:
        raise NotSignedIn
    g.shift = shift
    g.caller = Caller(token.id, token.role, token.reseller)
    g.stamp = stamp()._replace(actor=token.id)
    if token.role not in roles:
        raise NotForRole
    if request.method == "POST":
        forms.expect_ours(shift.id)


def known() -> Shift | None:
    """Answer the shift that the cookie names, whether or not it is over."""
    text = request.cookies.get(cookies.called(COOKIE))
    return signing.read(parts().wiring.cookie_key, PURPOSE, text, Shift) if text else None


def current() -> Shift | None:
    """Answer the shift of a request that was let in by one."""
    shift: Shift | None = g.get("shift")
    return shift


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
    shift = Shift(secrets.token_hex(16), token.id, end)
    text = signing.sign(parts().wiring.cookie_key, PURPOSE, shift)
    cookies.put(response, COOKIE, text, samesite="Strict")


def end(response: Response) -> None:
    cookies.put(response, COOKIE, "", max_age=0, samesite="Strict")


def _valid(shift: Shift) -> Token | None:
    now = stamp().now
    if now >= shift.expires_at:
        return None
    token = ports().book.load(TOKEN, tokens.stream_id(shift.token)).state
    return token if token is not None and token.valid(now) and token.role in ROLES else None
