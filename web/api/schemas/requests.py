"""What is sent: bodies, queries and headers."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

import marshmallow as ma

from commands.issue_keys import Order
from commands.redeem_key import Try
from ledger.limits import (
    ACCOUNT_ID,
    COUNT_MAX,
    IDEMPOTENCY_KEY,
    MONTHS_MAX,
    NAME_LENGTH_MAX,
    SEATS_MAX,
    SESSION_ID,
    TEXT_LENGTH_MAX,
)
from web.api.schemas.fields import (
    Flag,
    Identifier,
    NumberText,
    Shape,
    Text,
    Time,
    WholeNumber,
    long_at_most,
    matching,
    one_of,
    within,
)
from web.app.context import caller

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500
POSITION_MAX: Final = 2**63 - 1
PRODUCT_ID: Final = r"[a-z][a-z0-9_]{0,39}"
BATCH_ID: Final = r"bat_[a-z2-7]{26}"

# Filled in from the catalog when the application is made (web/api/openapi.py).
OF_CATALOG: Final = "x-catalog"

# What `commands.validation` holds texts and names to, for the documentation: as much of it as a
# pattern can say that Python and JavaScript read alike. Private and unassigned characters are
# refused, too.
_READABLE: Final = r"[^\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_VISIBLE: Final = (
    r"[^\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
TEXT: Final = {"pattern": f"^{_READABLE}*{_VISIBLE}{_READABLE}*$"}
_NAME: Final = {"pattern": f"^(?![=+@＝＋－＠-]){_VISIBLE}({_READABLE}*{_VISIBLE})?$"}

_VERSION = re.compile(r'"(?P<version>[0-9]{1,18})"')


# Bodies


class IssueKeys(Shape):
    """An order of keys, alike but for their codes."""

    example: ClassVar = {
        "product": "integrations",
        "tier": "growth",
        "seats": 5,
        "months": 12,
        "count": 10,
        "reseller": "Harbour Systems",
        "redeem_by": "2030-01-01T00:00:00Z",
        "note": "Spring order",
    }

    product = Identifier(
        required=True,
        metadata={"description": "What redeeming a key gives.", OF_CATALOG: "products"},
    )
    tier = Identifier(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "Needed for a product with tiers, refused for one without.",
            OF_CATALOG: "tiers",
        },
    )
    seats = WholeNumber(required=True, validate=within(1, SEATS_MAX))
    months = WholeNumber(
        required=True,
        validate=within(1, MONTHS_MAX),
        metadata={"description": "Calendar months from the moment of activation."},
    )
    count = WholeNumber(
        load_default=1,
        validate=within(1, COUNT_MAX),
        metadata={"description": "How many keys."},
    )
    reseller = Identifier(
        required=True,
        validate=long_at_most(NAME_LENGTH_MAX),
        metadata={
            "description": "Whose keys they are. A reseller's token may leave it out, and may name"
            " no other.",
            **_NAME,
        },
    )
    redeem_by = Time(
        allow_none=True,
        load_default=None,
        metadata={"description": "From this moment on, keys that nobody redeemed have lapsed."},
    )
    note = Text(
        allow_none=True,
        load_default=None,
        validate=long_at_most(TEXT_LENGTH_MAX),
        metadata={"description": "Free text on one line, stored encrypted.", **TEXT},
    )

    @ma.post_load
    def _order(self, data: dict[str, Any], **_: Any) -> Order:
        return Order(**data)

    @ma.pre_load
    def _fill_in_own_name(self, data: Any, **_: Any) -> Any:
        bound = caller().reseller
        if bound is not None and isinstance(data, dict):
            return {"reseller": bound, **data}
        return data


class Reasoned(Shape):
    """Why something is done."""

    example: ClassVar = {"reason": "The customer lost the code"}

    reason = Text(
        required=True,
        validate=long_at_most(TEXT_LENGTH_MAX),
        metadata={"description": "Free text on one line, stored encrypted.", **TEXT},
    )


class TryCode(Shape):
    """A code that somebody typed."""

    example: ClassVar = {
        "code": "POS-ABCD-EFGH-7K2M",
        "account": "acme",
        "session": "s-4711",
        "product": "cloud_pos",
    }

    code = Text(
        required=True,
        metadata={
            "description": "As typed: lower case, any dash, none or spaces between the groups, and"
            " quotes and invisible characters anywhere are forgiven; a 0 or a 1 is not."
        },
    )
    account = Identifier(required=True, validate=matching(ACCOUNT_ID))
    session = Identifier(
        required=True,
        validate=matching(SESSION_ID),
        metadata={
            "description": "The portal's own id of the sitting; failed tries are counted by it."
        },
    )
    product = Identifier(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "The product that the code is wanted for; left out for any.",
            OF_CATALOG: "products",
        },
    )

    @ma.post_load
    def _try(self, data: dict[str, Any], **_: Any) -> Try:
        return Try(**data)


class TakeSeat(Shape):
    """Where a holder wants to sit."""

    example: ClassVar = {"tier": None, "label": "Till at the door"}

    tier = Identifier(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "Needed for a product with tiers, refused for one without.",
            OF_CATALOG: "tiers",
        },
    )
    label = Text(
        allow_none=True,
        load_default=None,
        validate=long_at_most(TEXT_LENGTH_MAX),
        metadata={"description": "What people know the holder by; stored encrypted.", **TEXT},
    )


# Queries


class NoQuery(Shape):
    """For pages that take no parameters."""


class ReadQuery(Shape):
    min_position = NumberText(
        validate=within(0, POSITION_MAX),
        metadata={"description": "Never answer from before this position of the ledger."},
    )


class AccountQuery(ReadQuery):
    as_of = Time(
        metadata={
            "description": "Answer what was true then, or will be if nothing more happens; now if"
            " left out.",
        },
    )
    known_at = Time(
        metadata={"description": "Use only what had been recorded by then; now if left out."},
    )


class SubscriptionsQuery(AccountQuery):
    all = Flag(
        load_default=False,
        metadata={"description": "List rows that have ended, too."},
    )


class PageQuery(Shape):
    limit = NumberText(
        load_default=PAGE_DEFAULT,
        validate=within(1, PAGE_MAX),
        metadata={"description": "How many at most."},
    )
    cursor = Text(
        metadata={"description": "`next` of the page before, with the same other parameters."}
    )


class SeatsQuery(AccountQuery, PageQuery):
    product = Text(validate=matching(PRODUCT_ID))


class HistoryQuery(AccountQuery):
    product = Text(
        validate=matching(PRODUCT_ID),
        metadata={"description": "Of this product only; of all together if left out."},
    )
    tier = Text(
        validate=matching(PRODUCT_ID),
        metadata={"description": "Of this tier of the product only."},
    )
    start = Time(data_key="from", metadata={"description": "The first event, if left out."})
    end = Time(data_key="to", metadata={"description": "`as_of`, if left out."})


class KeysQuery(AccountQuery, PageQuery):
    status = Text(validate=one_of("issued", "redeemed", "revoked", "lapsed"))
    product = Text(validate=matching(PRODUCT_ID))
    reseller = Text(validate=long_at_most(NAME_LENGTH_MAX))
    batch = Text(validate=matching(BATCH_ID))
    redeemed_by = Text(validate=matching(ACCOUNT_ID), metadata={"description": "An account."})


# Headers


class Version(Text):
    """An account's version as its ETag has it; `*` for whichever it is."""

    default_error_messages = {"version": 'must be one version like "12", or *'}

    def _deserialize(self, value: Any, *_args: Any, **_kwargs: Any) -> Any:
        if value == "*":
            return None
        found = _VERSION.fullmatch(value)
        if found is None:
            raise self.make_error("version")
        return int(found["version"])


class IfMatch(Shape):
    expected_version = Version(
        data_key="If-Match",
        load_default=None,
        allow_none=False,
        metadata={
            "description": "`ETag` of the account as it was read: refused with 412 when something"
            " was recorded since.",
            "pattern": r'^("[0-9]{1,18}"|[*])$',
        },
    )


class Repeatable(Shape):
    idempotency_key = Text(
        data_key="Idempotency-Key",
        load_default=None,
        allow_none=False,
        validate=matching(IDEMPOTENCY_KEY),
        metadata={
            "description": "Any text of the caller's own: a request that is repeated with it is"
            " answered as before, and not carried out again.",
        },
    )


class RepeatableWrite(IfMatch, Repeatable):
    """What may be repeated, and be held to a version of its account."""
