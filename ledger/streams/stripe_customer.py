"""One customer of Stripe's: whose it is, and what was said about it before that was known.

Stream:    `stripe_customer-<cus_…>`
Facts:     StripeSubscriptionAssigned; StripeCustomerLinked and -Unlinked, and what Stripe
           reported before the link
Invariant: a customer is linked to one account at a time; nothing is lost that came before.
Source:    docs/stripe.md, "Whose it is".

Whose a report is follows first from its subscription (`ledger.streams.stripe_object`), then from
the account that it names, then from its customer; else it waits here. The first object that names
an account also links its customer, if that is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import CustomerLinkedElsewhere, CustomerNotLinked
from ledger.streams.stripe_object import Waiting, without
from ledger.stripe.facts import (
    REPORTS,
    StripeCustomerLinked,
    StripeCustomerUnlinked,
    StripeReport,
    StripeReportsTaken,
)

# Facts


class StripeSubscriptionAssigned(Fact, frozen=True):
    """A Stripe subscription belongs to this account, whoever its customer is linked to."""

    stripe_subscription: str
    account: str


# State


class StripeCustomer(Struct, frozen=True):
    """A customer, as its facts make it.

    Attributes:
        account: that it is linked to.
        subscriptions: whose its Stripe subscriptions are.
        waiting: in the order in which they came; none once it is linked.
        unlinked: accounts that somebody took it away from; only a call links it there again.
    """

    account: str | None
    subscriptions: dict[str, str]
    waiting: tuple[Waiting, ...]
    unlinked: frozenset[str] = frozenset()

    def is_shown_to(self, account: str) -> bool:
        """Return whether an account may see Stripe's pages of this customer.

        It may if it is linked to the customer, or if all that is known of the customer is its own.
        """
        if self.account == account:
            return True
        owners = set(self.subscriptions.values())
        return self.account is None and owners <= {account} and not self.waiting


# Fold


def fold(customer: StripeCustomer, events: Iterable[AnyOccurrence]) -> StripeCustomer:
    """Return a customer after some events, which come in the stream's order."""
    for event in events:
        match event.fact:
            case StripeCustomerLinked(account=account):
                unlinked = customer.unlinked - {account}
                customer = replace(customer, account=account, waiting=(), unlinked=unlinked)
            case StripeCustomerUnlinked(account=account):
                unlinked = customer.unlinked | {account}
                customer = replace(customer, account=None, unlinked=unlinked)
            case StripeReportsTaken(versions=versions):
                customer = replace(customer, waiting=without(customer.waiting, versions))
            case StripeSubscriptionAssigned(stripe_subscription=id, account=account):
                customer = replace(customer, subscriptions={**customer.subscriptions, id: account})
            case report:
                held = Waiting(cast(StripeReport, report), event)
                customer = replace(customer, waiting=(*customer.waiting, held))
    return customer


# Decisions


def link(
    customer: StripeCustomer, id: str, account: str, by: Literal["call", "stripe"]
) -> list[Fact]:
    """Return the fact of linking a customer to an account; none when it is linked to it already.

    Raises:
        CustomerLinkedElsewhere: it is another account's.
    """
    if customer.account == account:
        return []
    if customer.account is not None:
        raise CustomerLinkedElsewhere
    return [StripeCustomerLinked(customer=id, account=account, by=by)]


def unlink(customer: StripeCustomer, id: str, account: str) -> list[Fact]:
    """Return the fact of taking a customer away from an account.

    Raises:
        CustomerNotLinked: it is not linked to this account.
    """
    if customer.account != account:
        raise CustomerNotLinked
    return [StripeCustomerUnlinked(customer=id, account=account)]


def assign(customer: StripeCustomer, stripe_subscription: str, account: str) -> list[Fact]:
    """Return the fact of whose a subscription of this customer is; none when it is noted."""
    if customer.subscriptions.get(stripe_subscription) == account:
        return []
    return [StripeSubscriptionAssigned(stripe_subscription=stripe_subscription, account=account)]


STRIPE_CUSTOMER: Stream[StripeCustomer] = Stream(
    kind="stripe_customer",
    facts={
        "stripe.customer_linked@1": StripeCustomerLinked,
        "stripe.customer_unlinked@1": StripeCustomerUnlinked,
        "stripe.reports_taken@1": StripeReportsTaken,
        "stripe_customer.subscription_assigned@1": StripeSubscriptionAssigned,
        **REPORTS,
    },
    initial=StripeCustomer(None, {}, ()),
    fold=fold,
)
