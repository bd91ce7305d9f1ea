"""One customer of Stripe's: whose it is, and what was said about it before that was known.

Stream:    `stripe_customer-<cus_…>`
Facts:     StripeSubscriptionAssigned; StripeCustomerLinked, and what Stripe reported before it
Invariant: a customer is linked to one account, and a Stripe subscription belongs to one, for ever;
           nothing is lost that came before.
Source:    docs/stripe.md, "Whose it is".

A report belongs to the account of its subscription, once that has one; else to the account that its
object names, by `metadata.keyfold_account` or by the checkout's `client_reference_id`; else to that
of its customer; else it waits here. The first object that names an account also links its customer,
if that is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.refusals import CustomerLinkedElsewhere
from ledger.streams.stripe import (
    REPORTS,
    StripeCustomerLinked,
    StripeReport,
    StripeSubscriptionReported,
)
from ledger.streams.stripe_state import StripeSubscription, with_report

# Facts


class StripeSubscriptionAssigned(Fact, frozen=True):
    """A Stripe subscription belongs to this account, whoever its customer is linked to."""

    stripe_subscription: str
    account: str


# State


class Waiting(Struct, frozen=True):
    """A report that waits to be told whose it is.

    Attributes:
        event: in which it was recorded here.
    """

    report: StripeReport
    event: AnyOccurrence


class StripeCustomer(Struct, frozen=True):
    """A customer, as its facts make it.

    Attributes:
        account: that it is linked to.
        subscriptions: whose its Stripe subscriptions are.
        waiting: in the order in which they came; none once it is linked.
    """

    account: str | None
    subscriptions: dict[str, str]
    waiting: tuple[Waiting, ...]

    def told(self, stripe_subscription: str) -> StripeSubscription | None:
        """Answer a subscription as the reports make it that wait here."""
        state = None
        for one in self.waiting:
            report = one.report
            if (
                isinstance(report, StripeSubscriptionReported)
                and report.stripe_subscription == stripe_subscription
            ):
                state = with_report(state, report, one.event.position)
        return state

    def owner(self, named: str | None, stripe_subscription: str | None) -> str | None:
        """Answer whose a report is; None while nobody knows.

        Args:
            named: the account that its object names.
        """
        assigned = self.subscriptions.get(stripe_subscription or "")
        return assigned or named or self.account


# Fold


def fold(customer: StripeCustomer, events: Iterable[AnyOccurrence]) -> StripeCustomer:
    for event in events:
        match event.fact:
            case StripeCustomerLinked(account=account):
                customer = replace(customer, account=account, waiting=())
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
    """Link a customer to an account, which then has its subscriptions that nobody else has.

    Linked to it already: nothing is recorded.

    Raises:
        CustomerLinkedElsewhere: it is another account's.
    """
    if customer.account == account:
        return []
    if customer.account is not None:
        raise CustomerLinkedElsewhere
    named = {getattr(one.report, "stripe_subscription", None) for one in customer.waiting}
    assigned: list[Fact] = []
    for subscription in sorted(filter(None, named)):
        assigned += assign(customer, subscription, account)
    return [StripeCustomerLinked(customer=id, account=account, by=by), *assigned]


def assign(customer: StripeCustomer, stripe_subscription: str, account: str) -> list[Fact]:
    """Let a Stripe subscription belong to an account, if it is nobody's."""
    if stripe_subscription in customer.subscriptions:
        return []
    return [StripeSubscriptionAssigned(stripe_subscription=stripe_subscription, account=account)]


STRIPE_CUSTOMER: Stream[StripeCustomer] = Stream(
    kind="stripe_customer",
    facts={
        "stripe.customer_linked@1": StripeCustomerLinked,
        "stripe_customer.subscription_assigned@1": StripeSubscriptionAssigned,
        **REPORTS,
    },
    initial=StripeCustomer(None, {}, ()),
    fold=fold,
)
