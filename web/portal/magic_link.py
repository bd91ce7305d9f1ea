"""The first hop: a link is shown, and opened only when the customer says so.

A link is followed by more than customers: mail scanners, previews, browsers that fetch ahead. So a
GET opens nothing. It shows one button, whose form opens the link, sets the cookie, and leads to an
address without the link.
"""

from __future__ import annotations

import secrets
from typing import Final

from flask import Response, g, request, url_for

from commands.open_portal_session import (
    hold_to_link,
    leave_portal_session,
    open_portal_session,
    session_of,
)
from ledger.streams.portal_session import LinkUsed
from web.app.context import app_state, request_context, services
from web.html import cookies, csrf
from web.html.rendering import page, see
from web.portal import session

LINK_LENGTH_MAX: Final = 4000
_DOOR: Final = "keyfold_door"
_VIEWS: Final = {
    "subscriptions": "show_subscriptions",
    "billing": "show_billing",
    "manage": "show_manager",
    "buy": "show_shop",
    "activate": "show_key_form",
}


class NoCookies(Exception):
    """The browser sent none of the cookies that it was given a moment ago."""


def show_door() -> Response:
    """Show the button that opens a link; nothing is opened by looking."""
    link = request.args.get("link", "")
    bound_to = request.cookies.get(cookies.called(_DOOR)) or secrets.token_hex(16)
    response = page("open.html", link=link, form_field=csrf.field(bound_to))
    cookies.put(response, _DOOR, bound_to)
    return response


def open_link() -> Response:
    """Open a link, and lead to the pages.

    Raises:
        FormRefused: another site sent the form.
        LinkInvalid, LinkUsed, LinkExpired: in this order.
        NoCookies: nothing would be remembered of it; the link stays unopened.
    """
    bound_to = request.cookies.get(cookies.called(_DOOR))
    link = request.form.get("link", "")[:LINK_LENGTH_MAX]
    if bound_to:
        csrf.expect_ours(bound_to)
    try:
        if not bound_to:
            hold_to_link(services(), app_state().wiring.link_key, request_context(), link)
            raise NoCookies
        opened = open_portal_session(
            services(), app_state().wiring.link_key, request_context(), link
        )
    except LinkUsed:
        if _is_ours_already(link):
            return see(url_for("portal.show_subscriptions"))
        raise
    response = see(_address_of(opened.page))
    session.begin(response, opened)
    return response


def _is_ours_already(link: str) -> bool:
    """Tell whether this browser opened the link: sent twice, or after the back button."""
    known = session.known()
    if known is None or not known.stands:
        return False
    return known.id == session_of(services(), app_state().wiring.link_key, link)


def _address_of(page: str | None) -> str:
    """Return where a link leads to, as `Granted.page` names it."""
    kind, _, product = (page or "subscriptions").partition("/")
    return url_for(f"portal.{_VIEWS[kind]}", product=product or None)


def leave() -> Response:
    """End the session for good, and lead back to where the customer came from."""
    leave_portal_session(services(), request_context(), session.visit().id)
    back = session.visit().return_url
    g.visit = None
    response = see(back) if back else page("left.html")
    session.end(response)
    return response
