"""Link a customer of Stripe's to an account, and take it away again."""

from __future__ import annotations

import re
from typing import NamedTuple

from commands import validation
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_draft import Draft
from commands.stripe_ownership import link
from commands.stripe_transfers import release
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.refusals import FieldError
from ledger.streams import stripe_customer
from ledger.streams.account import decisions
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripeCustomerUnlinked
from ledger.translation import gettext as _

CUSTOMER_ID = r"cus_[A-Za-z0-9_]{1,196}"


class Linked(NamedTuple):
    """The account just after.

    Attributes:
        applied: how many reports had waited, and are the account's now.
    """

    account: Loaded[Account]
    customer: str
    applied: int
    position: int


class Unlinked(NamedTuple):
    """The account just after.

    Attributes:
        released: subscriptions that it had by the link alone, and that are nobody's now.
        kept: subscriptions of the customer that are the account's all the same.
    """

    account: Loaded[Account]
    customer: str
    released: list[str]
    kept: list[str]
    position: int


def link_customer(
    services: Services,
    context: RequestContext,
    account: str,
    customer: str,
    reason: str | None = None,
    *,
    expected_version: int | None = None,
) -> Linked:
    """Link a customer to an account, and return the account just after.

    What Stripe had said about the customer is recorded on the account in the same commit.

    Linked already: nothing is recorded.

    Args:
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        VersionMismatch, CustomerLinkedElsewhere: in this order.
    """
    validation.refuse_if(
        [
            *validation.account(account),
            *validation.no_code(services, "/account", account),
            *_customer(customer),
            *validation.text(services, "/reason", reason),
        ]
    )

    def attempt() -> Linked:
        draft = Draft(services)
        loaded = draft.account(account)
        decisions.expect_version(loaded.version, expected_version)
        draft.put_first(loaded)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        applied = link(draft, customer, account, "call", sealed)
        position = draft.append(context).position
        return Linked(services.book.load(ACCOUNT, account), customer, applied, position)

    return retry_on_conflict(attempt)


def unlink_customer(
    services: Services,
    context: RequestContext,
    account: str,
    customer: str,
    reason: str,
    *,
    expected_version: int | None = None,
) -> Unlinked:
    """Take a customer away from an account, and return the account just after.

    A subscription that the account has by the link alone is given up, and waits to be told whose it
    is. One that names the account itself, was sold by a Checkout of the account's, or was assigned
    to it by a call, stays.

    Raises:
        InvalidRequest: fields that do not fit.
        VersionMismatch, CustomerNotLinked: in this order.
    """
    validation.refuse_if(
        [*validation.account(account), *_customer(customer), *validation.reason(services, reason)]
    )

    def attempt() -> Unlinked:
        draft = Draft(services)
        loaded = draft.account(account)
        decisions.expect_version(loaded.version, expected_version)
        draft.put_first(loaded)
        known = draft.customer(customer)
        facts = stripe_customer.unlink(known.state, customer, account)
        sealed = services.texts.seal(f"account-{account}", reason, context.now)
        draft.add(loaded, StripeCustomerUnlinked(customer=customer, account=account, reason=sealed))
        draft.add(known, *facts)
        released, kept = [], []
        for id, owner in sorted(known.state.subscriptions.items()):
            if owner != account:
                continue
            evidence = draft.object(id).state.evidence
            if evidence is not None and evidence.by == "customer":
                release(draft, id, account)
                released.append(id)
            else:
                kept.append(id)
        position = draft.append(context).position
        return Unlinked(services.book.load(ACCOUNT, account), customer, released, kept, position)

    return retry_on_conflict(attempt)


def _customer(value: str) -> list[FieldError]:
    if re.fullmatch(CUSTOMER_ID, value):
        return []
    return [FieldError("/customer", _("must be the id of a Stripe customer: cus_…"))]
