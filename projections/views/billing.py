"""The Billing view: what an account pays Stripe, for what, and when next.

    active     seats 3 included, 5 in all, 4 used
      base       1   49.00
      seats      2   16.00
      discount      -13.00
      total          52.00 a month

The figures are Stripe's own where it was read for this answer; else they follow from what it has
reported, and say as of when. They are those of all subscriptions that have not ended, with a total
for each currency and interval; the status is that of the one that needs the most attention, of
several the newest. What is not known for sure is not told (`projections.views.bills`), and the
notice says so.

Source: the guide "Billing & Subscription".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from ledger.catalog import Catalog
from ledger.stripe.facts import RETRIEVED, Meaning
from ledger.stripe.invoices import read_invoice
from ledger.stripe.objects import read_subscription
from ledger.stripe.reader import Origin
from ledger.stripe.subscriptions import StripeSubscription, as_fetched, customer_of
from projections.answer import AccountAnswer, Answer, Time, doc
from projections.views.account_at import AccountAt
from projections.views.bills import Bill, Charge, Unknown, bills_of

ValueT = TypeVar("ValueT")

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
_UNKNOWN: Final[dict[Unknown, str]] = {
    "by_use": "Some of it is billed by use: what a period costs is known when it is over.",
    "not_told": (
        "What a period costs is not known here: it depends on items, tiers, packages or taxes that"
        " Stripe has not told."
    ),
    "discounted": (
        "What the next period costs is not known here: there is a discount, and Stripe has not told"
        " whether it is for that period, too."
    ),
    "over": (
        "What the next period costs is not known here: the last one was over when Stripe told of"
        " it, and there may have been a discount."
    ),
}
_TOO_MANY: Final = (
    "There are more subscriptions than Stripe is asked about at once: the figures are those that it"
    " reported."
)

Unread = Literal["not_asked", "unreachable", "too_many"]
Kind = Literal["base", "seats", "other", "discount", "tax"]
_KINDS: Final[tuple[Kind, ...]] = ("base", "seats", "other", "discount", "tax")


_Currency = Annotated[str | None, doc("Three letters, in lower case.")]
_Interval = Annotated[str | None, doc("Stripe's: `day`, `week`, `month`, `year`.")]
_IntervalCount = Annotated[int | None, doc("Of intervals in a period.")]


class BillingSeats(Answer, frozen=True):
    """Seats of the subscriptions that are shown."""

    included: Annotated[int, doc("That come with a base plan.", 3)]
    total: Annotated[int, doc("In all.", 5)]
    used: Annotated[int, doc("Holders that count against them.", 4)]


class BillingLine(Answer, frozen=True):
    """A part of the total."""

    kind: Annotated[Kind, doc("`other`: what Stripe counts in, and did not tell the kind of.")]
    description: Annotated[str, doc(None, "Cloud POS")]
    quantity: Annotated[int | None, doc("Of the price; null for what is billed by use.")]
    amount: Annotated[
        int | None,
        doc("In minor units; less than 0 for a discount; null where it is not known."),
    ]
    currency: _Currency
    interval: _Interval
    interval_count: _IntervalCount


class BillingTotal(Answer, frozen=True):
    """What all that is paid in one currency at one interval costs for a period."""

    currency: _Currency
    interval: _Interval
    interval_count: _IntervalCount
    total: Annotated[int | None, doc("In minor units; null where it is not known.")]
    next_invoice_at: Annotated[Time | None, doc("The first; null when nothing renews.")]


class BillingInvoice(Answer, frozen=True):
    """An invoice of Stripe's."""

    id: Annotated[str, doc(None, "in_1QKfLcB7WZ01zgkW")]
    number: Annotated[str | None, doc("As the customer sees it.")]
    status: Annotated[str | None, doc("Stripe's word: `open`, `paid`, `uncollectible`, `void`.")]
    total: Annotated[int | None, doc("In minor units.")]
    currency: _Currency
    created_at: Time
    url: Annotated[
        str | None,
        doc("Stripe's page of it, as good as a password; only when `live`. It is never kept."),
    ]


