"""Notices: what became true and what is to come, and links to read it elsewhere."""

from __future__ import annotations

from typing import Final

from flask import Response, url_for

from commands import notice_links as commands
from commands.notice_links import WantedNoticeLink
from ledger.refusals import NoticeLinkNotFound, Refusal
from ledger.reseller_names import same
from ledger.streams import notice_links
from ledger.streams.notice_links import NOTICE_LINKS
from projections.lists.notice_links import list_notice_links
from web.app.auth import ADMIN, RESELLER, SUPPORT
from web.app.context import app_state, caller, request_context, services
from web.app.notice_lists import to_come, told_lately
from web.app.notice_urls import FeedUrls, feed_urls
from web.console import parameters, session
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import ALL, roles_required
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import current
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to

SHOWN_MAX: Final = 50
_MESSAGES: Final = {"revoked": good(_l("The link shows nothing any more."))}
_MAKERS: Final = (ADMIN, SUPPORT, RESELLER)


@bp.get("/notices")
@roles_required(*ALL)
def show_notices() -> Response:
    """Show the notices of an account, of a reseller, or all; to a reseller those about its keys."""
    return _show(parameters.query("account"), parameters.query("reseller"))


@bp.post("/notices/links")
@roles_required(*_MAKERS)
def make_notice_link() -> Response:
    """Make a link to what is shown, and show its addresses once."""
    account, reseller = parameters.form("account"), parameters.form("reseller")
    wanted = WantedNoticeLink(
        account, caller().reseller or reseller, language=parameters.form("language") or current()
    )
    wiring = app_state().wiring
    try:
        # It outlasts the session, so it rests on the token that the session began with.
        made = commands.make_notice_link(
            services(), wiring.link_key, request_context(), wanted, granted_by=caller().id
        )
    except Refusal as refusal:
        return _show(account, reseller, refusal_message(refusal))
    return _show(account, reseller, made=feed_urls(wiring.settings.public_url, made.text))


@bp.post("/notices/links/<notice_link>/revoke")
@roles_required(*_MAKERS)
def revoke_notice_link(notice_link: str) -> Response:
    """Have a link show nothing any more.

    Raises:
        NoticeLinkNotFound: it is none, or another reseller's.
    """
    owner = notice_links.owner_of(notice_link)
    link = services().book.load(NOTICE_LINKS, owner).state.get(notice_link)
    bound = caller().reseller
    if link is None or (bound is not None and not same(bound, link.reseller or "")):
        raise NoticeLinkNotFound
    commands.revoke_notice_link(services(), request_context(), notice_link)
    reseller = None if bound else link.reseller
    shown = url_for("console.show_notices", account=link.account, reseller=reseller, done="revoked")
    return redirect_to(shown)


def _show(
    account: str | None,
    reseller: str | None,
    message: FlashMessage | None = None,
    made: FeedUrls | None = None,
) -> Response:
    whose = account, caller().reseller or reseller
    return page(
        "console/notices.html",
        message=message or flashed(_MESSAGES),
        account=account,
        reseller=reseller,
        catalog=services().catalog,
        coming=to_come(*whose, limit=SHOWN_MAX),
        told=told_lately(*whose, limit=SHOWN_MAX),
        links=list_notice_links(services().book, *whose),
        made=made,
        may_change=session.may(*_MAKERS),
    )
