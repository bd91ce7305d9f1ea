"""Notices: what became true by the passing of time, or is for somebody to look at."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from flask import Blueprint, Response

from ledger.limits import ACCOUNT_ID, NAME_LENGTH_MAX
from ledger.notice_kinds import NOTICE_KINDS
from ledger.refusals import FieldError, InvalidRequest
from ledger.reseller_names import same
from projections.lists.notices import NoticeList, NoticeQuery, complete_until, list_notices
from web.api.operations import Returns, operation
from web.api.request_fields import Text, Time, long_at_most, matching, one_of
from web.api.requests import PageQuery, ReadQuery
from web.app import cursors, waiting
from web.app.auth import ADMIN, AUDITOR, PORTAL, RESELLER, SUPPORT, only
from web.app.context import app_state, caller, request_context, services
from web.app.responses import reply

blueprint = Blueprint("notices", __name__, url_prefix="/v1")

# An event can be read this long after the time it bears, by far the most of them.
SETTLING_S: Final = 0.3
AHEAD_S: Final = 1.0


class NoticesQuery(ReadQuery, PageQuery):
    start = Time("Given after this moment; from the beginning, if left out.", data_key="from")
    end = Time("Given up to this moment, which may lie ahead; now, if left out.", data_key="to")
    account = Text(validate=matching(ACCOUNT_ID))
    reseller = Text("About this reseller's keys.", validate=long_at_most(NAME_LENGTH_MAX))
    kind = Text(validate=one_of(*NOTICE_KINDS))


@blueprint.get("/notices")
@operation(
    access=only(ADMIN, PORTAL, SUPPORT, AUDITOR, RESELLER),
    query=NoticesQuery,
    responses={200: Returns(NoticeList, "Notices, the oldest first.")},
)
def show_notices(
    limit: int,
    cursor: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    account: str | None = None,
    reseller: str | None = None,
    kind: str | None = None,
) -> Response:
    """List what became true in a stretch of time, each thing once.

    A notice is given when it is true and known: what was recorded late is told when it was
    recorded. So a stretch of time that is over has the same notices for ever, however it is cut;
    one that lies ahead has those that come if nothing more happens. Ids never change. Whoever asks
    again and again asks `from` the `complete_until` of before. A reseller sees what is about its
    keys and about what they gave; the portal, what is about accounts.
    """
    bound = caller().reseller
    of = ("notices", caller().role, bound, start, end, account, reseller, kind)
    after = cursors.read(services().request_key, of, cursor)
    now = request_context().now
    until = end or (datetime.fromisoformat(after[3]) if after else now)
    complete = complete_until(until, now)
    if start is not None and start > until:
        raise InvalidRequest(FieldError("/from", "must not be after the end"))
    if end is not None:
        _let_settle(end)
    if bound is not None and reseller is not None and not same(bound, reseller):
        return reply(NoticeList([], None, services().book.head(), complete))
    page = list_notices(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        NoticeQuery(
            until,
            start,
            account,
            bound or reseller,
            (kind,) if kind else (),
            caller().role == PORTAL,
        ),
        after=after,
        limit=limit,
    )
    following = None
    if page.next is not None:
        place = (*page.next, until.isoformat())
        following = cursors.write(services().request_key, of, place)
    return reply(NoticeList(page.notices, following, page.position, complete))


def _let_settle(end: datetime) -> None:
    """Wait for what is just being recorded, so that who goes on from this end misses nothing.

    An end that lies further ahead than clocks are apart is waited for by nobody, and none is when
    too many wait already: `complete_until` says then, too, how far nothing can be missed.
    """
    context = request_context()
    over_s = (context.now - end).total_seconds()
    if context.read_at is None or over_s <= -AHEAD_S:
        return
    left_s = SETTLING_S - over_s - (time.monotonic() - context.read_at)
    if left_s <= 0:
        return
    with waiting.slot() as may_wait:
        if may_wait:
            time.sleep(left_s)
