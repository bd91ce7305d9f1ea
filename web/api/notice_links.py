"""Links by which people read notices in their feed reader or calendar, and what these answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

import marshmallow as ma
from flask import Blueprint, Response, request
from flask_babel import force_locale  # type: ignore[import-untyped]

from commands.notice_links import (
    LANGUAGES,
    WantedNoticeLink,
    make_notice_link,
    open_notice_link,
    revoke_notice_link,
)
from ledger.limits import ACCOUNT_ID, NAME_LENGTH_MAX
from ledger.notice_kinds import NOTICE_KINDS
from ledger.refusals import (
    FieldError,
    InvalidRequest,
    NoticeLinkIsRevoked,
    NoticeLinkNotFound,
    TooManyNoticeLinks,
)
from ledger.reseller_names import same
from ledger.streams import notice_links
from ledger.streams.notice_links import NOTICE_LINKS, NoticeLink
from projections.lists.notice_links import NoticeLinkList, list_notice_links
from projections.lists.notices import NoticeView
from web.api.answers import NoticeLinkShown
from web.api.operations import Returns, operation
from web.api.request_fields import Identifier, ListOf, Shape, Text, long_at_most, matching, one_of
from web.api.requests import NAME, NoQuery
from web.app.auth import ADMIN, AUDITOR, EVERYBODY, PORTAL, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.notice_lists import to_come, told_lately
from web.app.notice_urls import feed_urls
from web.app.responses import nothing, reply
from web.html.notice_feeds import ATOM_TYPE, CALENDAR_TYPE, Feed, atom, calendar

blueprint = Blueprint("notice_links", __name__, url_prefix="/v1")

# Of each: what was told, and what is to come.
ENTRIES_MAX: Final = 500
_MAKERS: Final = only(ADMIN, PORTAL, SUPPORT, RESELLER)


class MakeNoticeLink(Shape):
    """Whose notices the link shows, and how."""

    example: ClassVar = {"account": "acme", "kinds": ["subscription.ending"], "language": "de"}

    account = Identifier("Of one account.", optional=True, validate=matching(ACCOUNT_ID))
    reseller = Text(
        "About one reseller's keys; a reseller's own, if left out by one.",
        optional=True,
        validate=long_at_most(NAME_LENGTH_MAX),
        document=NAME,
    )
    kinds = ListOf(
        Text(validate=one_of(*NOTICE_KINDS)),
        "Of these kinds alone; all, if left out.",
        load_default=(),
    )
    language = Text("Of the titles.", load_default=LANGUAGES[0], validate=one_of(*LANGUAGES))

    @ma.post_load
    def _wanted(self, data: dict[str, Any], **_: Any) -> WantedNoticeLink:
        return WantedNoticeLink(**data)


class LinksQuery(NoQuery):
    account = Text("Links to the notices of this account.", validate=matching(ACCOUNT_ID))
    reseller = Text(
        "Links to the notices about this reseller's keys.",
        validate=long_at_most(NAME_LENGTH_MAX),
    )


@blueprint.post("/notices/links")
@operation(
    access=_MAKERS,
    body=MakeNoticeLink,
    responses={
        201: Returns(NoticeLinkShown, "The addresses, shown once.", ("Keyfold-Position",)),
    },
    refusals=(TooManyNoticeLinks,),
)
def make_link(body: WantedNoticeLink) -> Response:
    """Make a link by which somebody reads notices in a feed reader or a calendar.

    Whoever has one of its two addresses reads the notices until the link is revoked, or the token
    that it was made with. The portal makes links to the notices of one account, a reseller to those
    about its own keys; an administrator and support to either, or to all.
    """
    account, reseller = _owner(body.account, body.reseller)
    wanted = body._replace(account=account, reseller=reseller)
    wiring = app_state().wiring
    made = make_notice_link(services(), wiring.link_key, request_context(), wanted)
    view = NoticeLinkShown(made.link.id, *feed_urls(wiring.settings.public_url, made.text))
    return reply(view, 201, position=made.position)


@blueprint.get("/notices/links")
@operation(
    access=only(ADMIN, PORTAL, SUPPORT, AUDITOR, RESELLER),
    query=LinksQuery,
    responses={200: Returns(NoticeLinkList, "Links, the newest first.")},
)
def list_links(account: str | None = None, reseller: str | None = None) -> Response:
    """List the links to an account's notices, or a reseller's; without either, to all notices.

    No more than twenty of each are in use. Those that were revoked are listed, too.
    """
    return reply(NoticeLinkList(list_notice_links(services().book, *_owner(account, reseller))))


@blueprint.delete("/notices/links/<notice_link>")
@operation(
    access=_MAKERS,
    responses={204: Returns(None, "It shows nothing any more.", ("Keyfold-Position",))},
    refusals=(NoticeLinkNotFound,),
)
def revoke_link(notice_link: str) -> Response:
    """Revoke a link: from now on it shows nothing, in every process."""
    owner = notice_links.owner_of(notice_link)
    link = services().book.load(NOTICE_LINKS, owner).state.get(notice_link)
    if link is None or not _may_touch(link):
        raise NoticeLinkNotFound
    return nothing(position=revoke_notice_link(services(), request_context(), notice_link))


@blueprint.get("/notices/feeds/<feed>/atom.xml")
@operation(
    access=EVERYBODY,
    responses={
        200: Returns(None, "An Atom feed.", ("ETag",)),
        304: Returns(None, "It is as it was.", ("ETag",)),
    },
    refusals=(NoticeLinkIsRevoked,),
)
def show_atom_feed(feed: str) -> Response:
    """Show what a link leads to as an Atom feed (RFC 4287): what was told in the last 90 days.

    It needs no token: who has the address may read it.
    """
    return _show(feed, atom, ATOM_TYPE, _told)


@blueprint.get("/notices/feeds/<feed>/calendar.ics")
@operation(
    access=EVERYBODY,
    responses={
        200: Returns(None, "A calendar.", ("ETag",)),
        304: Returns(None, "It is as it was.", ("ETag",)),
    },
    refusals=(NoticeLinkIsRevoked,),
)
def show_calendar(feed: str) -> Response:
    """Show what a link leads to as a calendar (RFC 5545): the last 90 days, and the year ahead.

    It needs no token: who has the address may read it.
    """
    return _show(feed, calendar, CALENDAR_TYPE, _told_and_coming)


def _owner(account: str | None, reseller: str | None) -> tuple[str | None, str | None]:
    """Return whose links are asked for, as far as the caller may ask.

    Raises:
        InvalidRequest: another's, or nobody's where there must be one.
    """
    role, bound = caller().role, caller().reseller
    if role == PORTAL and account is None:
        raise InvalidRequest(FieldError("/account", "is missing: a portal's links are of one"))
    if bound is not None and reseller is not None and not same(bound, reseller):
        raise InvalidRequest(FieldError("/reseller", "must be your own, or left out"))
    return account, bound or reseller


def _may_touch(link: NoticeLink) -> bool:
    role, bound = caller().role, caller().reseller
    if role == PORTAL:
        return link.account is not None
    if bound is not None:
        return link.reseller is not None and same(bound, link.reseller)
    return True


# Feeds


def _show(
    text: str,
    write: Callable[[Feed], bytes],
    content_type: str,
    find: Callable[[NoticeLink], list[NoticeView]],
) -> Response:
    wiring = app_state().wiring
    link = open_notice_link(services(), wiring.link_key, text)
    urls = feed_urls(wiring.settings.public_url, text)
    url = urls.atom if write is atom else urls.ics
    catalog = services().catalog.in_language(link.language)
    with force_locale(link.language):
        content = write(Feed(link, url, catalog, find(link)))
    response = Response(content, content_type=content_type)
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


def _told(link: NoticeLink) -> list[NoticeView]:
    return told_lately(link.account, link.reseller, link.kinds, limit=ENTRIES_MAX)


def _told_and_coming(link: NoticeLink) -> list[NoticeView]:
    """Return what was told lately and what is to come, the oldest first."""
    coming = to_come(link.account, link.reseller, link.kinds, limit=ENTRIES_MAX)
    return [*reversed(_told(link)), *coming]
