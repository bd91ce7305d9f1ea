"""The ledger itself, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flask import Blueprint, Response

from ledger.min_position import PositionNotReached
from ledger.streams.account.stream import ACCOUNT
from projections.lists.feed import FeedView, cloud_event, read_feed
from projections.text.event_catalogue import EventKindList, event_kinds
from web.api.operations import Returns, operation
from web.api.request_fields import NumberText, within
from web.api.requests import PAGE_DEFAULT, PAGE_MAX, POSITION_MAX, ReadQuery
from web.app import waiting
from web.app.auth import ADMIN, AUDITOR, EVERYBODY, PORTAL, only
from web.app.context import caller, services
from web.app.responses import reply

WAIT_ASKED_MAX_S: Final = 60
# A worker that is told to stop has 30 seconds to finish what it is answering.
WAIT_MAX_S: Final = 25

_OF_ACCOUNTS: Final = f"{ACCOUNT.kind}-"

blueprint = Blueprint("events", __name__, url_prefix="/v1")


class EventsQuery(ReadQuery):
    after = NumberText(
        "The `id` of the last event that the reader has; 0 for none.",
        load_default=0,
        validate=within(0, POSITION_MAX),
    )
    limit = NumberText("How many at most.", load_default=PAGE_DEFAULT, validate=within(1, PAGE_MAX))
    wait = NumberText(
        "How many seconds to wait at most for an event, if there is none yet."
        " The answer may come sooner with none: ask again with the same `after`.",
        load_default=0,
        validate=within(0, WAIT_ASKED_MAX_S),
    )


@blueprint.get("/events/kinds")
@operation(
    access=EVERYBODY,
    responses={200: Returns(EventKindList, "Every kind of event.")},
)
def list_event_kinds() -> Response:
    """List every kind of event, with its fields.

    They are the same for every ledger of this release; nothing of this one is in it.
    """
    return reply(event_kinds())


@blueprint.get("/events")
@operation(
    access=only(AUDITOR, ADMIN, PORTAL),
    query=EventsQuery,
    responses={200: Returns(FeedView, "Events, the oldest first.")},
)
def list_events(after: int, limit: int, wait: int) -> Response:
    """Follow the ledger.

    Every event from a position on, in order, as CloudEvents 1.0. Who asks again after the `id` of
    the last event it was given misses none and gets none twice. A wait lasts 25 seconds at most,
    and not at all when too many wait already. To be after the ledger's end means that the ledger is
    not the one that was followed, or behind it: that is answered at once with 503
    `position_not_reached`.

    A portal's token is told of what concerns accounts: the events of their streams. `next` is then
    where to go on, also when all that was there is of others, and null when nothing was.
    """
    _refuse_beyond(after, services().book.head())
    with _allowed(wait) as wait_s:
        page = read_feed(services().book, after, limit, wait_s=wait_s)
    # Once more: a reader may have been sent to a standby that lags behind the one before.
    _refuse_beyond(after, page.position)
    rows, following = page.rows, page.next
    if caller().role == PORTAL:
        following = rows[-1].position if rows else None
        rows = [row for row in rows if row.stream.startswith(_OF_ACCOUNTS)]
    return reply(
        FeedView(list(map(cloud_event, rows)), str(following) if following else None, page.position)
    )


def _refuse_beyond(after: int, head: int) -> None:
    if after > head:
        raise PositionNotReached(head)


@contextmanager
def _allowed(wait_s: int) -> Iterator[float]:
    """Yield how long this request may wait, in seconds."""
    if not wait_s:
        yield 0
        return
    with waiting.slot() as may_wait:
        yield min(wait_s, WAIT_MAX_S) if may_wait else 0
