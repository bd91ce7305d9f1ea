"""What is sent and answered about Stripe."""

from __future__ import annotations

from typing import ClassVar

import marshmallow as ma

from commands.link_customer import CUSTOMER_ID
from ledger.limits import TEXT_LENGTH_MAX
from web.schemas import asked
from web.schemas.fields import Identifier, Shape, Text, long_at_most, matching


class LinkCustomer(Shape):
    """A customer to link."""

    example: ClassVar = {"customer": "cus_QXg1o8vcGmoR32"}

    customer = Identifier(
        required=True,
        validate=matching(CUSTOMER_ID),
        metadata={"description": "Stripe's id of the customer."},
    )
    reason = Text(
        allow_none=True,
        load_default=None,
        validate=long_at_most(TEXT_LENGTH_MAX),
        metadata={"description": "Free text on one line, stored encrypted.", **asked.TEXT},
    )


class Linked(ma.Schema):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    customer = ma.fields.String(required=True, metadata={"examples": ["cus_QXg1o8vcGmoR32"]})
    applied = ma.fields.Integer(
        required=True,
        metadata={"description": "How many reports had waited, and are the account's now."},
    )


class Received(ma.Schema):
    """An event is on record."""

    received = ma.fields.Boolean(required=True, metadata={"description": "Always true."})
    outcome = ma.fields.String(
        required=True,
        metadata={
            "description": "`reported` on an account; `waiting` until its customer is linked to"
            " one; `ownerless` when it names no customer; `repeated` when another event had said"
            " the same; `ignored` for a type that is of no use; `not_understood`."
        },
    )
    new = ma.fields.Boolean(
        required=True, metadata={"description": "False when it had been delivered before."}
    )