class BillingView(AccountAnswer, frozen=True):
    """What an account pays."""

    status: Annotated[
        str,
        doc(
            "Stripe's word, e.g. `active`, `trialing`, `past_due`, `canceled`; `unconfirmed` when a"
            " period ended more than three days ago and Stripe has not said what came of it;"
            " `none` when there never was a subscription.",
            "active",
        ),
    ]
    live: Annotated[bool, doc("Whether the figures were read from Stripe for this answer.")]
    fetched_at: Annotated[Time, doc("As of when they are.")]
    currency: _Currency
    interval: Annotated[
        str | None,
        doc("`month`, `year`, or e.g. `3 months`; null when `totals` have different ones."),
    ]
    seats: BillingSeats
    lines: list[BillingLine]
    total: Annotated[
        int | None,
        doc(
            "Of the lines: what a whole period costs, in minor units; null where there are several"
            " `totals`, or it is not known (see `notice`)."
        ),
    ]
    totals: Annotated[list[BillingTotal], doc("One for each currency and interval.")]
    next_invoice_at: Annotated[
        Time | None,
        doc("Null when nothing renews, or when `totals` have different ones."),
    ]
    invoices: list[BillingInvoice]
    can_manage: Annotated[bool, doc("Whether Stripe's own pages can be opened.")]
    notice: Annotated[
        str | None, doc("What the customer is asked to do, and why a figure is missing.")
    ]


class Billing(NamedTuple):
    """The Billing view, and what its notice was made of.

    Attributes:
        unread: why Stripe was not read; None if it was.
        unknown: why a total is missing.
    """

    view: BillingView
    unread: Unread | None
    unknown: Unknown | None


class About(NamedTuple):
    """What is to be read from Stripe for a view, by Stripe's ids.

    Attributes:
        invoices: of those on record, the newest: as many as a view has.
    """

    subscriptions: tuple[str, ...]
    customers: tuple[str, ...]
    invoices: tuple[str, ...]


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
    """A subscription and what a period of it costs.

    Attributes:
        bills: one for each interval.
        coupons: what the customer reads for a discount, by its id.
        live: whether they were read from Stripe.
    """

    subscription: StripeSubscription
    bills: list[Bill]
    coupons: Mapping[str, str]
    live: bool


def about(asked: AccountAt) -> About:
    """Return what to read from Stripe; nothing for an account that has nothing there."""
    side, at = asked.account.stripe, asked.moment.at
    shown = _shown(list(side.subscriptions.values()), at)
    customers = [one.customer for one in shown if one.customer is not None]
    return About(
        tuple(one.id for one in shown),
        tuple(dict.fromkeys([*customers, *side.customers])),
        tuple(one.id for one in _known_invoices(asked)[:INVOICES_MAX]),
    )


def billing(
    asked: AccountAt,
    catalog: Catalog,
    live: Live | None = None,
    unread: Unread = "not_asked",
) -> Billing:
    """Return the Billing view.

    Args:
        live: what `about` told to read; None when it was not read.
        unread: why not.
    """
    side, at = asked.account.stripe, asked.moment.at
    known = [_figures(one, asked, catalog, live) for one in side.subscriptions.values()]
    ids = {one.id for one in _shown([figures.subscription for figures in known], at)}
    shown = [figures for figures in known if figures.subscription.id in ids]
    main = min(shown, key=lambda one: _attention(one, at), default=None)
    status = _status(main, at) if main else NONE
    currency = _currency(main.subscription) if main else None
    counted = [one for one in shown if not one.subscription.has_ended(at)]
    bills = [bill for one in counted for bill in one.bills]
    totals = _totals(bills, currency)
    unknown = next((bill.unknown for bill in bills if bill.unknown), None)
    subscriptions = [figures.subscription for figures in known]
    reason = unread if live is None else None
    view = BillingView(
        *asked.header,
        status=status,
        live=live is not None,
        fetched_at=asked.moment.now if live else _told_at(shown, asked),
        currency=currency,
        interval=_common([interval_name(one.interval, one.interval_count) for one in totals]),
        seats=_seats([one.subscription for one in counted], asked, side.mapped),
        lines=_lines(counted, totals, side.mapped, catalog),
        total=totals[0].total if len(totals) == 1 else None if totals else 0,
        totals=totals,
        next_invoice_at=_common([one.next_invoice_at for one in totals]),
        invoices=_invoices(asked, live),
        can_manage=customer_of(side.customers, subscriptions, at, side.deleted) is not None,
        notice=_notice(status, reason, unknown),
    )
    return Billing(view, reason, unknown)


