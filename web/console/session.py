"""A session at the console, begun by a token that was shown once, or at a person's provider.

The token itself is in no cookie. Each request looks the session up anew, and the token or the
person: once somebody signs out, the token is revoked or over, or the person is locked out, so is
the session, whoever has a copy of the cookie.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec
from flask import current_app, g, request

from ledger import signing
from ledger.streams.token import Role
from projections.access import (
    SeenConsoleSession,
    console_session_holder,
    look_up_console_session,
)
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT, count_request
from web.app.context import Caller, app_state, caller, request_context
from web.html import csrf
from web.html.cookies import Cookie
from web.html.session import (
    BrowserSession,
    BrowserSessions,
    SessionCookie,
    ViewT,
    session_is_asked_for,
    session_page,
)

STAFF: Final[frozenset[Role]] = frozenset({ADMIN, SUPPORT, AUDITOR})
# A portal's token is a program's; there is nothing here for it.
ALL: Final[frozenset[Role]] = STAFF | {RESELLER}

_session_required = session_page("console")


class NotSignedIn(Exception):
    """Nobody is signed in with this browser, or not any more."""


class RoleNotPermitted(Exception):
    """Whoever is signed in with this browser may not do this."""


class ConsoleCookie(SessionCookie, frozen=True):
    """What the browser of one of the staff keeps."""

    session: str = msgspec.field(name="id")


ConsoleSession = BrowserSession[ConsoleCookie, SeenConsoleSession]

SESSIONS: Final = BrowserSessions(
    Cookie("keyfold_console", "Strict"),
    "console session",
    ConsoleCookie,
    re.compile(r"[a-z2-7]{26}"),
    look_up_console_session,
)


def roles_required(*roles: Role) -> Callable[[ViewT], ViewT]:
    """Return a decorator: its page is for who is signed in in one of these roles."""

    def say(view: ViewT) -> ViewT:
        view.roles = frozenset(roles)  # type: ignore[attr-defined]
        return _session_required(view)

    return say


def roles_of(endpoint: str) -> frozenset[Role]:
    """Return whom a page is for."""
    return getattr(current_app.view_functions[endpoint], "roles", frozenset())


def authenticate() -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this session.

    Raises:
        NotSignedIn, RoleNotPermitted: in this order.
        FormRefused: the form was not shown in this session.
    """
    if not session_is_asked_for():
        return
    if not resume():
        raise NotSignedIn
    if caller().role not in roles_of(request.endpoint or ""):
        raise RoleNotPermitted
    if request.method == "POST":
        csrf.check(SESSIONS.required().cookie.secret)


def resume() -> bool:
    """Go on with the session that the cookie names; return whether it goes on."""
    found = live()
    if found is None:
        return False
    app_state().wiring.token_uses.note(caller().id, request_context().now)
    count_request(caller())
    SESSIONS.let_in(found, actor=caller().id)
    return True


def live() -> ConsoleSession | None:
    """Return the session that the cookie names, if it goes on, and note who asks."""
    found = SESSIONS.read()
    # No view may have been found for the request, and then nobody has read the clock for it.
    now = request_context().now if "request_context" in g else app_state().wiring.clock()
    if found is None:
        return None
    holder = console_session_holder(found.seen, signing.digest(found.cookie.secret), now)
    if holder is None or holder.role not in ALL:
        return None
    g.caller = Caller(*holder)
    return found


def reseller() -> str | None:
    """Return the one reseller that the caller may see; None for who may see all."""
    return caller().reseller


def may(*roles: Role) -> bool:
    """Return whether the session's holder has one of these roles."""
    return caller().role in roles
