"""What is sent about Stripe."""

from __future__ import annotations

from typing import ClassVar

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