def interval_name(interval: str | None, count: int | None) -> str | None:
    """Return how an interval is called: `month`, `3 months`; None where it is not known."""
    return interval if interval is None or count in {None, 1} else f"{count} {interval}s"


def _common(values: Sequence[ValueT | None]) -> ValueT | None:
    """Return the one value that all have; None where they differ."""
    return values[0] if len(set(values)) == 1 else None


def _notice(status: str, unread: Unread | None, unknown: Unknown | None) -> str | None:
    told = [
        _NOTICES.get(status),
        _TOO_MANY if unread == "too_many" else None,
        _UNKNOWN[unknown] if unknown else None,
    ]
    return " ".join(filter(None, told)) or None


def _totals(bills: Sequence[Bill], first: str | None) -> list[BillingTotal]:
    """Return a total for each currency and interval; those of the first currency first."""
    groups: dict[tuple[str | None, str | None, int | None], list[Bill]] = {}
    for bill in bills:
        groups.setdefault((bill.currency, bill.interval, bill.interval_count), []).append(bill)
    found = []
    for place, its in groups.items():
        amounts = [bill.total for bill in its if bill.total is not None]
        ends = [bill.next_invoice_at for bill in its if bill.next_invoice_at is not None]
        total = sum(amounts) if len(amounts) == len(its) else None
        found.append(BillingTotal(*place, total, min(ends, default=None)))
    return sorted(found, key=lambda one: _place(one, first))


def _place(one: BillingTotal, first: str | None) -> tuple[bool, str, int, int]:
    intervals = ("day", "week", "month", "year")
    length = intervals.index(one.interval) if one.interval in intervals else len(intervals)
    return one.currency != first, one.currency or "", length, one.interval_count or 1


def _shown(
    subscriptions: Sequence[StripeSubscription], at: datetime
) -> Sequence[StripeSubscription]:
    """Return the subscriptions that have not ended; if there are none, the last that ended."""
    open_ones = [one for one in subscriptions if not one.has_ended(at)]
    if open_ones or not subscriptions:
        return open_ones
    return [max(subscriptions, key=lambda one: (one.ends_at or at, one.id))]


def _attention(figures: _Figures, at: datetime) -> tuple[int, float, str]:
    status, one = _status(figures, at), figures.subscription
    place = _ATTENTION.index(status) if status in _ATTENTION else len(_ATTENTION)
    return place, -one.started_at.timestamp(), one.id


def _status(figures: _Figures, at: datetime) -> str:
    """Return Stripe's word; nothing is unconfirmed that Stripe has just said."""
    told = figures.subscription.latest.status
    return told if figures.live and told else figures.subscription.status(at)


def _currency(subscription: StripeSubscription) -> str | None:
    currencies = [item.currency for item in subscription.items if item.currency]
    return subscription.latest.currency or next(iter(currencies), None)


def _told_at(shown: Sequence[_Figures], asked: AccountAt) -> datetime:
    told = [one.subscription.latest.created for one in shown]
    told += [invoice.latest.created for invoice in asked.account.stripe.invoices.values()]
    return min(max(told, default=asked.moment.at), asked.moment.at)


# What a period costs


def _figures(
    known: StripeSubscription, asked: AccountAt, catalog: Catalog, live: Live | None
) -> _Figures:
    """Return a subscription as Stripe has it if it was read, else as it was reported."""
    invoices, at = asked.account.stripe.invoices.values(), asked.moment.at
    found = live.subscriptions.get(known.id) if live else None
    if live is None or found is None:
        return _Figures(known, bills_of(known, invoices, None, at), {}, live=False)
    origin = Origin(RETRIEVED, asked.moment.now, retrieved_at=asked.moment.now)
    report: Any = read_subscription(found, origin, catalog).report
    preview = live.previews.get(known.id)
    # A preview is no invoice yet, and need not have an id.
    bill: Any = read_invoice({**preview, "id": "in_preview"}, origin).report if preview else None
    now = as_fetched(known, report)
    return _Figures(now, bills_of(now, invoices, bill, at, known), _coupons(found), live=True)


