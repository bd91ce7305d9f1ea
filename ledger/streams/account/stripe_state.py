"""What an account has at Stripe, as all that was recorded about it makes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from immutables import Map
from msgspec import Struct
from msgspec.structs import replace

from ledger import pool
from ledger.events import AnyOccurrence
from ledger.streams.account import purchases as stripe_purchases
from ledger.stripe import facts
from ledger.stripe.facts import Meaning
from ledger.stripe.subscriptions import (
    StripeInvoice,
    StripeSubscription,
    with_invoice,
    with_mapping,
    with_report,
)


class StripeState(Struct, frozen=True):
    """What an account has at Stripe.

    Attributes:
        customers: linked ones.
        subscriptions: by Stripe's ids and in their order, ended ones too.
        invoices: by Stripe's ids, in no order.
        mapped: what prices were said to mean on record, for subscriptions that do not tell.
        purchases: what was asked of Stripe, and what became of it.
        deleted: customers that Stripe holds nothing more about.
    """

    customers: tuple[str, ...] = ()
    subscriptions: dict[str, StripeSubscription] = {}
    invoices: Map[str, StripeInvoice] = Map()
    mapped: dict[str, Meaning] = {}
    purchases: stripe_purchases.Purchases = Map()
    deleted: tuple[str, ...] = ()

    def provides(self, at: datetime) -> Iterator[pool.PoolRow]:
        """Return what gives seats at a moment."""
        for subscription in self.subscriptions.values():
            yield from subscription.provides(self.mapped, at)

    def places(self) -> set[tuple[str, str | None]]:
        """Return the product and tier of everything that there is, or has been."""
        every = (one.rows(self.mapped) for one in self.subscriptions.values())
        return {(row.product, row.tier) for rows in every for row in rows}

    def steps(self) -> set[datetime]:
        """Return the moments at which something changes by the mere passing of time."""
        return {step for one in self.subscriptions.values() for step in one.steps()}


def fold(side: StripeState, event: AnyOccurrence) -> StripeState:
    """Return the side with one more event; the same one, if that is not about Stripe."""
    match event.fact:
        case facts.StripeSubscriptionReported(stripe_subscription=id) as report:
            told = with_report(side.subscriptions.get(id), report, event.position)
            return replace(side, subscriptions=_with(side.subscriptions, told))
        case facts.StripeInvoiceReported(invoice=id) as report:
            invoice = with_invoice(side.invoices.get(id), report)
            return replace(side, invoices=side.invoices.set(id, invoice))
        case facts.StripeCustomerLinked(customer=customer):
            return replace(side, customers=(*side.customers, customer))
        case facts.StripeCustomerDeleted(customer=customer):
            return replace(side, deleted=(*side.deleted, customer))
        case facts.StripeCustomerUnlinked(customer=customer):
            left = tuple(one for one in side.customers if one != customer)
            return replace(side, customers=left)
        case facts.StripeSubscriptionGivenUp(stripe_subscription=id):
            return _without(side, id)
        case facts.StripePricesMapped(meanings=meanings):
            subscriptions = {
                id: with_mapping(one, meanings) for id, one in side.subscriptions.items()
            }
            return replace(side, mapped={**side.mapped, **meanings}, subscriptions=subscriptions)
    purchases = stripe_purchases.fold(side.purchases, event)
    return side if purchases is side.purchases else replace(side, purchases=purchases)


def _without(side: StripeState, stripe_subscription: str) -> StripeState:
    """Return the side without a subscription, and without its invoices."""
    invoices = side.invoices
    for id, one in side.invoices.items():
        if one.latest.stripe_subscription == stripe_subscription:
            invoices = invoices.delete(id)
    kept = {id: one for id, one in side.subscriptions.items() if id != stripe_subscription}
    return replace(side, subscriptions=kept, invoices=invoices)


def _with(
    known: dict[str, StripeSubscription], told: StripeSubscription
) -> dict[str, StripeSubscription]:
    """Return them with one that is new or changed, in an order that is not that of arrival."""
    if told.id in known:
        return {**known, told.id: told}
    return dict(sorted({**known, told.id: told}.items()))
