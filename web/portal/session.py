"""A customer's session on the pages: whom a cookie says it is, and what it may.

What a session is for, and whether it goes on, is the ledger's to say, and is looked up at each
request. The cookie names the session, shows that this browser opened it, and says when it was last
used. It is signed, and holds what is shown but not recorded.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final, cast

from flask import Response, g, request
from msgspec import Struct

from commands.open_portal_session import Opened
from ledger import signing
from ledger.permissions import Permission, permits
from ledger.streams import portal_session, signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS, Salts
from projections.access import (
    SeenPortalSession,
    look_up_portal_session,
    portal_session_stands,
)
from web.app.context import app_state, request_context, services
from web.html import cookies, csrf

PURPOSE: Final = "portal session"
COOKIE: Final = "keyfold_visit"
IDLE_MAX: Final = timedelta(minutes=30)

_ID: Final = re.compile(r"kfp_[a-z2-7]{26}")


class NoVisit(Exception):
    """Nobody has come in by a link, in this browser."""


class VisitOver(Exception):
    """The session has ended: by its time, by leaving, or because what it rests on was taken back.

    Attributes:
        return_url: where the customer came from, if known.
    """

    def __init__(self, return_url: str | None) -> None:
        super().__init__()
        self.return_url = return_url


class _Cookie(Struct, frozen=True):
    """What the browser keeps.

    Attributes:
        secret: whose digest the ledger holds.
        used_at: when it was last sent.
    """

    session: str
    secret: str
    used_at: datetime
    return_url: str | None
    display_name: str | None


class Visit(Struct, frozen=True):
    """One customer's session, as it is in this request.

    Attributes:
        id: `kfp_…`.
        secret: what binds the forms of the session to it; never shown.
        return_url: where the pages lead back to, if anywhere.
        display_name: what the account is called on the pages.
        reached: where the ledger was when the session was looked up.
        stands: whether it goes on.
        salts: of the keys that its cookie is signed with.
    """

    id: str
    account: str
    permissions: tuple[str, ...]
    secret: str
    return_url: str | None
    display_name: str | None
    reached: int
    stands: bool
    salts: Salts

    def may(self, permission: Permission) -> bool:
        return permits(self.permissions, permission)


def visit() -> Visit:
    """Return the session of a request that let nobody in without one."""
    return cast(Visit, g.visit)


def come_in() -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this session.

    Raises:
        NoVisit, VisitOver: in this order.
        FormRefused: the form was not shown in this session.
    """
    found = known()
    if found is None:
        raise NoVisit
    if not found.stands:
        raise VisitOver(found.return_url)
    g.visit = found
    g.request_context = request_context()._replace(
        actor=found.id, reached=found.reached, permissions=found.permissions
    )
    if request.method == "POST":
        csrf.expect_ours(found.secret)


def known() -> Visit | None:
    """Return the session that the cookie names, whether or not it goes on."""
    id, _, signed = request.cookies.get(cookies.called(COOKIE), "").partition(".")
    if not _ID.fullmatch(id):
        return None
    seen = look_up_portal_session(services().book, portal_session.stream_id(id))
    if seen is None:
        return None
    cookie = signing.read(_keys(seen), PURPOSE, signed, _Cookie)
    if cookie is None or cookie.session != id:
        return None
    # No page may have been found for the request, and then nobody has read the clock for it.
    now = request_context().now if "request_context" in g else app_state().wiring.clock()
    session = seen.session
    return Visit(
        id,
        session.account,
        session.permissions,
        cookie.secret,
        cookie.return_url,
        cookie.display_name,
        seen.head,
        stands=(
            now < cookie.used_at + IDLE_MAX
            and portal_session_stands(seen, signing.digest(cookie.secret), now)
        ),
        salts=seen.salts,
    )


def begin(response: Response, opened: Opened) -> None:
    """Give the browser that opened a link its cookie."""
    cookie = _Cookie(
        opened.session, opened.secret, request_context().now, opened.return_url, opened.display_name
    )
    _put(response, cookie, services().book.load(SIGNING_KEYS, signing_keys.ID).state)


def go_on(response: Response) -> Response:
    """Note in the browser's cookie that the session was used now."""
    found: Visit | None = g.get("visit")
    if found is not None:
        cookie = _Cookie(
            found.id, found.secret, request_context().now, found.return_url, found.display_name
        )
        _put(response, cookie, found.salts)
    return response


def end(response: Response) -> None:
    cookies.drop(response, COOKIE)


def _put(response: Response, cookie: _Cookie, salts: Salts) -> None:
    key = signing_keys.keys(app_state().wiring.cookie_key, salts)[0]
    cookies.put(response, COOKIE, f"{cookie.session}.{signing.sign(key, PURPOSE, cookie)}")


def _keys(seen: SeenPortalSession) -> tuple[bytes, ...]:
    return signing_keys.keys(app_state().wiring.cookie_key, seen.salts)
