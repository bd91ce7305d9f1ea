"""The feed: what is asked, and the events that are answered."""

from __future__ import annotations

from typing import Final

import marshmallow as ma

from web.api.schemas.fields import TIME_PATTERN, NumberText, within
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


class CloudEvent(ma.Schema):
    """An event of the ledger as CloudEvents 1.0 has it."""

    specversion = ma.fields.String(required=True, metadata={"enum": ["1.0"]})
    id = ma.fields.String(
        required=True,
        metadata={
            "description": "The position: whole numbers from 1, without gaps.",
            "pattern": "^[1-9][0-9]*$",
            "examples": ["1234"],
        },
    )
    source = ma.fields.String(required=True, metadata={"enum": ["/keyfold"]})
    type = ma.fields.String(
        required=True,
        metadata={
            "description": "What happened, and in which version of its shape.",
            "examples": ["account.seat_occupied@1"],
        },
    )
    subject = ma.fields.String(
        required=True, metadata={"description": "The stream.", "examples": ["account-acme"]}
    )
    time = ma.fields.DateTime(
        required=True,
        metadata={
            "description": "When it was recorded.",
            "pattern": TIME_PATTERN,
            "examples": ["2026-03-01T09:00:00.000000Z"],
        },
    )
    datacontenttype = ma.fields.String(required=True, metadata={"enum": ["application/json"]})
    keyfoldversion = ma.fields.Integer(
        required=True,
        metadata={"description": "Its place in the stream.", "minimum": 1, "examples": [42]},
    )
    data = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={
            "description": "The event as it is stored: the `fact`, and how it is known. Free text"
            " is encrypted.",
            "examples": [
                {
                    "fact": {"product": "cloud_pos", "tier": None, "holder": "till-1"},
                    "recorded_at": "2026-03-01T09:00:00Z",
                    "occurred_at": "2026-03-01T09:00:00Z",
                    "actor": "kft_c5nfx2ynqk7tq3bd5xw4a6bl7m",
                    "request_id": "req_c5nfx2ynqk7tq3bd5xw4a6bl7m",
                    "causation": None,
                    "test_clock": False,
                }
            ],
        },
    )


class Events(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(CloudEvent), required=True)
    next = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "`after` of the next page, when there is more already; null at the end:"
            " then ask again after the last `id`.",
        },
    )
    position = ma.fields.Integer(
        required=True,
        metadata={"description": "The ledger's head.", "minimum": 0, "examples": [1234]},
    )
