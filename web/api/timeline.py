"""What happened, in sentences, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

import marshmallow as ma
from flask import Blueprint, Response

from ledger.limits import unreadable
from projections.lists import timeline as told
from projections.lists.timeline import (
    AccountTimelineView,
    TimelinePage,
    TimelineQuery,
    TimelineView,
    Visibility,
)
from projections.views.account_at import Moment
from web.api.accounts import READERS, account_version
from web.api.operations import Returns, operation
from web.api.request_fields import Shape, Text, Time, long_at_most, matching
from web.api.requests import AccountQuery, PageQuery, ReadQuery
from web.app import cursors
from web.app.auth import ADMIN, AUDITOR, PORTAL, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.references import known_ref
from web.app.responses import reply

blueprint = Blueprint("timeline", __name__, url_prefix="/v1")

_READERS = only(ADMIN, SUPPORT, AUDITOR, RESELLER)
# An auditor proves what happened and needs nobody's names for it; a reseller's notes are the
# vendor's once they are in the ledger, and so are the reasons that the vendor gave.
_TEXT_READERS = frozenset({ADMIN, SUPPORT, PORTAL})

REF_LENGTH_MAX: Final = 256
EVENT_NAME: Final = r"[a-z_]{1,40}\.[a-z_]{1,60}(@[0-9]{1,3})?"
ACTOR: Final = r"[a-z0-9_]{1,64}"

_REF: Final = (
    "An account, a holder, the id of a key, batch, subscription, token or request, a masked code,"
    " or an id of Stripe's (`sub_…`, `cus_…`, `in_…`, `evt_…`, `cs_…`)."
)


def _readable(value: str) -> None:
    character = unreadable(value)
    if character:
        raise ma.ValidationError(f"must not have the character {character}")


_FITS: Final = (long_at_most(REF_LENGTH_MAX), _readable)


class Filters(Shape):
    """What narrows a timeline down."""

    event = Text("What happened, e.g. `account.seat_occupied`.", validate=matching(EVENT_NAME))
    actor = Text(
        "Who asked: the id of a token or a person, `operator` or `stripe`.",
        validate=matching(ACTOR),
    )
    start = Time("Recorded from then on.", data_key="from")
    end = Time("Recorded before then.", data_key="to")


class TimelineFilters(ReadQuery, PageQuery, Filters):
    ref = Text(f"{_REF} Everything, if left out.", validate=_FITS)


class AccountTimelineQuery(AccountQuery, PageQuery, Filters):
    ref = Text(f"Only what names this as well. {_REF}", validate=_FITS)


class SearchQuery(ReadQuery, PageQuery, Filters):
    pass


class Search(Shape):
    """What to look for; a code, which must not be in a URL, can be here."""

    example: ClassVar = {"ref": "POS-ABCD-EFGH-7K2M"}

    ref = Text(
        f"{_REF} Or a whole code, which is neither logged nor kept.", required=True, validate=_FITS
    )


@blueprint.get("/accounts/<account>/timeline")
@operation(
    access=READERS,
    query=AccountTimelineQuery,
    responses={200: Returns(AccountTimelineView, "Events, the newest first.", ("ETag",))},
)
def get_account_timeline(
    account: str,
    limit: int,
    cursor: str | None = None,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
    **filters: Any,
) -> Response:
    """Tell what happened to an account.

    Its subscriptions and seats, the keys that it redeemed, and what it tried and was refused. To
    the portal it does not say why a code was not available, nor the reasons that staff gave.
    """
    asked_for = Moment(request_context().now, as_of, known_at)
    version = account_version(account)
    page, following = _page(
        TimelineQuery(account=account, as_of=as_of, known_at=known_at, **filters), limit, cursor
    )
    header = account, asked_for.at, asked_for.known, page.position
    return reply(AccountTimelineView(*header, page.items, following), version=version)


@blueprint.get("/timeline")
@operation(
    access=_READERS,
    query=TimelineFilters,
    responses={200: Returns(TimelineView, "Events, the newest first.")},
)
def get_timeline(limit: int, cursor: str | None = None, **filters: Any) -> Response:
    """Tell everything that names something.

    An id that several things bear stands for all of them. A reseller sees what happened to its own
    keys and batches, and finds it by those.
    """
    return _reply(TimelineQuery(**filters), limit, cursor)


@blueprint.post("/timeline/search")
@operation(
    access=_READERS,
    query=SearchQuery,
    body=Search,
    responses={200: Returns(TimelineView, "Events, the newest first.")},
)
def search_timeline(ref: str, limit: int, cursor: str | None = None, **filters: Any) -> Response:
    """Tell everything that names something, which may be a whole code."""
    # From here on a code is known by its key's id.
    known = known_ref(services(), ref, may_learn=caller().reseller is None)
    return _reply(TimelineQuery(ref=known, **filters), limit, cursor)


def visibility() -> Visibility:
    """Return what the caller may see."""
    who = caller()
    texts = services().texts if who.role in _TEXT_READERS else None
    is_staff = who.role != PORTAL
    return Visibility(texts, found=is_staff, reseller=who.reseller, staffs_texts=is_staff)


def _reply(wanted: TimelineQuery, limit: int, cursor: str | None) -> Response:
    page, following = _page(wanted, limit, cursor)
    return reply(TimelineView(page.items, following, page.position))


def _page(wanted: TimelineQuery, limit: int, cursor: str | None) -> tuple[TimelinePage, str | None]:
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
