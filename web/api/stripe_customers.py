"""Which customer of Stripe's an account is."""

from __future__ import annotations

from typing import ClassVar

from flask import Blueprint, Response

from commands.assign_subscription import assign_subscription as assign
from commands.link_customer import CUSTOMER_ID
from commands.link_customer import link_customer as link
from commands.link_customer import unlink_customer as unlink
from ledger.limits import ACCOUNT_ID
from ledger.refusals import (
    CustomerLinkedElsewhere,
    CustomerNotLinked,
    StripeSubscriptionElsewhere,
    StripeSubscriptionNotFound,
    VersionMismatch,
)
from web.api.answers import AssignedSubscription, LinkedCustomer, UnlinkedCustomer
from web.api.operations import Returns, operation
from web.api.request_fields import Identifier, Shape, matching
from web.api.requests import IfMatch, free_text
from web.app.auth import ADMIN, PORTAL, SUPPORT, only
from web.app.context import request_context, services
from web.app.errors import STRIPE_NOT_CONFIGURED, STRIPE_REFUSED, STRIPE_UNAVAILABLE
from web.app.responses import reply

blueprint = Blueprint("stripe_customers", __name__, url_prefix="/v1")


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


@blueprint.put("/accounts/<account>/stripe-customer")
@operation(
    access=only(ADMIN, PORTAL, SUPPORT),
    headers=IfMatch,
    body=LinkCustomer,
    responses={200: Returns(LinkedCustomer, "It is linked.", ("Keyfold-Position", "ETag"))},
    refusals=(VersionMismatch, CustomerLinkedElsewhere),
)
def link_stripe_customer(
    account: str, expected_version: int | None, customer: str, reason: str | None
) -> Response:
    """Link a Stripe customer to an account.

    What Stripe had said about the customer before is the account's in the same commit. A customer
    is linked to one account at a time; an account may have several. Linked already: nothing
    changes.
    """
    linked = link(
        services(), request_context(), account, customer, reason, expected_version=expected_version
    )
    return reply(
        LinkedCustomer(account, linked.customer, linked.applied),
        position=linked.position,
        version=linked.account.version,
    )


@blueprint.delete("/accounts/<account>/stripe-customer")
@operation(
    access=only(ADMIN, SUPPORT),
    headers=IfMatch,
    body=UnlinkCustomer,
    responses={200: Returns(UnlinkedCustomer, "It is unlinked.", ("Keyfold-Position", "ETag"))},
    refusals=(VersionMismatch, CustomerNotLinked),
)
def unlink_stripe_customer(
    account: str, expected_version: int | None, customer: str, reason: str
) -> Response:
    """Take a Stripe customer away from an account.

    Subscriptions that the account has by the link alone go with it (`released`): they give no seats
    until an object of Stripe, a link or a call says whose they are. Those that name the account in
    their metadata, were bought at a Checkout of the account's, were assigned to it, or were
    recorded before the ledger noted how it knew, stay (`kept`). No object of Stripe links the
    customer to this account again: only a call does.
    """
    done = unlink(
        services(), request_context(), account, customer, reason, expected_version=expected_version
    )
    return reply(
        UnlinkedCustomer(account, done.customer, list(done.released), list(done.kept)),
        position=done.position,
        version=done.account.version,
    )


@blueprint.put("/accounts/<account>/stripe-subscriptions/<stripe_subscription>")
@operation(
    access=only(ADMIN, SUPPORT),
    headers=IfMatch,
    body=AssignSubscription,
    responses={
        200: Returns(AssignedSubscription, "It is the account's.", ("Keyfold-Position", "ETag"))
    },
    refusals=(VersionMismatch, StripeSubscriptionElsewhere, StripeSubscriptionNotFound),
    problems=(STRIPE_NOT_CONFIGURED, STRIPE_UNAVAILABLE, STRIPE_REFUSED),
)
def assign_stripe_subscription(
    account: str,
    stripe_subscription: str,
    expected_version: int | None,
    reason: str,
    moved_from: str | None,
) -> Response:
    """Give a Stripe subscription to an account.

    For one that nothing tells whose it is: without a customer, without metadata. One that the
    ledger has not heard of is asked for at Stripe. One that is another account's is refused unless
    `from` names that account: then the seats move. Its customer is linked to nobody by this.
    """
    done = assign(
        services(),
        request_context(),
        account,
        stripe_subscription,
        reason,
        moved_from,
        expected_version=expected_version,
    )
    return reply(
        AssignedSubscription(account, done.stripe_subscription, done.moved_from, done.applied),
        position=done.position,
        version=done.account.version,
    )
