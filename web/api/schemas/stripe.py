"""What is sent about Stripe."""

from __future__ import annotations

from typing import ClassVar

from commands.link_customer import CUSTOMER_ID
from ledger.limits import ACCOUNT_ID
from web.api.schemas.fields import Identifier, Shape, matching
from web.api.schemas.requests import free_text


def _customer() -> Identifier:
    return Identifier("Stripe's id of the customer.", required=True, validate=matching(CUSTOMER_ID))


class LinkCustomer(Shape):
    """A customer to link."""

    example: ClassVar = {"customer": "cus_QXg1o8vcGmoR32"}

    customer = _customer()
    reason = free_text("Free text on one line, stored encrypted.", optional=True)


class UnlinkCustomer(Shape):
    """A customer to unlink."""

    example: ClassVar = {"customer": "cus_QXg1o8vcGmoR32", "reason": "Not this customer's"}

    customer = _customer()
    reason = free_text("Why; free text on one line, stored encrypted.", required=True)


class AssignSubscription(Shape):
    """Why an account gets a subscription."""

    example: ClassVar = {"reason": "Sold by invoice, without metadata"}

    reason = free_text("Why; free text on one line, stored encrypted.", required=True)
    moved_from = Identifier(
        "The account that has it now; needed to take it away from there.",
        optional=True,
        validate=matching(ACCOUNT_ID),
        data_key="from",
    )
