"""What is sent and answered about buying and billing."""

from __future__ import annotations

from typing import Any, ClassVar

import marshmallow as ma

from commands.purchase import INTERVALS
from ledger.limits import SEATS_MAX
from web.api.schemas.fields import (
    TIME_PATTERN,
    Identifier,
    Shape,
    Text,
    WholeNumber,
    long_at_most,
    one_of,
    within,
)
from web.api.schemas.requests import OF_CATALOG
from web.api.schemas.responses import OfAccount
from web.app.return_urls import LENGTH_MAX

DONE = "http://127.0.0.1:8000/docs"


def _return_url(description: str) -> Text:
    return Text(
        required=True,
        validate=long_at_most(LENGTH_MAX),
        metadata={
            "description": f"{description}: of an origin in `KEYFOLD_RETURN_URLS`, or of"
            " `KEYFOLD_PUBLIC_URL`.",
        },
    )


class BuySeats(Shape):
    """Seats to buy."""

    example: ClassVar = {
        "product": "cloud_pos",
        "seats": 3,
        "interval": "month",
        "success_url": f"{DONE}?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": DONE,
    }

    product = Identifier(required=True, metadata={OF_CATALOG: "products"})
    tier = Identifier(
        allow_none=True,
        load_default=None,
        metadata={
            "description": "Needed for a product with tiers, refused for one without.",
            OF_CATALOG: "tiers",
        },
    )
    seats = WholeNumber(
        required=True,
        validate=within(1, SEATS_MAX),
        metadata={"description": "How many to add; of a first purchase, how many in all."},
    )
    interval = Text(
        required=True,
        validate=one_of(*INTERVALS),
        metadata={"description": "How often they are paid."},
    )
    success_url = _return_url("Where the customer is led to after paying")
    cancel_url = _return_url("Where the customer is led to without paying")


class OpenPortal(Shape):
    """Where Stripe's pages lead back to."""

    example: ClassVar = {"return_url": DONE}

    return_url = _return_url("Where the customer is led back to")


def _nullable(field: type[ma.fields.Field[Any]], description: str, **metadata: Any) -> Any:
    return field(required=True, allow_none=True, metadata={"description": description, **metadata})


def _number(description: str, example: int) -> ma.fields.Integer:
    return ma.fields.Integer(
        required=True, metadata={"description": description, "examples": [example]}
    )


class Bought(ma.Schema):
    url = ma.fields.String(
        required=True,
        metadata={
            "description": "Stripe Checkout's page, as good as a password; or `success_url` when"
            " there is nothing more to pay.",
            "format": "uri",
        },
    )
    changed = _nullable(
        ma.fields.String,
        "What was changed at once; null when the customer is to pay first.",
        enum=["quantity", "item", None],
    )
    stripe_subscription = _nullable(
        ma.fields.String, "That was changed, or was bought; null when there is none yet."
    )
    seats = _number("Of the product and tier on the subscription after this, in all.", 5)


class StripePortal(ma.Schema):
    url = ma.fields.String(
        required=True,
        metadata={
            "description": "Stripe's page for the customer; as good as a password.",
            "format": "uri",
        },
    )


class BillingSeats(ma.Schema):
    """Seats of the subscriptions that are shown."""

    included = _number("That come with a base plan.", 3)
    total = _number("In all.", 5)
    used = _number("Holders that count against them.", 4)


class BillingLine(ma.Schema):
    """A part of the total."""

    kind = ma.fields.String(
        required=True,
        metadata={
            "enum": ["base", "seats", "other", "discount", "tax"],
            "description": "`other`: what Stripe counts in, and did not tell the kind of.",
        },
    )
    description = ma.fields.String(required=True, metadata={"examples": ["Cloud POS"]})
    quantity = _nullable(ma.fields.Integer, "Of the price; null for what is billed by use.")
    amount = _nullable(
        ma.fields.Integer, "In minor units; less than 0 for a discount; null where it is not known."
    )
    currency = _nullable(ma.fields.String, "Three letters, in lower case.")
    interval = _nullable(ma.fields.String, "Stripe's: `day`, `week`, `month`, `year`.")
    interval_count = _nullable(ma.fields.Integer, "Of intervals in a period.")


class BillingTotal(ma.Schema):
    """What all that is paid in one currency at one interval costs for a period."""

    currency = _nullable(ma.fields.String, "Three letters, in lower case.")
    interval = _nullable(ma.fields.String, "Stripe's: `day`, `week`, `month`, `year`.")
    interval_count = _nullable(ma.fields.Integer, "Of intervals in a period.")
    total = _nullable(ma.fields.Integer, "In minor units; null where it is not known.")
    next_invoice_at = _nullable(
        ma.fields.DateTime, "The first; null when nothing renews.", pattern=TIME_PATTERN
    )


class BillingInvoice(ma.Schema):
    """An invoice of Stripe's."""

    id = ma.fields.String(required=True, metadata={"examples": ["in_1QKfLcB7WZ01zgkW"]})
    number = _nullable(ma.fields.String, "As the customer sees it.")
    status = _nullable(ma.fields.String, "Stripe's word: `open`, `paid`, `uncollectible`, `void`.")
    total = _nullable(ma.fields.Integer, "In minor units.")
    currency = _nullable(ma.fields.String, "Three letters, in lower case.")
    created_at = ma.fields.DateTime(required=True, metadata={"pattern": TIME_PATTERN})
    url = _nullable(
        ma.fields.String,
        "Stripe's page of it, as good as a password; only when `live`. It is never kept.",
    )


class Billing(OfAccount):
    status = ma.fields.String(
        required=True,
        metadata={
            "description": "Stripe's word, e.g. `active`, `trialing`, `past_due`, `canceled`;"
            " `unconfirmed` when a period ended more than three days ago and Stripe has not said"
            " what came of it; `none` when there never was a subscription.",
            "examples": ["active"],
        },
    )
    live = ma.fields.Boolean(
        required=True,
        metadata={"description": "Whether the figures were read from Stripe for this answer."},
    )
    fetched_at = ma.fields.DateTime(
        required=True,
        metadata={"description": "As of when they are.", "pattern": TIME_PATTERN},
    )
    currency = _nullable(ma.fields.String, "Three letters, in lower case.")
    interval = _nullable(
        ma.fields.String,
        "`month`, `year`, or e.g. `3 months`; null when `totals` have different ones.",
    )
    seats = ma.fields.Nested(BillingSeats, required=True)
    lines = ma.fields.List(ma.fields.Nested(BillingLine), required=True)
    total = _nullable(
        ma.fields.Integer,
        "Of the lines: what a whole period costs, in minor units; null where there are several"
        " `totals`, or it is not known (see `notice`).",
    )
    totals = ma.fields.List(
        ma.fields.Nested(BillingTotal),
        required=True,
        metadata={"description": "One for each currency and interval."},
    )
    next_invoice_at = _nullable(
        ma.fields.DateTime,
        "Null when nothing renews, or when `totals` have different ones.",
        pattern=TIME_PATTERN,
    )
    invoices = ma.fields.List(ma.fields.Nested(BillingInvoice), required=True)
    can_manage = ma.fields.Boolean(
        required=True, metadata={"description": "Whether Stripe's own pages can be opened."}
    )
    notice = _nullable(
        ma.fields.String, "What the customer is asked to do, and why a figure is missing."
    )
