"""The Billing view: what an account pays Stripe, for what, and when next.

    active     seats 3 included, 5 in all, 4 used
      base       1   49.00
      seats      2   16.00
      discount      -13.00
      total          52.00 a month

The figures are Stripe's own where it was read for this answer; else they follow from what it has
reported, and say as of when. They are those of all subscriptions that have not ended, as long as
they are in the currency of the one whose status is shown: the one that needs the most attention, of
several the newest.

Source: the guide "Billing & Subscription".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal, NamedTuple

from ledger.catalog import Catalog
from ledger.streams.stripe import RETRIEVED, Meaning, StripeInvoiceReported, StripeItem
from ledger.streams.stripe_purchases import interval_of
from ledger.streams.stripe_state import StripeSubscription, customer_of
from ledger.stripe_objects import Origin, read_invoice, read_subscription
from projections.account_at import AccountAt, Moment

INVOICES_MAX: Final = 10

NONE: Final = "none"
_ATTENTION: Final = (
    "past_due", "unpaid", "incomplete", "unconfirmed", "paused", "active", "trialing",
)  # fmt: skip
_NOTICES: Final = {
    NONE: "There is no subscription yet: start one.",
    "canceled": "The subscription has ended: start one again.",
    "incomplete_expired": "The subscription has ended: start one again.",
    "past_due": "The last payment did not go through: update the card.",
    "unpaid": "The last payments did not go through: update the card.",
    "incomplete": "The first payment did not go through: update the card.",
}
_WHOLE_PERIODS: Final = ("subscription_cycle", "subscription_create")

Kind = Literal["base", "seats", "discount", "tax"]
_KINDS: Final[tuple[Kind, ...]] = ("base", "seats", "discount", "tax")


class BillingSeats(NamedTuple):
    """Seats that come with the plan, those in all, and holders that count against them."""

    included: int
    total: int
    used: int


class BillingLine(NamedTuple):
    """A part of what a period costs; the amount in minor units, less than 0 for a discount."""

    kind: Kind
    description: str
    quantity: int
    amount: int


class BillingInvoice(NamedTuple):
    """An invoice; the total in minor units.

    Attributes:
        url: Stripe's page of it, which lets in whoever has it; None unless read from Stripe.
    """

    id: str
    number: str | None
    status: str | None
    total: int | None
    currency: str | None
    created_at: datetime
    url: str | None


class BillingView(NamedTuple):
    """What an account pays; amounts in minor units.

    Attributes:
        status: Stripe's word; `unconfirmed`; or `none` when there never was a subscription.
        live: whether the figures were read from Stripe for this answer.
        fetched_at: as of when they are.
        interval: None when there is none, or parts are paid at different times.
        can_manage: whether Stripe's own pages can be opened.
        notice: what the customer is asked to do, if anything.
    """

    account: str
    moment: Moment
    position: int
    version: int
    status: str
    live: bool
    fetched_at: datetime
    currency: str | None
    interval: str | None
    seats: BillingSeats
    lines: list[BillingLine]
    total: int
    next_invoice_at: datetime | None
    invoices: list[BillingInvoice]
    can_manage: bool
    notice: str | None


class About(NamedTuple):
    """What is to be read from Stripe for a view, by Stripe's ids."""

    subscriptions: tuple[str, ...]
    customers: tuple[str, ...]


class Live(NamedTuple):
    """What was read from Stripe for a view: plain JSON, which is shown and not kept.

    Attributes:
        subscriptions: with their discounts and coupons.
        previews: by subscription, what a whole period costs; a subscription may have none.
        invoices: of all customers.
    """

    subscriptions: Mapping[str, dict[str, Any]]
    previews: Mapping[str, dict[str, Any]]
    invoices: Sequence[dict[str, Any]]


class _Figures(NamedTuple):
    """A subscription and what a whole period of it costs.

    Attributes:
        coupons: what the customer reads for a discount, by its id.
        live: whether both were read from Stripe.
    """

    subscription: StripeSubscription
    bill: StripeInvoiceReported | None
    coupons: Mapping[str, str]
    live: bool


def about(asked: AccountAt) -> About:
    """Answer what to read from Stripe; nothing for an account that has nothing there."""
    side, at = asked.account.stripe, asked.moment.at
    shown = _shown(list(side.subscriptions.values()), at)
    customers = [one.customer for one in shown if one.customer is not None]
    return About(
        tuple(one.id for one in shown), tuple(dict.fromkeys([*customers, *side.customers]))
    )


