"""Which customer of Stripe's an account is."""

from __future__ import annotations

from typing import Any

from flask import Response

from commands.link_customer import link_customer as link
from ledger.refusals import CustomerLinkedElsewhere, VersionMismatch
from web.auth import ADMIN, PORTAL, SUPPORT, only
from web.context import ports, stamp
from web.operations import Answered, Operations
from web.replies import reply
from web.schemas import asked
from web.schemas import stripe as schemas

blp = Operations(
    "stripe_customers",
    __name__,
    url_prefix="/v1",
    description="Which customer of Stripe's an account is.",
)


@blp.operation(
    "PUT",
    "/accounts/<account>/stripe-customer",
    access=only(ADMIN, PORTAL, SUPPORT),
    headers=asked.IfMatch,
    body=schemas.LinkCustomer,
    answers={200: Answered(schemas.Linked, "It is linked.", ("Keyfold-Position", "ETag"))},
    refusals=(VersionMismatch, CustomerLinkedElsewhere),
)
def link_stripe_customer(account: str, headers: dict[str, Any], body: dict[str, Any]) -> Response:
    """Link a Stripe customer to an account.

    What Stripe had said about the customer before is the account's in the same commit. A customer
    is linked to one account for ever; an account may have several. Linked already: nothing changes.
    """
    linked = link(ports(), stamp(), account, body["customer"], body["reason"], **headers)
    return reply(
        {"account": account, "customer": linked.customer, "applied": linked.applied},
        position=linked.position,
        version=linked.account.version,
    )
