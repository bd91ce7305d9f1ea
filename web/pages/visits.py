"""A customer's visit: whom a cookie says it is, and what it may.

The cookie holds what the link granted, signed; it is worth nothing once the visit is over. The
visit's id is the actor of what is done, and binds its forms.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, cast

from flask import Response, g, request
from msgspec import Struct

from commands.open_portal_session import Opened, Permission
from web.context import parts, stamp
from web.pages import cookies, forms, signing

PURPOSE: Final = "visit"
COOKIE: Final = "keyfold_visit"


class NoVisit(Exception):
    """Nobody has come in by a link, in this browser."""


class VisitOver(Exception):
    """The time that the link gave is over."""


class NotPermitted(Exception):
    """The link does not permit this."""


class Visit(Struct, frozen=True):
    """What one customer may see and do, until when.

    Attributes:
        id: `kfp_…`.
        return_url: where the pages lead back to, if anywhere.
    """

    id: str
    account: str
    permissions: tuple[str, ...]
    return_url: str | None
    expires_at: datetime

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


def visit() -> Visit:
    """Answer the visit of a request that let nobody in without one."""
    return cast(Visit, g.visit)


def come_in() -> None:
    """Let a request in by its cookie; one that sends a form only with a form of this visit.

    Raises:
        NoVisit, VisitOver: in this order.
        FormRefused: the form was not shown in this visit.
    """
    found = known()
    if found is None:
        raise NoVisit
    if stamp().now >= found.expires_at:
        raise VisitOver
    g.visit = found
    g.stamp = stamp()._replace(actor=found.id)
    if request.method == "POST":
        forms.expect_ours(found.id)


def known() -> Visit | None:
    """Answer the visit that the cookie names, whether or not it is over."""
    text = request.cookies.get(cookies.called(COOKIE))
    return signing.read(parts().wiring.cookie_key, PURPOSE, text, Visit) if text else None


def permit(permission: Permission) -> None:
    """Go on only if the visit may.

    Raises:
        NotPermitted: it may not.
    """
    if not visit().may(permission):
        raise NotPermitted


def begin(response: Response, opened: Opened) -> None:
    """Give the browser its cookie."""
    content = Visit(
        opened.session, opened.account, opened.permissions, opened.return_url, opened.expires_at
    )
    text = signing.sign(parts().wiring.cookie_key, PURPOSE, content)
    cookies.put(response, COOKIE, text)


def end(response: Response) -> None:
    cookies.drop(response, COOKIE)
