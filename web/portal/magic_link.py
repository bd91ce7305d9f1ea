"""The first hop: a link is shown, and opened only when the customer says so.

A link is followed by more than customers: mail scanners, previews, browsers that fetch ahead. So a
GET opens nothing. It shows one button, whose form opens the link, sets the cookie, and leads to an
address without the link.
"""

from __future__ import annotations

from typing import Final

from flask import Response, request, url_for

from commands.open_portal_session import (
    hold_to_link,
    leave_portal_session,
    open_portal_session,
    session_of,
)
from ledger.streams.portal_session import LinkUsed
from web.app.context import app_state, request_context, services
from web.html import csrf
from web.html.cookies import Cookie
from web.html.rendering import page, redirect_to
from web.html.session import public
from web.portal import session
from web.portal.blueprint import bp
from web.portal.session import NoCookies, session_required

LINK_LENGTH_MAX: Final = 4000
_PRE_SESSION: Final = Cookie("keyfold_door")
_VIEWS: Final = {
    "subscriptions": "show_subscriptions",
    "billing": "show_billing",
    "manage": "show_manager",
    "buy": "show_shop",
    "activate": "show_key_form",
}


@bp.get("/open")
@public
def show_link() -> Response:
    """Show the button that opens a link; nothing is opened by looking."""
    secret = _PRE_SESSION.get() or csrf.new_pre_session()
    link = request.args.get("link", "")
    response = page("portal/open.html", link=link, csrf_field=csrf.field(secret))
    _PRE_SESSION.set(response, secret)
    return response


@bp.post("/open")
@public
def open_link() -> Response:
    """Open a link, and lead to the pages.

    Raises:
        FormRefused: another site sent the form.
        LinkInvalid, LinkUsed, LinkExpired: in this order.
        NoCookies: nothing would be remembered of it; the link stays unopened.
    """
    secret = _PRE_SESSION.get()
    link, key = request.form.get("link", "")[:LINK_LENGTH_MAX], app_state().wiring.link_key
    if secret:
        csrf.check(secret)
    try:
        if not secret:
            hold_to_link(services(), key, request_context(), link)
            raise NoCookies
        opened = open_portal_session(services(), key, request_context(), link)
    except LinkUsed:
        if _is_ours_already(link):
            return redirect_to(url_for("portal.show_subscriptions"))
        raise
    kind, _, product = (opened.page or "subscriptions").partition("/")
    response = redirect_to(url_for(f"portal.{_VIEWS[kind]}", product=product or None))
    session.begin(response, opened)
    return response


def _is_ours_already(link: str) -> bool:
    """Return whether this browser opened the link: sent twice, or after the back button."""
    found = session.SESSIONS.read()
    if found is None or not session.is_live(found):
        return False
    return found.cookie.session == session_of(services(), app_state().wiring.link_key, link)


@bp.post("/leave")
@session_required
def leave() -> Response:
    """End the session for good, and lead back to where the customer came from."""
    leave_portal_session(services(), request_context(), session.id())
    back = session.SESSIONS.required().cookie.return_url
    session.forget()
    response = redirect_to(back) if back else page("portal/left.html")
    session.SESSIONS.cookie.delete(response)
    return response
