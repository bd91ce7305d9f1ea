"""Diff, explanations and overview: what is asked, and what is answered."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from ledger.limits import HOLDER_ID, SESSION_ID
from web.api.schemas.fields import REQUIRED, TIME_PATTERN, Shape, Text, Time, matching
from web.api.schemas.requests import OF_CATALOG, PRODUCT_ID, ReadQuery

_POSITIONS = {
    "description": "Of the events that did it: each is in the timeline.",
    "examples": [[12, 34]],
}


class DiffQuery(ReadQuery):
    start = Time(
        required=True, data_key="from", metadata={"description": "The moment to begin at."}
    )
    end = Time(
        data_key="to",
        metadata={"description": "The moment to end at; now if left out. It may be a later one."},
    )
    known_at = Time(
        metadata={"description": "Use only what had been recorded by then; now if left out."},
    )


class Explain(Shape):
    """A holder of a product, or a code."""

    example: ClassVar = {"product": "cloud_pos", "holder": "till-1"}

    product = Text(
        load_default=None,
        validate=matching(PRODUCT_ID),
        metadata={
            "description": "Of the holder; or, with a code, the product that it is wanted for.",
            OF_CATALOG: "products",
        },
    )
    holder = Text(load_default=None, validate=matching(HOLDER_ID))
    code = Text(
        load_default=None,
        metadata={"description": "As it was typed; it is neither logged nor kept."},
    )
    session = Text(
        load_default=None,
        validate=matching(SESSION_ID),
        metadata={"description": "With a code: the sitting in which it was tried."},
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


class Thing(ma.Schema):
    """What is different: a subscription, a taken seat, or a pool."""

    kind = ma.fields.String(required=True, metadata={"enum": ["subscription", "seat", "pool"]})
    subscription = ma.fields.String(required=True, allow_none=True)
    product = ma.fields.String(required=True, metadata={"examples": ["cloud_pos"]})
    tier = ma.fields.String(required=True, allow_none=True)
    holder = ma.fields.String(required=True, allow_none=True)


class Difference(ma.Schema):
    thing = ma.fields.Nested(Thing, required=True)
    was = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Null when there was no such thing."},
    )
    now = ma.fields.Dict(
        keys=ma.fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Null when there is no such thing any more."},
    )
    summary = ma.fields.String(
        required=True, metadata={"examples": ["Holder till-1 has a Cloud POS seat"]}
    )
    positions = ma.fields.List(ma.fields.Integer(), required=True, metadata=_POSITIONS)


class Diff(ma.Schema):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    start = ma.fields.DateTime(required=True, data_key="from", metadata={"pattern": TIME_PATTERN})
    end = ma.fields.DateTime(required=True, data_key="to", metadata={"pattern": TIME_PATTERN})
    known_at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    position = ma.fields.Integer(
        required=True,
        metadata={"description": "The ledger's position that this was answered at.", "minimum": 0},
    )
    items = ma.fields.List(ma.fields.Nested(Difference), required=True)


class Explanation(ma.Schema):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    as_of = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    known_at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    position = ma.fields.Integer(
        required=True,
        metadata={"description": "The ledger's position that this was answered at.", "minimum": 0},
    )
    answer = ma.fields.String(
        required=True,
        metadata={
            "examples": [
                "Holder till-3 may not work: 3 hold 2 Cloud POS seats, and it came in 3rd."
            ]
        },
    )
    rule = ma.fields.String(
        required=True, metadata={"description": "What decided.", "examples": ["over"]}
    )
    code = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Of the refusal; null when all is well.", "examples": ["over"]},
    )
    facts = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "What the rule read."}
    )
    positions = ma.fields.List(ma.fields.Integer(), required=True, metadata=_POSITIONS)
    mend = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What would make it work; null when nothing is needed."},
    )


def _text(example: str, *, null: bool = False) -> ma.fields.String:
    return ma.fields.String(required=True, allow_none=null, metadata={"examples": [example]})


def _number(example: int) -> ma.fields.Integer:
    return ma.fields.Integer(required=True, metadata={"minimum": 0, "examples": [example]})


class PoolCount(ma.Schema):
    """Active and taken seats of a product and tier, over all accounts."""

    product = _text("cloud_pos")
    tier = _text("growth", null=True)
    seats = _number(120)
    used = _number(87)


class KeyCount(ma.Schema):
    """A reseller's keys by what they are now."""

    reseller = _text("Harbour Systems")
    issued = _number(20)
    redeemed = _number(7)
    revoked = _number(1)
    lapsed = _number(0)


