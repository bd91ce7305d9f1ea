"""Show what more seats cost before they are paid: now, and each period from then on.

Where a subscription is raised, Stripe takes the money at once. So what it would take is asked of
Stripe first and shown, and only that is paid: the quote says from which second it was reckoned, and
the change is made as of that second; if it costs anything else by then, it is shown anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from commands.gateways.stripe import SeatChange, StripeGateway
from commands.gateways.stripe_responses import StripeRefused, StripeUnavailable
from commands.purchase import PurchaseRequest, Quote, Review
from ledger.events import Fact
from ledger.streams.account.purchases import interval_of
from ledger.stripe.facts import RETRIEVED, StripeInvoiceReported
from ledger.stripe.invoices import read_invoice
from ledger.stripe.reader import Origin
from ledger.stripe.requests import StripeSeatsAsked
from ledger.stripe.subscriptions import StripeSubscription

# A quote is agreed to within this time, or made anew.
QUOTE_HOLDS: Final = timedelta(minutes=15)


class ReviewNeeded(Exception):
    """Seats would be paid at once that nobody has agreed to; nothing was changed.

    Attributes:
        asked: what Stripe would be asked for.
        subscription: that it would be asked for, as it is now.
    """

    def __init__(self, asked: StripeSeatsAsked, subscription: StripeSubscription) -> None:
        super().__init__(asked.stripe_subscription)
        self.asked = asked
        self.subscription = subscription


class CheckoutNeeded(Exception):
    """It would be paid at a Checkout, and only a preview was asked for; nothing was begun.

    Attributes:
        items: what the Checkout would sell, as Stripe is asked for it.
    """

    def __init__(self, items: list[dict[str, Any]]) -> None:
        super().__init__()
        self.items = items


class PurchaseReview(NamedTuple):
    """What is shown to who is to agree; amounts in minor units.

    Attributes:
        invoiced: what the invoice of the change is over; of that, `quote.due` is to be paid.
        each_period: what the subscription costs from then on; None where it has several intervals.
        interval: what it is paid every: `month` or `year`.
        next_at: when it is paid next.
    """

    quote: Quote
    product: str
    tier: str | None
    seats: int
    seats_before: int
    seats_after: int
    invoiced: int
    each_period: int | None
    interval: str
    next_at: datetime | None


def review_purchase(
    stripe: StripeGateway, account: str, needed: ReviewNeeded, interval: str, now: datetime
) -> PurchaseReview:
    """Ask Stripe what a change would cost, and return it.

    Raises:
        StripeUnavailable: no answer, or not with an amount.
        StripeRefused, StripeKeyRefused: Stripe would not make the change.
    """
    asked, subscription = needed.asked, needed.subscription
    prorated_at = _second(subscription, now)
    change = _change(asked)
    due, invoiced, currency = _amounts(stripe, change, prorated_at)
    each_period = None
    if {interval, *map(interval_of, subscription.items)} == {interval}:
        each_period = stripe.preview_period(change).get("total")
    quote = Quote(
        account,
        asked.stripe_subscription,
        asked.item,
        asked.price,
        asked.quantity_before,
        asked.quantity,
        due,
        currency,
        prorated_at,
    )
    ends = [item.period_end for item in subscription.items if item.period_end is not None]
    return PurchaseReview(
        quote,
        asked.product,
        asked.tier,
        asked.seats,
        asked.seats_after - asked.seats,
        asked.seats_after,
        invoiced,
        each_period,
        interval,
        min(ends, default=None),
    )


def hold_to_review(
    request: PurchaseRequest,
    review: Review,
    facts: Sequence[Fact],
    subscription: StripeSubscription,
) -> list[Fact]:
    """Return the fact of asking for seats as it was agreed to.

    Raises:
        ReviewNeeded: it was not, or too long ago, or would cost anything else now.
        StripeUnavailable, StripeKeyRefused: no answer.
    """
    (asked,) = facts
    assert isinstance(asked, StripeSeatsAsked)
    quote, now = review.quote, request.context.now
    if quote is None or not _is_of(quote, request.purchase.account, asked):
        raise ReviewNeeded(asked, subscription)
    if not timedelta(0) <= _second(subscription, now) - quote.prorated_at <= QUOTE_HOLDS:
        raise ReviewNeeded(asked, subscription)
    try:
        due, _, currency = _amounts(request.stripe, _change(asked), quote.prorated_at)
    except StripeRefused:
        raise ReviewNeeded(asked, subscription) from None
    if (due, currency) != (quote.due, quote.currency):
        raise ReviewNeeded(asked, subscription)
    return [replace(asked, prorated_at=quote.prorated_at)]


def _is_of(quote: Quote, account: str, asked: StripeSeatsAsked) -> bool:
    return (
        quote.account == account
        and (quote.stripe_subscription, quote.item, quote.price)
        == (asked.stripe_subscription, asked.item, asked.price)
        and (quote.quantity_before, quote.quantity) == (asked.quantity_before, asked.quantity)
    )


def _second(subscription: StripeSubscription, now: datetime) -> datetime:
    """Return from when on it is charged: now by Stripe's clock, and in the current period.

    It has just been fetched, and Stripe said when; our own clock may be another.
    """
    latest = subscription.latest
    told = latest.created if latest.source == RETRIEVED else now.replace(microsecond=0)
    starts = [item.period_start for item in subscription.items if item.period_start is not None]
    return max([told, *starts])


def _change(asked: StripeSeatsAsked) -> SeatChange:
    return SeatChange(
        asked.stripe_subscription, asked.item, asked.price, asked.quantity, invoiced=True
    )


def _amounts(
    stripe: StripeGateway, change: SeatChange, prorated_at: datetime
) -> tuple[int, int, str]:
    """Return what would be due at once, what the invoice would be over, and the currency.

    Where nothing of the change is billed at once, as in a trial, Stripe previews the next invoice.

    Raises:
        StripeUnavailable: no answer, or none that tells.
        StripeRefused, StripeKeyRefused: Stripe would not make the change.
    """
    found = stripe.preview_change(change, prorated_at)
    due, total, currency = (found.get(name) for name in ("amount_due", "total", "currency"))
    if not isinstance(due, int) or not isinstance(total, int) or not currency:
        raise StripeUnavailable("a preview without amounts")
    # A preview is no invoice yet, and need not have an id.
    read = read_invoice({**found, "id": "in_preview"}, Origin(RETRIEVED, prorated_at)).report
    assert isinstance(read, StripeInvoiceReported)
    charged = [line for line in read.lines if line.proration]
    recurring = [line for line in read.lines if line.item is not None and not line.proration]
    if not charged and read.has_all_lines:
        return 0, 0, str(currency)
    if not charged or recurring:
        raise StripeUnavailable("a preview of another invoice than that of the change")
    return due, total, str(currency)
