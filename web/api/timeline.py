"""The timeline: what happened to an account, a key, a holder, or anything else that has an id."""

from __future__ import annotations

from typing import Any

from flask import Response

from ledger.streams.account.decisions import ACCOUNT
from projections.lists import timeline as told
from projections.lists.timeline import TimelinePage, TimelineQuery, Visibility
from projections.views.account_at import Moment
from web.api import telling
from web.api.accounts import READERS
from web.api.answers import Answer, of_account
from web.api.operations import Answered, Operations
from web.api.schemas import timeline as schemas
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, PORTAL, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.references import known_ref
from web.app.responses import reply

blp = Operations(
    "timeline",
    __name__,
    url_prefix="/v1",
    description="What happened, in sentences, newest first.",
)

_READERS = only(ADMIN, SUPPORT, AUDITOR, RESELLER)
# An auditor proves what happened and needs nobody's names for it; a reseller's notes are the
# vendor's once they are in the ledger, and so are the reasons that the vendor gave.
_TEXT_READERS = frozenset({ADMIN, SUPPORT, PORTAL})


@blp.operation(
    "GET",
    "/accounts/<account>/timeline",
    access=READERS,
    query=schemas.AccountTimelineQuery,
    answers={200: Answered(schemas.AccountTimeline, "Events, the newest first.", ("ETag",))},
)
def get_account_timeline(account: str, query: dict[str, Any]) -> Response:
    """Tell what happened to an account.

    Its subscriptions and seats, the keys that it redeemed, and what it tried and was refused. To
    the portal it does not say why a code was not available, nor the reasons that staff gave.
    """
    asked_for = Moment(request_context().now, query.get("as_of"), query.get("known_at"))
    version = services().book.load(ACCOUNT, account).version
    page, following = _page(query, query.get("ref"), account=account)
    answer = {
        **of_account(account, asked_for, page.position),
        **telling.timeline(page, following),
    }
    return reply(answer, version=version)


@blp.operation(
    "GET",
    "/timeline",
    access=_READERS,
    query=schemas.TimelineQuery,
    answers={200: Answered(schemas.Timeline, "Events, the newest first.")},
)
def get_timeline(query: dict[str, Any]) -> Response:
    """Tell everything that names something.

    An id that several things bear stands for all of them. A reseller sees what happened to its own
    keys and batches, and finds it by those.
    """
    return reply(_answer(query, query.get("ref")))


@blp.operation(
    "POST",
    "/timeline/search",
    access=_READERS,
    query=schemas.SearchQuery,
    body=schemas.Search,
    answers={200: Answered(schemas.Timeline, "Events, the newest first.")},
)
def search_timeline(query: dict[str, Any], body: dict[str, Any]) -> Response:
    """Tell everything that names something, which may be a whole code."""
    # From here on a code is known by its key's id.
    return reply(
        _answer(query, known_ref(services(), body["ref"], may_learn=caller().reseller is None))
    )


def visibility() -> Visibility:
    """Answer what the caller may see."""
    who = caller()
    texts = services().texts if who.role in _TEXT_READERS else None
    is_staff = who.role != PORTAL
    return Visibility(texts, found=is_staff, reseller=who.reseller, staffs_texts=is_staff)


def _answer(query: dict[str, Any], ref: str | None) -> Answer:
    return telling.timeline(*_page(query, ref))


def _page(
    query: dict[str, Any], ref: str | None, *, account: str | None = None
) -> tuple[TimelinePage, str | None]:
    limit, cursor = query.pop("limit"), query.pop("cursor", None)
    wanted = TimelineQuery(**{**query, "ref": ref, "account": account})
    of = ("timeline", caller().reseller, wanted)
    after = cursors.read(services().request_key, of, cursor)
    page = told.timeline(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        wanted,
        visibility(),
        after=after,
        limit=limit,
    )
    following = None
    if page.next is not None:
        following = cursors.write(services().request_key, of, page.next)
    return page, following
