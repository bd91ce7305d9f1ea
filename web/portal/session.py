"""A customer's session: whom the cookie says it is, what it may do, and whether it goes on.

It slides: the cookie says when it was last used, and is written anew with each page. It also holds
what is shown but not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec
from flask import Response, g, request

from commands.open_portal_session import Opened
from ledger import signing
from ledger.permissions import Permission, permits
from ledger.streams import portal_session
from projections.access import (
    SeenPortalSession,
    look_up_portal_session,
    portal_session_stands,
)
from web.app.context import app_state, request_context
from web.html import csrf
from web.html.cookies import Cookie
from web.html.session import (
    BrowserSession,
    BrowserSessions,
    SessionCookie,
    session_is_asked_for,
    session_page,
)

IDLE_MAX: Final = timedelta(minutes=30)
# The fields that people type something into which they would not like to type again.
TYPED: Final = ("code", "name")
TYPED_LENGTH_MAX: Final = 500
NOTHING_TYPED: Final[Mapping[str, str]] = {}

session_required = session_page("portal")


class NoSession(Exception):
    """Nobody has come in by a link, in this browser."""


class SessionOver(Exception):
    """The session has ended: by its time, by leaving, or because what it rests on was taken back.

    Attributes:
        return_url: where the customer came from, if known.
        typed: what the form said that came too late, by the name of its field.
    """

    def __init__(self, return_url: str | None, typed: Mapping[str, str] = NOTHING_TYPED) -> None:
        super().__init__()
        self.return_url = return_url
        self.typed = typed


class NoCookies(Exception):
    """The browser sent none of the cookies that it was given a moment ago."""


class PortalCookie(SessionCookie, frozen=True):
    """What a customer's browser keeps.

    Attributes:
        used_at: when it was last sent.
        return_url: where the pages lead back to, if anywhere.
        display_name: what the account is called on the pages.
    """

    used_at: datetime
    return_url: str | None
    display_name: str | None


CustomerSession = BrowserSession[PortalCookie, SeenPortalSession]

SESSIONS: Final = BrowserSessions(
    Cookie("keyfold_visit"),
    "portal session",
    PortalCookie,
    re.compile(r"kfp_[a-z2-7]{26}"),
    lambda book, id: look_up_portal_session(book, portal_session.stream_id(id)),
)


def authenticate() -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this session.

    Raises:
        NoSession, SessionOver: in this order.
        FormRefused: the form was not shown in this session.
    """
    if not session_is_asked_for():
        return
    found = SESSIONS.read()
    if found is None:
        raise NoSession
    if not is_live(found):
        raise SessionOver(found.cookie.return_url, _typed(found.cookie.secret))
    SESSIONS.let_in(found, actor=found.cookie.session, permissions=found.seen.session.permissions)
    if request.method == "POST":
        csrf.check(found.cookie.secret)


def _typed(secret: str) -> Mapping[str, str]:
    """Return what was typed into a form of this session, so that it can be shown once more."""
    if request.method != "POST" or not csrf.is_tied(secret):
        return NOTHING_TYPED
    found = {name: request.form.get(name, "").strip()[:TYPED_LENGTH_MAX] for name in TYPED}
    return {name: text for name, text in found.items() if text}


def live() -> CustomerSession | None:
    """Return the session that the browser is in, on a page that asks for none; None without one."""
    found = SESSIONS.read()
    return found if found is not None and is_live(found) else None


def is_live(session: CustomerSession) -> bool:
    """Return whether a session goes on: used not long ago, and not ended at the ledger."""
    # No view may have been found for the request, and then nobody has read the clock for it.
    now = request_context().now if "request_context" in g else app_state().wiring.clock()
    return now < session.cookie.used_at + IDLE_MAX and portal_session_stands(
        session.seen, signing.digest(session.cookie.secret), now
    )


def id() -> str:
    """Return the session's id, `kfp_…`."""
    return SESSIONS.required().cookie.session


def account() -> str:
    """Return the id of the session's account."""
    return SESSIONS.required().seen.session.account


def may(permission: Permission) -> bool:
    """Return whether the session has a permission."""
    return permits(SESSIONS.required().seen.session.permissions, permission)


def begin(response: Response, opened: Opened) -> None:
    """Give the browser that opened a link its cookie."""
    now = request_context().now
    SESSIONS.write(
        response,
        PortalCookie(opened.session, opened.secret, now, opened.return_url, opened.display_name),
    )


def renew(response: Response) -> Response:
    """Note in the browser's cookie that the session was used now, and return the response."""
    found = SESSIONS.current()
    if found is not None:
        used = msgspec.structs.replace(found.cookie, used_at=request_context().now)
        SESSIONS.write(response, used, found.seen.salts)
    return response


def forget() -> None:
    """Show the rest of this request's page as to a stranger, and renew no cookie."""
    g.browser_session = None
