"""The query of the feed."""

from __future__ import annotations

from typing import Final

from web.api.schemas.fields import NumberText, within
from web.api.schemas.requests import PAGE_DEFAULT, PAGE_MAX, POSITION_MAX, ReadQuery

WAIT_MAX_S: Final = 60


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
        validate=within(0, WAIT_MAX_S),
    )
