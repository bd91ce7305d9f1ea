"""The Notices page: what became true and what is to come, and links to read it elsewhere."""

from __future__ import annotations

from typing import Final

from flask import Response, url_for

from commands import notice_links as commands
from commands.notice_links import WantedNoticeLink
from ledger.refusals import NoticeLinkNotFound, TooManyNoticeLinks
from ledger.streams import notice_links
from projections.lists.notice_links import list_notice_links
from web.app.context import app_state, request_context, services
from web.app.notice_lists import to_come, told_lately
from web.app.notice_urls import FeedUrls, feed_urls
from web.html.flash import FlashMessage, bad, flashed, good
from web.html.languages import current
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.portal import session, texts
from web.portal.blueprint import bp
from web.portal.session import SESSIONS, session_required

SHOWN_MAX: Final = 50
_MESSAGES: Final = {"revoked": good(_l("The link shows nothing any more."))}
_TOO_MANY: Final = bad(
    _l("There are as many links as there may be."),
    _l("Revoke one that nobody needs any more."),
    status=409,
)


@bp.get("/notices")
@session_required
def show_notices(message: FlashMessage | None = None, made: FeedUrls | None = None) -> Response:
    """Show the account's notices, and to who may manage its payments the links to them."""
    account = session.account()
    links = None
    if session.may("manage_billing"):
        links = list_notice_links(services().book, account, None)
    return page(
        "portal/notices.html",
        message=message or flashed(_MESSAGES),
        catalog=texts.catalog(),
        coming=to_come(account, None, limit=SHOWN_MAX),
        told=told_lately(account, None, limit=SHOWN_MAX),
        links=links,
        made=made,
    )


@bp.post("/notices/links")
@session_required
def make_notice_link() -> Response:
    """Make a link to the account's notices, and show its addresses once."""
    request_context().require("manage_billing")
    wiring = app_state().wiring
    wanted = WantedNoticeLink(account=session.account(), language=current())
    # It outlasts the session, so it rests on what the session rests on.
    granted_by = SESSIONS.required().seen.session.granted_by
    try:
        made = commands.make_notice_link(
            services(), wiring.link_key, request_context(), wanted, granted_by=granted_by
        )
    except TooManyNoticeLinks:
        return show_notices(_TOO_MANY)
    return show_notices(made=feed_urls(wiring.settings.public_url, made.text))


@bp.post("/notices/links/<notice_link>/revoke")
@session_required
def revoke_notice_link(notice_link: str) -> Response:
    """Have a link of the account show nothing any more.

    Raises:
        NoticeLinkNotFound: it is another account's, or none.
    """
    request_context().require("manage_billing")
    if notice_links.owner_of(notice_link) != notice_links.owner_id(session.account(), None):
        raise NoticeLinkNotFound
    commands.revoke_notice_link(services(), request_context(), notice_link)
    return redirect_to(url_for("portal.show_notices", done="revoked"))
