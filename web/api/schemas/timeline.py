"""The timeline: what is asked, and the events as people read them."""

from __future__ import annotations

from typing import ClassVar, Final

import marshmallow as ma

from ledger.limits import unreadable
from web.api.schemas.fields import Shape, Text, Time, long_at_most, matching
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

    event = Text("What happened, e.g. `account.seat_occupied`.", validate=matching(EVENT_NAME))
    actor = Text("Who asked: a token's id, `operator` or `stripe`.", validate=matching(ACTOR))
    start = Time("Recorded from then on.", data_key="from")
    end = Time("Recorded before then.", data_key="to")


class TimelineQuery(ReadQuery, PageQuery, Filters):
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
