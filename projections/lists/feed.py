"""The feed: the ledger's events in order, from a position on, with a wait for those to come.

Positions have no gaps and grow in the order of the commits, so a reader that asks again with the
position of the last event it was given misses nothing and gets nothing twice, whatever happens to
it or to us in between. The place is the reader's to keep; nothing of it is kept here.
"""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta, Raw

from ledger.book import LAG_S, Book
from ledger.min_position import hold_to_min_position
from ledger.proof.cloud_events import recorded_at
from ledger.store.contract import Row
from projections.answer import Answer, Count, Time, doc

PAUSE_MIN_S: Final = 0.005
PAUSE_MAX_S: Final = 0.1
PAUSE_GROWTH: Final = 1.5


class CloudEvent(Answer, frozen=True):
    """An event of the ledger as CloudEvents 1.0 has it."""

    specversion: Literal["1.0"]
    id: Annotated[
        str,
        doc("The position: whole numbers from 1, without gaps.", "1234", pattern="^[1-9][0-9]*$"),
    ]
    source: Literal["/keyfold"]
    type: Annotated[
        str,
        doc("What happened, and in which version of its shape.", "account.seat_occupied@1"),
    ]
    subject: Annotated[str, doc("The stream.", "account-acme")]
    time: Annotated[Time, doc("When it was recorded.")]
    datacontenttype: Literal["application/json"]
    keyfoldversion: Annotated[int, Meta(ge=1), doc("Its place in the stream.", 42)]
    data: Annotated[
        Any,  # the very bytes that are stored
        doc(
            "The event as it is stored: the `fact`, and how it is known. Free text is encrypted.",
            {
                "fact": {"product": "cloud_pos", "tier": None, "holder": "till-1"},
                "recorded_at": "2026-03-01T09:00:00Z",
                "occurred_at": "2026-03-01T09:00:00Z",
                "actor": "kft_c5nfx2ynqk7tq3bd5xw4a6bl7m",
                "request_id": "req_c5nfx2ynqk7tq3bd5xw4a6bl7m",
                "causation": None,
                "test_clock": False,
            },
            type="object",
        ),
    ]


class FeedView(Answer, frozen=True):
    """Some events, the oldest first."""

    items: list[CloudEvent]
    next: Annotated[
        str | None,
        doc(
            "`after` of the next page, when there is more already; null at the end: then ask again"
            " after the last `id`."
        ),
    ]
    position: Annotated[Count, doc("The ledger's head.", 1234)]


class FeedPage(NamedTuple):
    """Some events in order, exactly as stored; none when the wait was in vain.

    Attributes:
        position: the ledger's head when they were read.
        next: the position of the last of them, when more had come already; None at the end.
    """

    rows: list[Row]
    position: int
    next: int | None


def read_feed(book: Book, after: int, limit: int, *, wait_s: float = 0) -> FeedPage:
    """Return the events after a position, at most `limit`; wait for the first if there is none.

    Args:
        wait_s: how long to wait at most; who waits asks the database in pauses of up to a tenth of
            a second.
    """
    deadline = time.monotonic() + wait_s
    pause = PAUSE_MIN_S
    head = book.head()
    # Where the server that is read lags behind the one that told of the head, events are to come.
    lags_until = time.monotonic() + LAG_S if head > after else 0.0
    while not (rows := book.store.read_from(after, limit)):
        left = max(deadline, lags_until) - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(pause * PAUSE_GROWTH, PAUSE_MAX_S)
    last = rows[-1].position if rows else after
    if len(rows) == limit:
        head = max(book.head(), last)
    else:
        head = last if rows else min(head, after)
        hold_to_min_position(head)
    return FeedPage(rows, head, last if rows and head > last else None)


def cloud_event(row: Row) -> CloudEvent:
    """Return an event with its state as it is stored."""
    return CloudEvent(
        "1.0",
        str(row.position),
        "/keyfold",
        row.name,
        row.stream,
        recorded_at(row),
        "application/json",
        row.version,
        Raw(row.state),
    )