def _lines(
    counted: Sequence[_Figures],
    totals: Sequence[BillingTotal],
    mapped: Mapping[str, Meaning],
    catalog: Catalog,
) -> list[BillingLine]:
    """Return the lines of all bills, in the order of their totals."""
    places = [(one.currency, one.interval, one.interval_count) for one in totals]
    lines = [
        line
        for one in counted
        for bill in one.bills
        for line in _lines_of(bill, one.coupons, mapped, catalog)
    ]
    return sorted(
        lines,
        key=lambda line: (
            places.index((line.currency, line.interval, line.interval_count)),
            _KINDS.index(line.kind),
        ),
    )


def _lines_of(
    bill: Bill, coupons: Mapping[str, str], mapped: Mapping[str, Meaning], catalog: Catalog
) -> Iterator[BillingLine]:
    place = bill.currency, bill.interval, bill.interval_count
    for charge in bill.charges:
        yield _line(charge, place, mapped, catalog)
    for discount, amount in bill.discounts:
        if amount:
            name = coupons.get(discount or "", "Discount")
            yield BillingLine("discount", name, 1, -amount, *place)
    if bill.tax:
        yield BillingLine("tax", "Tax", 1, bill.tax, *place)
    if bill.other:
        yield BillingLine("other", "Other", 1, bill.other, *place)


def _line(
    charge: Charge,
    place: tuple[str | None, str | None, int | None],
    mapped: Mapping[str, Meaning],
    catalog: Catalog,
) -> BillingLine:
    item, quantity, amount = charge
    if item is None:
        return BillingLine("other", "Other lines", 1, amount, *place)
    meaning = item.meaning or mapped.get(item.price or "")
    if meaning is None:
        description = item.lookup_key or item.price or "?"
        return BillingLine("base", description, quantity, amount, *place)
    product = catalog.product(meaning.product)
    name = product.name if product else meaning.product
    tier = product.tier_name(meaning.tier) if product else meaning.tier
    description = f"{name} {tier}" if tier else name
    kind: Kind = "seats" if meaning.per_unit else "base"
    return BillingLine(kind, description, quantity, amount, *place)


def _coupons(found: dict[str, Any]) -> dict[str, str]:
    """Return what the customer reads for each discount of a subscription."""
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


def _invoices(asked: AccountAt, live: Live | None) -> list[BillingInvoice]:
    """Return the account's own invoices, the newest first.

    A customer may pay for other accounts as well, whose invoices are theirs; so many that Stripe's
    list holds none of the account's own.
    """
    found = _live_invoices(asked, live) if live else []
    ids = {one.id for one in found}
    found += [one for one in _known_invoices(asked) if one.id not in ids]
    found.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    return found[:INVOICES_MAX]


def _is_own(asked: AccountAt, invoice: dict[str, Any]) -> bool:
    """Return whether an invoice is for a subscription of the account, or on its record."""
    side = asked.account.stripe
    of_subscription = (invoice.get("parent") or {}).get("subscription_details") or {}
    named = of_subscription.get("subscription") or invoice.get("subscription")
    id = named.get("id") if isinstance(named, dict) else named
    return id in side.subscriptions if id else invoice["id"] in side.invoices


def _live_invoices(asked: AccountAt, live: Live) -> list[BillingInvoice]:
    own = [one for one in live.invoices if _is_own(asked, one)]
    its = sorted(own, key=lambda one: (one["created"], one["id"]), reverse=True)
    return [
        BillingInvoice(
            one["id"],
            one.get("number"),
            one.get("status"),
            one.get("total"),
            one.get("currency"),
            datetime.fromtimestamp(one["created"], UTC),
            one.get("hosted_invoice_url"),
        )
        for one in its
        if one.get("status") != "draft"
    ]


def _known_invoices(asked: AccountAt) -> list[BillingInvoice]:
    its = sorted(
        asked.account.stripe.invoices.values(),
        key=lambda one: (one.invoiced_at, one.latest.invoice),
        reverse=True,
    )
    return [
        BillingInvoice(
            one.latest.invoice,
            one.latest.number,
            one.latest.status,
            one.latest.total,
            one.latest.currency,
            one.invoiced_at,
            None,
        )
        for one in its
        if one.latest.status != "draft"
    ]
