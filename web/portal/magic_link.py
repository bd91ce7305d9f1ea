"""The first hop: a link is shown, and opened only when the customer says so.

A link is followed by more than customers: mail scanners, previews, browsers that fetch ahead. So a
GET opens nothing. It shows one button, whose form opens the link, sets the cookie, and leads to an
address without the link. Where another account is open in the browser it says so first, since
opening the link ends that session.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from flask import Response, request, url_for

from commands.open_portal_session import (
    LinkTarget,
    hold_to_link,
    leave_portal_session,
    open_portal_session,
    target_of,
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
    link = request.args.get("link", "")[:LINK_LENGTH_MAX]
    return _show(link, _another_account(_target(link)))


@bp.post("/open")
@public
def open_link() -> Response:
    """Open a link, and lead to the pages.

    It is asked for again where another account is open in the browser, and the form did not say so.

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
        other = _another_account(_target(link))
        if other is not None and request.form.get("instead") != other.current.cookie.session:
            return _show(link, other, status=409)
        opened = open_portal_session(services(), key, request_context(), link)
    except LinkUsed:
        if _is_ours_already(link):
            return redirect_to(url_for("portal.show_subscriptions"))
        raise
    if other is not None:
        left = other.current.cookie.session
        leave_portal_session(services(), request_context()._replace(actor=left), left)
    kind, _, product = (opened.page or "subscriptions").partition("/")
    response = redirect_to(url_for(f"portal.{_VIEWS[kind]}", product=product or None))
    session.begin(response, opened)
    return response


class _AnotherAccount(NamedTuple):
    """The account that is open in this browser, and the one that a link would open instead."""

    current: session.CustomerSession
    target: LinkTarget


def _show(link: str, other: _AnotherAccount | None, status: int = 200) -> Response:
    secret = _PRE_SESSION.get() or csrf.new_pre_session()
    field = csrf.field(secret)
    response = page("portal/open.html", status, link=link, csrf_field=field, other=other)
    _PRE_SESSION.set(response, secret)
    return response


def _target(link: str) -> LinkTarget | None:
    return target_of(services(), app_state().wiring.link_key, link)


def _another_account(target: LinkTarget | None) -> _AnotherAccount | None:
    """Return the account that a link would take the place of, if one is open in this browser."""
    found = session.live()
    if found is None or target is None or found.seen.session.account == target.account:
        return None
    return _AnotherAccount(found, target)


def _is_ours_already(link: str) -> bool:
    """Return whether this browser opened the link: sent twice, or after the back button."""
    found, target = session.live(), _target(link)
    return found is not None and target is not None and found.cookie.session == target.session


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
