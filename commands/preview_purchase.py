"""Say what a purchase would cost, and sell nothing."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from commands.gateways.stripe_responses import StripeNotConfigured, StripeUnavailable
from commands.purchase import Changed, Purchase, Quote, Review
from commands.purchase_review import CheckoutNeeded, ReviewNeeded, review_purchase
from commands.services import Services
from commands.start_checkout import start_checkout
from ledger.events import RequestContext


class PurchasePreview(NamedTuple):
    """What a purchase would be, and cost; amounts in minor units.

    Attributes:
        changed: what would be changed at once; None where it would be paid at a Checkout.
        seats_before, seats: of the product and tier on the subscription, before and after.
        due: what would be paid at once; at a Checkout before taxes and promotion codes.
        invoiced: what the invoice would be over; a customer's balance may pay a part of it.
        each_period: what the subscription costs from then on; None where it has several intervals.
        next_at: when it is paid next; None for a subscription that is still to begin.
        quote: what `start_checkout` can be held to; None where it would be paid at a Checkout.
    """

    changed: Changed | None
    stripe_subscription: str | None
    seats_before: int
    seats: int
    currency: str
    due: int
    invoiced: int
    each_period: int | None
    interval: str
    next_at: datetime | None
    quote: Quote | None


def preview_purchase(
    services: Services, context: RequestContext, purchase: Purchase
) -> PurchasePreview:
    """Ask Stripe what a purchase would cost, and return it.

    What Stripe tells on the way of the account's subscriptions is recorded.

    Raises:
        As `start_checkout`, but for ReviewNeeded and CheckoutNeeded.
    """
    try:
        start_checkout(services, context, purchase, review=Review(preview=True))
    except ReviewNeeded as needed:
        return _of_change(services, context, purchase, needed)
    except CheckoutNeeded as needed:
        return _of_checkout(services, purchase, needed)
    raise AssertionError("a preview sells nothing")


def _of_change(
    services: Services, context: RequestContext, purchase: Purchase, needed: ReviewNeeded
) -> PurchasePreview:
    if services.stripe is None:
        raise StripeNotConfigured
    found = review_purchase(
        services.stripe, purchase.account, needed, purchase.interval, context.now
    )
    quote = found.quote
    return PurchasePreview(
        "quantity" if quote.item else "item",
        quote.stripe_subscription,
        found.seats_before,
        found.seats_after,
        quote.currency,
        quote.due,
        found.invoiced,
        found.each_period,
        found.interval,
        found.next_at,
        quote,
    )


def _of_checkout(services: Services, purchase: Purchase, needed: CheckoutNeeded) -> PurchasePreview:
    if services.stripe is None:
        raise StripeNotConfigured
    found = services.stripe.preview_items(needed.items)
    total, currency = found.get("total"), found.get("currency")
    if not isinstance(total, int) or not currency:
        raise StripeUnavailable("a preview without amounts")
    return PurchasePreview(
        None, None, 0, purchase.seats, str(currency), total, total, total, purchase.interval,
        None, None,
    )  # fmt: skip
