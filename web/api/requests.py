"""What is sent: bodies, queries and headers."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from ledger.limits import IDEMPOTENCY_KEY, TEXT_LENGTH_MAX
from web.api.request_fields import (
    Identifier,
    NumberText,
    Shape,
    Text,
    Time,
    long_at_most,
    matching,
    within,
)

PAGE_DEFAULT: Final = 50
PAGE_MAX: Final = 500
POSITION_MAX: Final = 2**63 - 1
PRODUCT_ID: Final = r"[a-z][a-z0-9_]{0,39}"
BATCH_ID: Final = r"bat_[a-z2-7]{26}"

# What examples the catalog has of it (web/api/openapi.py). They are no list of all that may come:
# a client that was made for one catalog is good for another, and for the products of next year.
OF_CATALOG: Final = "x-catalog"

# What `commands.validation` holds texts and names to, for the documentation: as much of it as a
# pattern can say that Python and JavaScript read alike. Private and unassigned characters are
# refused, too.
READABLE: Final = r"[^\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
VISIBLE: Final = (
    r"[^\x00-\x20\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
TEXT: Final = {"pattern": f"^{READABLE}*{VISIBLE}{READABLE}*$"}
NAME: Final = {"pattern": f"^(?![=+@＝＋－＠-]){VISIBLE}({READABLE}*{VISIBLE})?$"}

_VERSION = re.compile(r'"(?P<version>[0-9]{1,18})"')


# Bodies


def free_text(description: str, length: int = TEXT_LENGTH_MAX, **options: Any) -> Text:
    """Return a field for what people write, on one line."""
    return Text(description, validate=long_at_most(length), document=TEXT, **options)


def tier_field() -> Identifier:
    """Return the field for a tier, which only products with tiers have."""
    description = "Needed for a product with tiers, refused for one without."
    return Identifier(description, optional=True, document={OF_CATALOG: "tiers"})


class Reasoned(Shape):
    """Why something is done."""

    example: ClassVar = {"reason": "The customer lost the code"}

    reason = free_text("Free text on one line, stored encrypted.", required=True)


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


class PageQuery(Shape):
    limit = NumberText("How many at most.", load_default=PAGE_DEFAULT, validate=within(1, PAGE_MAX))
    cursor = Text("`next` of the page before, with the same other parameters.")


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