def billing(asked: AccountAt, catalog: Catalog, live: Live | None = None) -> BillingView:
    """Answer the Billing view.

    Args:
        live: what `about` told to read; None when Stripe could not be reached, or the question is
            about another moment than now.
    """
    side, at = asked.account.stripe, asked.moment.at
    known = [_figures(one, asked, catalog, live) for one in side.subscriptions.values()]
    ids = {one.id for one in _shown([figures.subscription for figures in known], at)}
    shown = [figures for figures in known if figures.subscription.id in ids]
    main = min(shown, key=lambda one: _attention(one, at), default=None)
    status = _status(main, at) if main else NONE
    currency = _currency(main.subscription) if main else None
    counted = [
        one
        for one in shown
        if not one.subscription.has_ended(at) and _currency(one.subscription) == currency
    ]
    mapped = side.mapped
    lines = [line for one in counted for line in _lines(one, asked, catalog)]
    lines.sort(key=lambda line: _KINDS.index(line.kind))
    every = {interval_of(item) for one in counted for item in one.subscription.items}
    invoices = _live_invoices(live) if live else _known_invoices(asked)
    subscriptions = [figures.subscription for figures in known]
    return BillingView(
        account=asked.id,
        moment=asked.moment,
        position=asked.position,
        version=asked.version,
        status=status,
        live=live is not None,
        fetched_at=asked.moment.now if live else _told_at(shown, asked),
        currency=currency,
        interval=every.pop() if len(every) == 1 else None,
        seats=_seats([one.subscription for one in counted], asked, mapped),
        lines=lines,
        total=sum(line.amount for line in lines),
        next_invoice_at=_next_invoice_at(counted, at),
        invoices=invoices,
        can_manage=customer_of(side.customers, subscriptions, at) is not None,
        notice=_NOTICES.get(status),
    )


def _shown(
    subscriptions: Sequence[StripeSubscription], at: datetime
) -> Sequence[StripeSubscription]:
    """Answer the subscriptions that have not ended; if there are none, the last that ended."""
    open_ones = [one for one in subscriptions if not one.has_ended(at)]
    if open_ones or not subscriptions:
        return open_ones
    return [max(subscriptions, key=lambda one: (one.ends_at or at, one.id))]


def _attention(figures: _Figures, at: datetime) -> tuple[int, float, str]:
    status, one = _status(figures, at), figures.subscription
    place = _ATTENTION.index(status) if status in _ATTENTION else len(_ATTENTION)
    return place, -one.started_at.timestamp(), one.id


def _status(figures: _Figures, at: datetime) -> str:
    """Answer Stripe's word; nothing is unconfirmed that Stripe has just said."""
    told = figures.subscription.told.status
    return told if figures.live and told else figures.subscription.status(at)


def _currency(subscription: StripeSubscription) -> str | None:
    currencies = [item.currency for item in subscription.items if item.currency]
    return subscription.told.currency or next(iter(currencies), None)


def _next_invoice_at(counted: Sequence[_Figures], at: datetime) -> datetime | None:
    ends = [one.subscription.period_end for one in counted if one.subscription.renews]
    return min((end for end in ends if end is not None and end > at), default=None)


def _told_at(shown: Sequence[_Figures], asked: AccountAt) -> datetime:
    told = [one.subscription.told.created for one in shown]
    told += [invoice.told.created for invoice in asked.account.stripe.invoices.values()]
    return min(max(told, default=asked.moment.at), asked.moment.at)


# What a period costs


def _figures(
    known: StripeSubscription, asked: AccountAt, catalog: Catalog, live: Live | None
) -> _Figures:
    """Answer a subscription as Stripe has it if it was read, else as it was reported."""
    found = live.subscriptions.get(known.id) if live else None
    if live is None or found is None:
        return _Figures(known, _last_bill(known, asked), {}, live=False)
    origin = Origin(RETRIEVED, asked.moment.now, retrieved_at=asked.moment.now)
    report: Any = read_subscription(found, origin, catalog).report
    itemised = report if report.items is not None else known.itemised
    preview = live.previews.get(known.id)
    # A preview is no invoice yet, and need not have an id.
    bill: Any = read_invoice({**preview, "id": "in_preview"}, origin).report if preview else None
    now = StripeSubscription(known.id, report, itemised, known.position)
    return _Figures(now, bill, _coupons(found), live=True)


def _last_bill(known: StripeSubscription, asked: AccountAt) -> StripeInvoiceReported | None:
    """Answer the last invoice of a whole period, if it was for what there is now."""
    its = [
        one
        for one in asked.account.stripe.invoices.values()
        if one.told.stripe_subscription == known.id and one.told.billing_reason in _WHOLE_PERIODS
    ]
    if not its:
        return None
    bill = max(its, key=lambda one: (one.invoiced_at, one.told.invoice)).told
    discounts = {*known.told.discounts, *(id for item in known.items for id in item.discounts)}
    same = {line.item: line.quantity for line in bill.lines if not line.proration} == {
        item.id: item.quantity for item in known.items
    }
    lasting = all(one.discount in discounts for one in bill.discounts)
    return bill if same and lasting and not any(line.proration for line in bill.lines) else None


