"""The timeline: what is asked, and the events as people read them."""

from __future__ import annotations

from typing import ClassVar, Final

import marshmallow as ma

from ledger.limits import unreadable
from web.api.schemas.fields import TIME_PATTERN, Shape, Text, Time, long_at_most, matching
from web.api.schemas.requests import AccountQuery, PageQuery, ReadQuery

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

    event = Text(
        validate=matching(EVENT_NAME),
        metadata={"description": "What happened, e.g. `account.seat_occupied`."},
    )
    actor = Text(
        validate=matching(ACTOR),
        metadata={"description": "Who asked: a token's id, `operator` or `stripe`."},
    )
    start = Time(data_key="from", metadata={"description": "Recorded from then on."})
    end = Time(data_key="to", metadata={"description": "Recorded before then."})


class TimelineQuery(ReadQuery, PageQuery, Filters):
    ref = Text(
        validate=_FITS,
        metadata={"description": f"{_REF} Everything, if left out."},
    )


class AccountTimelineQuery(AccountQuery, PageQuery, Filters):
    ref = Text(
        validate=_FITS,
        metadata={"description": f"Only what names this as well. {_REF}"},
    )


class SearchQuery(ReadQuery, PageQuery, Filters):
    pass


class Search(Shape):
    """What to look for; a code, which must not be in a URL, can be here."""

    example: ClassVar = {"ref": "POS-ABCD-EFGH-7K2M"}

    ref = Text(
        required=True,
        validate=_FITS,
        metadata={"description": f"{_REF} Or a whole code, which is neither logged nor kept."},
    )


class Entry(ma.Schema):
    """An event as people read it."""

    position = ma.fields.Integer(required=True, metadata={"minimum": 1, "examples": [1234]})
    event = ma.fields.String(
        required=True,
        metadata={
            "description": "What happened, and in which version of its shape.",
            "examples": ["account.seat_occupied@1"],
        },
    )
    recorded_at = ma.fields.DateTime(
        required=True,
        metadata={"pattern": TIME_PATTERN, "description": "When the ledger wrote it."},
    )
    occurred_at = ma.fields.DateTime(
        required=True,
        metadata={"pattern": TIME_PATTERN, "description": "When it became true."},
    )
    actor = ma.fields.String(
        required=True,
        metadata={"description": "A token's id, `operator`, `stripe`, or a customer's visit."},
    )
    actor_role = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What the token stands for.", "examples": ["portal"]},
    )
    request_id = ma.fields.String(required=True)
    causation = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The event that it follows from, as `<stream>/<version>`."},
    )
    summary = ma.fields.String(
        required=True,
        metadata={
            "description": "The event in one sentence.",
            "examples": [
                "Key POS-••••-••••-7K2M redeemed: 5 Cloud POS seats until 21 Nov 2027, by portal"
            ],
        },
    )
    refs = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={
            "description": "Everything else that it names; each is a `ref`.",
            "examples": [["acme", "key_c5nfx2ynqk7tq3bd5xw4a6bl7m"]],
        },
    )
    data = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        metadata={
            "description": "The fact. Free text is opened for those who may see it; else it says"
            " `(not shown)`, and `(erased)` when its key was destroyed.",
            "examples": [{"product": "cloud_pos", "tier": None, "holder": "till-1"}],
        },
    )


class Timeline(ma.Schema):
    items = ma.fields.List(ma.fields.Nested(Entry), required=True)
    next = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`cursor` of the next page; null on the last."},
    )
    position = ma.fields.Integer(
        required=True,
        metadata={
            "description": "The ledger's position that this was answered at.",
            "minimum": 0,
            "examples": [1234],
        },
    )


class AccountTimeline(Timeline):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    as_of = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    known_at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
