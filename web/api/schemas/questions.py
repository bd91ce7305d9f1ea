"""What is asked of diff and explanations."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from ledger.limits import HOLDER_ID, SESSION_ID
from web.api.schemas.fields import REQUIRED, Shape, Text, Time, matching
from web.api.schemas.requests import OF_CATALOG, PRODUCT_ID, ReadQuery


class DiffQuery(ReadQuery):
    start = Time("The moment to begin at.", required=True, data_key="from")
    end = Time("The moment to end at; now if left out. It may be a later one.", data_key="to")
    known_at = Time("Use only what had been recorded by then; now if left out.")


class Explain(Shape):
    """A holder of a product, or a code."""

    example: ClassVar = {"product": "cloud_pos", "holder": "till-1"}

    product = Text(
        "Of the holder; or, with a code, the product that it is wanted for.",
        load_default=None,
        validate=matching(PRODUCT_ID),
        document={OF_CATALOG: "products"},
    )
    holder = Text(load_default=None, validate=matching(HOLDER_ID))
    code = Text("As it was typed; it is neither logged nor kept.", load_default=None)
    session = Text(
        "With a code: the sitting in which it was tried.",
        load_default=None,
        validate=matching(SESSION_ID),
    )

    @ma.validates_schema
    def _one_thing(self, data: dict[str, Any], **_: Any) -> None:
        if data["code"] is not None:
            wrong = ("holder",) if data["holder"] is not None else ()
            why = "must be left out with a code"
        elif data["holder"] is None:
            wrong, why = ("holder",), f"{REQUIRED}: name a holder and its product, or a code"
        else:
            wrong = ("product",) if data["product"] is None else ()
            why = REQUIRED
            if data["session"] is not None:
                wrong, why = ("session",), "is for a code"
        if wrong:
            raise ma.ValidationError({name: [why] for name in wrong})
