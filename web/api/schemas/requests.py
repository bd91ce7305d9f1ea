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


def free_text(description: str, length: int = TEXT_LENGTH_MAX, **options: Any) -> Text:
    """Return a field for what people write, on one line."""
    return Text(description, validate=long_at_most(length), document=TEXT, **options)


def tier_field() -> Identifier:
    description = "Needed for a product with tiers, refused for one without."
    return Identifier(description, optional=True, document={OF_CATALOG: "tiers"})


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
        "What redeeming a key gives.", required=True, document={OF_CATALOG: "products"}
    )
    tier = tier_field()
    seats = WholeNumber(required=True, validate=within(1, SEATS_MAX))
    months = WholeNumber(
        "Calendar months from the moment of activation.",
        required=True,
        validate=within(1, MONTHS_MAX),
    )
    count = WholeNumber("How many keys.", load_default=1, validate=within(1, COUNT_MAX))
    reseller = Identifier(
        "Whose keys they are. A reseller's token may leave it out, and may name no other.",
        required=True,
        validate=long_at_most(NAME_LENGTH_MAX),
        document=_NAME,
    )
    redeem_by = Time("From this moment on, keys that nobody redeemed have lapsed.", optional=True)
    note = free_text("Free text on one line, stored encrypted.", optional=True)

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

    reason = free_text("Free text on one line, stored encrypted.", required=True)


class TryCode(Shape):
    """A code that somebody typed."""

    example: ClassVar = {
        "code": "POS-ABCD-EFGH-7K2M",
        "account": "acme",
        "session": "s-4711",
        "product": "cloud_pos",
    }

    code = Text(
        "As typed: lower case, any dash, none or spaces between the groups, and"
        " quotes and invisible characters anywhere are forgiven; a 0 or a 1 is not.",
        required=True,
    )
    account = Identifier(required=True, validate=matching(ACCOUNT_ID))
    session = Identifier(
        "The portal's own id of the sitting; failed tries are counted by it.",
        required=True,
        validate=matching(SESSION_ID),
    )
    product = Identifier(
        "The product that the code is wanted for; left out for any.",
        optional=True,
        document={OF_CATALOG: "products"},
    )

    @ma.post_load
    def _try(self, data: dict[str, Any], **_: Any) -> Try:
        return Try(**data)


class TakeSeat(Shape):
    """Where a holder wants to sit."""

    example: ClassVar = {"tier": None, "label": "Till at the door"}

    tier = tier_field()
    label = free_text("What people know the holder by; stored encrypted.", optional=True)


# Queries


class NoQuery(Shape):
    """For pages that take no parameters."""


class ReadQuery(Shape):
    min_position = NumberText(
        "Never answer from before this position of the ledger.", validate=within(0, POSITION_MAX)
    )


class AccountQuery(ReadQuery):
    as_of = Time("Answer what was true then, or will be if nothing more happens; now if left out.")
    known_at = Time("Use only what had been recorded by then; now if left out.")


class SubscriptionsQuery(AccountQuery):
    all = Flag("List rows that have ended, too.", load_default=False)


class PageQuery(Shape):
    limit = NumberText("How many at most.", load_default=PAGE_DEFAULT, validate=within(1, PAGE_MAX))
    cursor = Text("`next` of the page before, with the same other parameters.")


class SeatsQuery(AccountQuery, PageQuery):
    product = Text(validate=matching(PRODUCT_ID))


class HistoryQuery(AccountQuery):
    product = Text(
        "Of this product only; of all together if left out.", validate=matching(PRODUCT_ID)
    )
    tier = Text("Of this tier of the product only.", validate=matching(PRODUCT_ID))
    start = Time("The first event, if left out.", data_key="from")
    end = Time("`as_of`, if left out.", data_key="to")


class KeysQuery(AccountQuery, PageQuery):
    status = Text(validate=one_of("issued", "redeemed", "revoked", "lapsed"))
    product = Text(validate=matching(PRODUCT_ID))
    reseller = Text(validate=long_at_most(NAME_LENGTH_MAX))
    batch = Text(validate=matching(BATCH_ID))
    redeemed_by = Text("An account.", validate=matching(ACCOUNT_ID))


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
        "`ETag` of the account as it was read: refused with 412 when something was recorded since.",
        data_key="If-Match",
        load_default=None,
        allow_none=False,
        document={"pattern": r'^("[0-9]{1,18}"|[*])$'},
    )


class Repeatable(Shape):
    idempotency_key = Text(
        "Any text of the caller's own: a request that is repeated with it is"
        " answered as before, and not carried out again.",
        data_key="Idempotency-Key",
        load_default=None,
        allow_none=False,
        validate=matching(IDEMPOTENCY_KEY),
    )


class RepeatableWrite(IfMatch, Repeatable):
    """What may be repeated, and be held to a version of its account."""