def _lines(figures: _Figures, asked: AccountAt, catalog: Catalog) -> Iterator[BillingLine]:
    mapped, bill = asked.account.stripe.mapped, figures.bill
    items = {item.id: item for item in figures.subscription.items}
    if bill is None:
        for item in figures.subscription.items:
            yield _line(item, item.quantity or 0, _price_of(item), mapped, catalog)
        return
    amounts = 0
    for charged in bill.lines:
        amount = charged.amount or 0
        amounts += amount
        known = items.get(charged.item)
        if known is None:
            description = charged.price or "?"
            yield BillingLine("base", description, charged.quantity or 0, amount)
        else:
            yield _line(known, charged.quantity or 0, amount, mapped, catalog)
    off = 0
    for discount in bill.discounts:
        off += discount.amount
        description = figures.coupons.get(discount.discount or "", "Discount")
        yield BillingLine("discount", description, 1, -discount.amount)
    # What the prices include already is not added; and the lines add up to the total.
    tax = (bill.total or 0) - amounts + off if bill.total is not None else 0
    if tax:
        yield BillingLine("tax", "Tax", 1, tax)


def _line(
    item: StripeItem, quantity: int, amount: int, mapped: Mapping[str, Meaning], catalog: Catalog
) -> BillingLine:
    meaning = item.meaning or mapped.get(item.price or "")
    if meaning is None:
        return BillingLine("base", item.lookup_key or item.price or "?", quantity, amount)
    product = catalog.product(meaning.product)
    name = product.name if product else meaning.product
    tier = product.tier_name(meaning.tier) if product else meaning.tier
    description = f"{name} {tier}" if tier else name
    return BillingLine("seats" if meaning.per_unit else "base", description, quantity, amount)


def _price_of(item: StripeItem) -> int:
    """Answer what an item costs by its unit price; 0 where Stripe told none (tiered, metered)."""
    amount = Decimal(item.unit_amount or 0) * (item.quantity or 0)
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _coupons(found: dict[str, Any]) -> dict[str, str]:
    """Answer what the customer reads for each discount of a subscription."""
    discounts = found.get("discounts") or []
    return {one["id"]: _coupon(one) for one in discounts if isinstance(one, dict)}


def _coupon(discount: dict[str, Any]) -> str:
    coupon = (discount.get("source") or {}).get("coupon")
    if not isinstance(coupon, dict):
        return "Discount"
    if coupon.get("name"):
        return str(coupon["name"])
    percent = coupon.get("percent_off")
    return f"{percent:g}% off" if percent is not None else "Discount"


# Seats


def _seats(
    subscriptions: Sequence[StripeSubscription], asked: AccountAt, mapped: Mapping[str, Meaning]
) -> BillingSeats:
    ours = {one.subscription for one in subscriptions}
    rows = [row for one in subscriptions for row in one.rows(mapped)]
    means = [
        item.meaning or mapped.get(item.price or "") for one in subscriptions for item in one.items
    ]
    pools = [
        asked.account.pool(*place, asked.moment.at)
        for place in sorted({(row.product, row.tier) for row in rows}, key=str)
    ]
    return BillingSeats(
        included=sum(one.included for one in means if one),
        total=sum(row.seats for row in rows),
        used=sum(used for pool in pools for row, used in pool.rows if row.subscription in ours),
    )


# Invoices


def _live_invoices(live: Live) -> list[BillingInvoice]:
    its = sorted(live.invoices, key=lambda one: (one["created"], one["id"]), reverse=True)
    return [
        BillingInvoice(
            one["id"],
            one["number"],
            one["status"],
            one["total"],
            one["currency"],
            datetime.fromtimestamp(one["created"], UTC),
            one["hosted_invoice_url"],
        )
        for one in its
        if one["status"] != "draft"
    ][:INVOICES_MAX]


def _known_invoices(asked: AccountAt) -> list[BillingInvoice]:
    its = sorted(
        asked.account.stripe.invoices.values(),
        key=lambda one: (one.invoiced_at, one.told.invoice),
        reverse=True,
    )
    return [
        BillingInvoice(
            one.told.invoice,
            one.told.number,
            one.told.status,
            one.told.total,
            one.told.currency,
            one.invoiced_at,
            None,
        )
        for one in its
        if one.told.status != "draft"
    ][:INVOICES_MAX]
