"""What is sent and answered about Stripe."""

from __future__ import annotations

from typing import ClassVar

import marshmallow as ma

from commands.link_customer import CUSTOMER_ID
from ledger.limits import ACCOUNT_ID, TEXT_LENGTH_MAX
from web.api.schemas import requests
from web.api.schemas.fields import Identifier, Shape, Text, long_at_most, matching


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
        metadata={"description": "Free text on one line, stored encrypted.", **requests.TEXT},
    )


class Linked(ma.Schema):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    customer = ma.fields.String(required=True, metadata={"examples": ["cus_QXg1o8vcGmoR32"]})
    applied = ma.fields.Integer(
        required=True,
        metadata={"description": "How many reports had waited, and are the account's now."},
    )


_REASON = {"description": "Why; free text on one line, stored encrypted.", **requests.TEXT}


class UnlinkCustomer(Shape):
    """A customer to unlink."""

    example: ClassVar = {"customer": "cus_QXg1o8vcGmoR32", "reason": "Not this customer's"}

    customer = Identifier(
        required=True,
        validate=matching(CUSTOMER_ID),
        metadata={"description": "Stripe's id of the customer."},
    )
    reason = Text(required=True, validate=long_at_most(TEXT_LENGTH_MAX), metadata=_REASON)


class Unlinked(ma.Schema):
    """What became of the customer's subscriptions."""

    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    customer = ma.fields.String(required=True, metadata={"examples": ["cus_QXg1o8vcGmoR32"]})
    released = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={
            "description": "Stripe subscriptions that the account had by the link alone: they give"
            " no seats until it is known whose they are."
        },
    )
    kept = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "Stripe subscriptions of the customer that stay the account's."},
    )


class AssignSubscription(Shape):
    """Why an account gets a subscription."""

    example: ClassVar = {"reason": "Sold by invoice, without metadata"}

    reason = Text(required=True, validate=long_at_most(TEXT_LENGTH_MAX), metadata=_REASON)
    moved_from = Identifier(
        allow_none=True,
        load_default=None,
        validate=matching(ACCOUNT_ID),
        data_key="from",
        metadata={"description": "The account that has it now; needed to take it away from there."},
    )


class AssignedSubscription(ma.Schema):
    account = ma.fields.String(required=True, metadata={"examples": ["acme"]})
    stripe_subscription = ma.fields.String(required=True, metadata={"examples": ["sub_1QXg1o8v"]})
    moved_from = ma.fields.String(
        required=True,
        allow_none=True,
        data_key="from",
        metadata={"description": "The account that it was taken away from."},
    )
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
            "description": "`reported` on an account; `waiting` until it is known whose it is;"
            " `ownerless` when nothing could ever tell; `repeated` when another event had said"
            " the same; `ignored` for a type that is of no use; `not_understood`."
        },
    )
    new = ma.fields.Boolean(
        required=True, metadata={"description": "False when it had been delivered before."}
    )