class Ending(ma.Schema):
    """A subscription that ends within 30 days."""

    account = _text("acme")
    subscription = _text("kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m")
    product = _text("cloud_pos")
    tier = _text("growth", null=True)
    seats = _number(5)
    ends_at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})


class OverUsed(ma.Schema):
    """Seats of a product and tier that more hold than there are."""

    account = _text("acme")
    product = _text("cloud_pos")
    tier = _text("growth", null=True)
    seats = _number(2)
    used = _number(6)


class AtStripe(ma.Schema):
    """A Stripe subscription that somebody should look at."""

    account = _text("acme", null=True)
    stripe_subscription = _text("sub_1QKfLdB7WZ01zgkW")
    prices = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "That mean nothing here."}
    )
    unconfirmed_since = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"pattern": TIME_PATTERN, "description": "When its last known period ended."},
    )


class SeatsLeftAlone(ma.Schema):
    """Billed seats of which Stripe is not told until somebody does something about it."""

    account = _text("acme")
    product = _text("team")
    stripe_subscription = _text("sub_1QKfLdB7WZ01zgkW")
    why = _text("unknown_price")


class LinesMissing(ma.Schema):
    """An invoice of which Stripe has not told all lines; `keyfold stripe reconcile` asks again."""

    account = _text("acme")
    invoice = _text("in_1QKfLdB7WZ01zgkW")


class Doubled(ma.Schema):
    """A product that an account pays for by more than one Stripe subscription."""

    account = _text("acme")
    product = _text("integrations")
    tier = _text("growth", null=True)
    stripe_subscriptions = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "In the order that they began.", "example": ["sub_1", "sub_2"]},
    )


class Claim(ma.Schema):
    """An object of Stripe's that names an account which is not, or not yet, its own."""

    stripe_object = _text("sub_1QKfLdB7WZ01zgkW")
    account = _text("acme", null=True)
    claimed_by = _text("beta", null=True)
    why = ma.fields.String(
        required=True,
        metadata={
            "description": "`claimed`: another account has the subscription. `unproven`: only a"
            " `client_reference_id` names an account, which anybody's browser can set. `held`: the"
            " account has it on record though it is another one's.",
            "example": "claimed",
        },
    )
    position = _number(1234)


class RefusalCount(ma.Schema):
    """Tries that were refused in the last 30 days, for one reason."""

    refusal = _text("key_not_available")
    found = _text("redeemed", null=True)
    tries = _number(3)


class Overview(ma.Schema):
    at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    position = _number(1234)
    pools = ma.fields.List(ma.fields.Nested(PoolCount), required=True)
    keys = ma.fields.List(ma.fields.Nested(KeyCount), required=True)
    ending = ma.fields.List(ma.fields.Nested(Ending), required=True)
    over_used = ma.fields.List(ma.fields.Nested(OverUsed), required=True)
    unmapped = ma.fields.List(ma.fields.Nested(AtStripe), required=True)
    unconfirmed = ma.fields.List(ma.fields.Nested(AtStripe), required=True)
    refusals = ma.fields.List(ma.fields.Nested(RefusalCount), required=True)
    items_missing = ma.fields.List(ma.fields.Nested(AtStripe), required=True)
    left_alone = ma.fields.List(ma.fields.Nested(SeatsLeftAlone), required=True)
    lines_missing = ma.fields.List(ma.fields.Nested(LinesMissing), required=True)
    claims = ma.fields.List(ma.fields.Nested(Claim), required=True)
    doubled = ma.fields.List(ma.fields.Nested(Doubled), required=True)
