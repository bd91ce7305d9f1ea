"""Sessions of browsers: customers' at the portal, and staff's at the console.

A session is a stream of the ledger. The cookie in the browser names it and holds a random secret,
whose digest is in the stream, so that whether the session goes on is looked up at each request. The
signature only vouches for what is not on the ledger. Forms are tied to the same secret (`csrf`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, cast

from flask import Response, current_app, g, request
from msgspec import Struct

from ledger import signing
from ledger.book import Book
from ledger.streams import signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS, Salts
from projections.access import SeenConsoleSession, SeenPortalSession
from web.app.auth import EVERYBODY, Access
from web.app.context import app_state, request_context, services
from web.html.cookies import Cookie

ViewT = TypeVar("ViewT", bound=Callable[..., Response])


class SessionCookie(Struct, frozen=True):
    """What a browser keeps of its session; each kind of session adds its own.

    Attributes:
        session: its id.
        secret: whose digest the ledger has, and what the session's forms are tied to.
    """

    session: str
    secret: str


CookieT = TypeVar("CookieT", bound=SessionCookie)
SeenT = TypeVar("SeenT", SeenPortalSession, SeenConsoleSession)


class BrowserSession(NamedTuple, Generic[CookieT, SeenT]):
    """A session that a cookie names, whether or not it goes on."""

    cookie: CookieT
    seen: SeenT


@dataclass(frozen=True)
class BrowserSessions(Generic[CookieT, SeenT]):
    """One kind of session: how its cookie is read and written.

    Attributes:
        purpose: what the cookie is signed for; signed for another, it is worth nothing.
        look_up: finds a session by its id, with the salts of the keys that are alive.
    """

    cookie: Cookie
    purpose: str
    content: type[CookieT]
    id_pattern: re.Pattern[str]
    look_up: Callable[[Book, str], SeenT | None]

    def read(self) -> BrowserSession[CookieT, SeenT] | None:
        """Return the session that the request's cookie names."""
        id, _, signed = (self.cookie.get() or "").partition(".")
        seen = self.look_up(services().book, id) if self.id_pattern.fullmatch(id) else None
        if seen is None:
            return None
        content = signing.read(_keys(seen.salts), self.purpose, signed, self.content)
        if content is None or content.session != id:
            return None
        return BrowserSession(content, seen)

    def let_in(self, found: BrowserSession[CookieT, SeenT], **context: Any) -> None:
        """Let the request in as the session's, with what it adds to the request's context."""
        g.browser_session = found
        g.request_context = request_context()._replace(reached=found.seen.head, **context)

    def current(self) -> BrowserSession[CookieT, SeenT] | None:
        """Return the session that let the request in, if one did."""
        return cast("BrowserSession[CookieT, SeenT] | None", g.get("browser_session"))

    def required(self) -> BrowserSession[CookieT, SeenT]:
        """Return the session, in a request that nobody makes without one."""
        return cast("BrowserSession[CookieT, SeenT]", g.browser_session)

    def write(self, response: Response, content: CookieT, salts: Salts | None = None) -> None:
        """Give the browser the cookie, signed with the first of the keys that are alive."""
        salts = salts or services().book.load(SIGNING_KEYS, signing_keys.ID).state
        signed = signing.sign(_keys(salts)[0], self.purpose, content)
        self.cookie.set(response, f"{content.session}.{signed}")


def _keys(salts: Salts) -> tuple[bytes, ...]:
    return signing_keys.keys(app_state().wiring.cookie_key, salts)


def public(view: ViewT) -> ViewT:
    """Mark a page as one for everybody, and return it; unmarked pages are for nobody."""
    view.access = EVERYBODY  # type: ignore[attr-defined]
    view.is_public = True  # type: ignore[attr-defined]
    return view


def session_page(blueprint: str) -> Callable[[ViewT], ViewT]:
    """Return a decorator that marks a page as one that is shown in a session only.

    No token is asked for, as it is of programs, but only on the blueprint that asks for the
    session: on another one the page is for nobody.
    """
    access = Access(frozenset(), lambda request: request.blueprint == blueprint)

    def mark(view: ViewT) -> ViewT:
        view.access = access  # type: ignore[attr-defined]
        view.is_public = False  # type: ignore[attr-defined]
        return view

    return mark


def session_is_asked_for() -> bool:
    """Return whether the request is for a page that is shown in a session only."""
    view = current_app.view_functions[request.endpoint or ""]
    return request.method != "OPTIONS" and not getattr(view, "is_public", False)
