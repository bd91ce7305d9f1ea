"""Who is at the console in this browser: a shift, begun by a token that was shown once.

The cookie names the session and shows that this browser began it; the token itself is in none. Each
request looks both up anew: once somebody signs out, or the token is revoked or over, so is the
session, whoever has a copy of the cookie.
"""

from __future__ import annotations

import re
from typing import Final

from flask import Response, g, request
from msgspec import Struct

from commands.console_session import SignedIn
from ledger import signing
from ledger.streams import signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS
from ledger.streams.token import Role
from projections.access import SeenConsoleSession, look_up_console_session
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT
from web.app.context import Caller, app_state, caller, request_context, services
from web.html import cookies, csrf

PURPOSE: Final = "console session"
COOKIE: Final = "keyfold_console"
# A portal's token is a program's; there is nothing here for it.
ROLES: Final[frozenset[Role]] = frozenset({ADMIN, SUPPORT, AUDITOR, RESELLER})

_ID: Final = re.compile(r"[a-z2-7]{26}")


class NotSignedIn(Exception):
    """Nobody is signed in with this browser, or not any more."""


class NotForRole(Exception):
    """The token that this browser is signed in with may not do this."""


class Shift(Struct, frozen=True):
    """What the cookie says.

    Attributes:
        id: the session's, as in the name of its stream.
        secret: whose digest the ledger holds, and what binds the session's forms to it.
    """

    id: str
    secret: str


def come_in(roles: frozenset[Role]) -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this shift.

    Raises:
        NotSignedIn, NotForRole: in this order.
        FormRefused: the form was not shown in this shift.
    """
    shift, seen = _known()
    if shift is None or seen is None:
        raise NotSignedIn
    token, now = seen.token, request_context().now
    if token is None or not token.valid(now) or token.role not in ROLES:
        raise NotSignedIn
    if not seen.session.stands(signing.digest(shift.secret), now):
        raise NotSignedIn
    app_state().wiring.token_uses.note(token.id, now)
    g.shift = shift
    g.caller = Caller(token.id, token.role, token.reseller)
    g.request_context = request_context()._replace(actor=token.id, reached=seen.head)
    if token.role not in roles:
        raise NotForRole
    if request.method == "POST":
        csrf.expect_ours(shift.secret)


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


def begin(response: Response, signed_in: SignedIn) -> None:
    """Give the browser its cookie."""
    salts = services().book.load(SIGNING_KEYS, signing_keys.ID).state
    key = signing_keys.keys(app_state().wiring.cookie_key, salts)[0]
    shift = Shift(signed_in.id, signed_in.secret)
    text = f"{shift.id}.{signing.sign(key, PURPOSE, shift)}"
    cookies.put(response, COOKIE, text, samesite="Strict")


def end(response: Response) -> None:
    cookies.put(response, COOKIE, "", max_age=0, samesite="Strict")


def _known() -> tuple[Shift, SeenConsoleSession] | tuple[None, None]:
    """Return the session that the cookie names, whether or not it goes on."""
    id, _, signed = request.cookies.get(cookies.called(COOKIE), "").partition(".")
    seen = look_up_console_session(services().book, id) if _ID.fullmatch(id) else None
    if seen is None:
        return None, None
    keys = signing_keys.keys(app_state().wiring.cookie_key, seen.salts)
    shift = signing.read(keys, PURPOSE, signed, Shift)
    return (shift, seen) if shift is not None and shift.id == id else (None, None)
