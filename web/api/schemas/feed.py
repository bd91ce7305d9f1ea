"""The query of the feed."""

from __future__ import annotations

from typing import Final

from web.api.schemas.fields import NumberText, within
from web.api.schemas.requests import PAGE_DEFAULT, PAGE_MAX, POSITION_MAX, ReadQuery

WAIT_MAX_S: Final = 60


class EventsQuery(ReadQuery):
    after = NumberText(
        load_default=0,
        validate=within(0, POSITION_MAX),
        metadata={
            "description": "The `id` of the last event that the reader has; 0 for none.",
        },
    )
    limit = NumberText(
        load_default=PAGE_DEFAULT,
        validate=within(1, PAGE_MAX),
        metadata={"description": "How many at most."},
    )
    wait = NumberText(
        load_default=0,
        validate=within(0, WAIT_MAX_S),
        metadata={
            "description": "How many seconds to wait at most for an event, if there is none yet."
            " The answer may come sooner with none: ask again with the same `after`.",
        },
    )
