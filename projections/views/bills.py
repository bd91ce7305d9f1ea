"""What a period of a Stripe subscription costs: the exact amount, or none.

    4 × 15.00 a month           60.00, by the price's unit amount
    8 in graduated tiers        as the last invoice has it, if that was for these 8
    the same, of 9              no amount: what the ninth costs, Stripe has not told

An amount is only given where it follows from what Stripe has told. Stripe's own preview goes first.
Without one, an item costs what its quantity makes of its unit amount, or what a line of an invoice
had for the same price and quantity over a whole period. Taxes that are added are taken from the
last invoice of a whole period, if all of it still holds. With a discount there is no total: nothing
on record says when it ends, and the next invoice may be without it.

Items that are paid at different intervals are different bills, also of one subscription.

Source: docs/stripe.md, "Billing"; docs/adr/0016-the-amount-or-none.md.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from ledger.stripe.facts import (
    StripeInvoiceLine,
    StripeInvoiceReported,
    StripeItem,
    StripeTax,
    StripeTerms,
)
from ledger.stripe.subscriptions import StripeInvoice, StripeSubscription

Unknown = Literal["by_use", "discounted", "not_told", "over"]
METERED: Final = "metered"
# In a tiered price's bill, a line of one may be a tier's flat fee instead of a unit.
_UNITS_MIN: Final = 2
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}
_NO_TERMS: Final = StripeTerms(scheme="unknown")


class Charge(NamedTuple):
    """An item in a bill; the amount in minor units, before discounts and added taxes.

    Attributes:
        item: None for lines that Stripe has, and did not send.
        quantity, amount: None where nobody knows them yet.
    """

    item: StripeItem | None
    quantity: int | None
    amount: int | None


class Bill(NamedTuple):
    """What the items of one interval cost for a period; amounts in minor units.

    Attributes:
        interval, interval_count: Stripe's, None where it told none.
        discounts: what each takes off, by its id.
        tax: what is added.
        other: of the total, what none of the rest explains.
        total: None where it is not known, for the reason in `unknown`.
        next_invoice_at: None when there will be none.
    """

    currency: str | None
    interval: str | None
    interval_count: int | None
    charges: tuple[Charge, ...]
    discounts: tuple[tuple[str | None, int], ...] = ()
    tax: int = 0
    other: int = 0
    total: int | None = None
    unknown: Unknown | None = None
    next_invoice_at: datetime | None = None


class _Sums(NamedTuple):
    """What an invoice adds to its lines, or takes off."""

    discounts: tuple[tuple[str | None, int], ...]
    tax: int
    other: int = 0


def bills_of(
    subscription: StripeSubscription,
    invoices: Iterable[StripeInvoice],
    preview: StripeInvoiceReported | None,
    at: datetime,
    recorded: StripeSubscription | None = None,
) -> list[Bill]:
    """Return what a subscription costs, one bill for each interval, in the order of its items.

    Args:
        invoices: of the account; those of other subscriptions are passed over.
        preview: what Stripe says that a whole period costs; None if it was not asked, or has none.
        recorded: how the subscription is on record, if it has just been fetched.

    A subscription whose items are not known has one bill, of no interval and no amount.
    """
    its = sorted(
        (one.latest for one in invoices if one.latest.stripe_subscription == subscription.id),
        key=lambda told: (told.invoiced_at or told.created, told.invoice),
        reverse=True,
    )
    if subscription.lacks_items or not subscription.items:
        # Of what it has now, nothing is known: the items on record may have changed since.
        return [Bill(subscription.latest.currency, None, None, (), unknown="not_told")]
    groups: dict[tuple[str | None, int | None], list[StripeItem]] = {}
    for item in subscription.items:
        count = None if item.interval is None else item.interval_count or 1
        groups.setdefault((item.interval, count), []).append(item)
    found = []
    for items in groups.values():
        alone = len(groups) == 1
        bill = _previewed(subscription, items, preview, alone=alone) if preview else None
        bill = bill or _reckoned(subscription, items, its, recorded)
        found.append(bill._replace(next_invoice_at=_next_invoice_at(subscription, items, at)))
    return found


def _next_invoice_at(
    subscription: StripeSubscription, items: Sequence[StripeItem], at: datetime
) -> datetime | None:
    """Return when the items are billed next: when their period ends, unless all ends by then."""
    end = min((item.period_end for item in items if item.period_end is not None), default=None)
    last = subscription.ends_at
    if end is None or end <= at or subscription.latest.status in {"paused", "incomplete"}:
        return None
    return end if last is None or end < last else None


def _bill(
    subscription: StripeSubscription, items: Sequence[StripeItem], charges: Iterable[Charge]
) -> Bill:
    first = items[0]
    currency = subscription.latest.currency or first.currency
    count = None if first.interval is None else first.interval_count or 1
    return Bill(currency, first.interval, count, tuple(charges))


# From Stripe's preview


def _previewed(
    subscription: StripeSubscription,
    items: Sequence[StripeItem],
    preview: StripeInvoiceReported,
    *,
    alone: bool,
) -> Bill | None:
    """Return the bill as Stripe previews it; None where the preview does not tell it.

    Args:
        alone: whether the items are all that the subscription has.
    """
    ids = {item.id for item in items}
    lines = [line for line in preview.lines if line.item in ids and not line.proration]
    billed = [item for item in items if item.usage_type != METERED and item.quantity != 0]
    if any(line.amount is None for line in preview.lines) or preview.total is None:
        return None
    prices = {item.id: item.price for item in items}
    if any(line.price != prices[line.item] for line in lines):
        return None  # changed between two questions
    whole = _complete(preview)
    if whole and {item.id for item in billed} - {line.item for line in lines}:
        return None
    charges = list(_charges_of(items, lines, whole=whole))
    found = _bill(subscription, items, charges)
    if any(item.usage_type == METERED for item in items):
        return found._replace(unknown="by_use")
    only = alone and len(lines) == len(preview.lines)
    if not whole:
        # Nothing is known of the rest but what it adds up to, and nothing of whose it is.
        if not only or preview.subtotal is None:
            return found._replace(unknown="not_told")
        rest = preview.subtotal - sum(line.amount or 0 for line in lines)
        found = found._replace(charges=(*charges, Charge(None, None, rest)))
    if only:
        sums = _sums(preview)
    elif alone or not preview.discounts:
        sums = _sums_of_lines(preview, lines) if whole else None
    else:  # an amount off is shared out here, and taken off whole from each interval's invoice
        sums = None
    if sums is None:
        return found._replace(unknown="not_told")
    return _totalled(found, sums)


def _charges_of(
    items: Sequence[StripeItem], lines: Sequence[StripeInvoiceLine], *, whole: bool
) -> Iterator[Charge]:
    for item in items:
        its = [line for line in lines if line.item == item.id]
        if item.usage_type == METERED:
            yield Charge(item, None, None)
        elif its or whole:
            quantity = its[0].quantity if len(its) == 1 else item.quantity
            yield Charge(item, quantity, sum(line.amount or 0 for line in its))


def _totalled(bill: Bill, sums: _Sums) -> Bill:
    amounts = sum(charge.amount or 0 for charge in bill.charges)
    off = sum(amount for _, amount in sums.discounts)
    return bill._replace(
        discounts=sums.discounts,
        tax=sums.tax,
        other=sums.other,
        total=amounts - off + sums.tax + sums.other,
    )


def _complete(told: StripeInvoiceReported) -> bool:
    """Return whether all lines of an invoice are there."""
    adds_up = told.subtotal == sum(line.amount or 0 for line in told.lines)
    return adds_up and told.has_all_lines


def _sums(told: StripeInvoiceReported) -> _Sums | None:
    """Return what an invoice adds and takes off as a whole; None where it does not say."""
    if told.total is None or told.subtotal is None:
        return None
    off = sum(one.amount for one in told.discounts)
    added = told.total - told.subtotal + off
    # Of the taxes, those that the prices include are not added.
    tax = min(max(added, 0), _tax_added_max(told))
    discounts = tuple((one.discount, one.amount) for one in told.discounts)
    return _Sums(discounts, tax, added - tax)


def _tax_added_max(told: StripeInvoiceReported) -> int:
    taxes = [tax for line in told.lines for tax in line.taxes]
    if told.tax is not None and sum(tax.amount for tax in taxes) != told.tax:
        return told.tax
    return sum(tax.amount for tax in taxes if not tax.included)


def _sums_of_lines(told: StripeInvoiceReported, lines: Sequence[StripeInvoiceLine]) -> _Sums | None:
    """Return what some lines of an invoice add and take off; None where it is not told by line."""
    every = _sums(told)
    by_line = _taken(told.lines)
    if every is None or every.other or by_line.tax != every.tax:
        return None
    if set(by_line.discounts) != set(_by_id(every.discounts)):
        return None
    return _taken(lines)


def _taken(lines: Iterable[StripeInvoiceLine]) -> _Sums:
    its = list(lines)
    off = _by_id((one.discount, one.amount) for line in its for one in line.discounts)
    return _Sums(off, sum(tax.amount for tax in _added(its)))


def _added(lines: Iterable[StripeInvoiceLine]) -> Iterator[StripeTax]:
    return (tax for line in lines for tax in line.taxes if not tax.included)


def _by_id(discounts: Iterable[tuple[str | None, int]]) -> tuple[tuple[str | None, int], ...]:
    found: dict[str | None, int] = {}
    for id, amount in discounts:
        found[id] = found.get(id, 0) + amount
    return tuple((id, amount) for id, amount in found.items() if amount)


# From what was reported


def _reckoned(
    subscription: StripeSubscription,
    items: Sequence[StripeItem],
    invoices: Sequence[StripeInvoiceReported],
    recorded: StripeSubscription | None,
) -> Bill:
    """Return the bill as it follows from the items and from invoices, the newest first."""
    charges = [_charge(subscription, item, invoices) for item in items]
    found = _bill(subscription, items, charges)
    if any(item.usage_type == METERED for item in items):
        return found._replace(unknown="by_use")
    if any(charge.amount is None for charge in charges):
        return found._replace(unknown="not_told")
    latest = subscription.latest.latest_invoice
    if latest is not None and all(told.invoice != latest for told in invoices):
        # A customer's own discount is not told with the subscription, but shows on that invoice.
        return found._replace(unknown="not_told")
    # Stripe does not tell a discount that has ended since the period has, but may yet take it off
    # the invoice that is due. Only what was told within the period says whether there was one.
    if _was_over(subscription) and (
        recorded is None
        or _was_over(recorded)
        or _is_discounted(recorded, recorded.items, invoices)
    ):
        return found._replace(unknown="over")
    if _is_discounted(subscription, items, invoices):
        return found._replace(unknown="discounted")
    if not _may_add_tax(items, invoices):
        return _totalled(found, _Sums((), 0))
    last = _last(items, invoices)
    sums = _still_held(subscription, items, charges, last) if last else None
    return found._replace(unknown="not_told") if sums is None else _totalled(found, sums)


def _charge(
    subscription: StripeSubscription,
    item: StripeItem,
    invoices: Sequence[StripeInvoiceReported],
) -> Charge:
    if item.usage_type == METERED or item.quantity is None:
        return Charge(item, None, None)
    amount = _by_unit(subscription, item)
    for told in invoices if amount is None else ():
        amount = _by_lines(subscription, item, told)
        if amount is not None:
            break
    return Charge(item, item.quantity, amount)


def _by_unit(subscription: StripeSubscription, item: StripeItem) -> int | None:
    """Return what an item costs by its unit amount; None where that does not tell it."""
    terms = item.terms or _NO_TERMS
    other = subscription.latest.currency not in {None, item.currency}  # the unit amount's currency
    if item.quantity is None or item.unit_amount is None or other or terms.scheme != "per_unit":
        return None
    count = item.quantity
    if terms.divide_by is not None or terms.rounding is not None:
        if not terms.divide_by or terms.rounding not in {"up", "down"}:
            return None
        whole, rest = divmod(count, terms.divide_by)
        count = whole + (1 if rest and terms.rounding == "up" else 0)
    amount = Fraction(item.unit_amount) * count
    # How Stripe rounds a part of a minor unit, it does not say of a subscription.
    return int(amount) if amount.denominator == 1 else None


def _by_lines(
    subscription: StripeSubscription, item: StripeItem, told: StripeInvoiceReported
) -> int | None:
    """Return what an invoice had for the same price and quantity over a whole period."""
    its = [line for line in told.lines if line.item == item.id and not line.proration]
    if not its or not _complete(told) or told.status == "draft":
        return None
    if told.currency != (subscription.latest.currency or item.currency):
        return None
    if any(line.price != item.price or not _is_whole(item, line) for line in its):
        return None
    trial_end = subscription.latest.trial_end
    for line in its:
        if line.amount is None or line.period_start is None or line.quantity is None:
            return None
        if trial_end is not None and line.period_start < trial_end:
            return None
        if len(its) > 1 and line.quantity < _UNITS_MIN:
            return None
    if sum(line.quantity or 0 for line in its) != item.quantity:
        return None
    return sum(line.amount or 0 for line in its)


def _is_whole(item: StripeItem, line: StripeInvoiceLine) -> bool:
    """Return whether a line is for a whole period of its price, and not for a trial or a part."""
    start, end, count = line.period_start, line.period_end, item.interval_count or 1
    if start is None or end is None:
        return False
    if item.interval in _DAYS:
        # Counted, not multiplied: reports of any count are on record, also of more than a calendar.
        unit = timedelta(days=_DAYS[item.interval])
        return divmod(end - start, unit) == (count, timedelta(0))
    if item.interval not in _MONTHS:
        return False
    year, month = divmod(start.year * 12 + start.month - 1 + _MONTHS[item.interval] * count, 12)
    if (end.year, end.month, end.timetz()) != (year, month + 1, start.timetz()):
        return False
    # Anchored on the 31st, a period goes from 28 February to 31 March, or from there to 30 April.
    clipped = min(start.day, calendar.monthrange(year, month + 1)[1])
    on_last = start.day == calendar.monthrange(start.year, start.month)[1]
    return end.day == clipped or (on_last and end.day > start.day)


def _last(
    items: Sequence[StripeItem], invoices: Sequence[StripeInvoiceReported]
) -> StripeInvoiceReported | None:
    """Return the newest invoice that bills one of the items for a period, and not for a change."""
    ids = {item.id for item in items}
    for told in invoices:
        if told.status != "draft" and any(
            line.item in ids and not line.proration for line in told.lines
        ):
            return told
    return None


def _is_discounted(
    subscription: StripeSubscription,
    items: Sequence[StripeItem],
    invoices: Sequence[StripeInvoiceReported],
) -> bool:
    """Return whether a discount may be taken off the next invoice, or was taken off the last.

    A customer's own is not told with the subscription, but shows on its invoices.
    """
    last = _newest(invoices)
    told = subscription.latest.discounts or any(item.discounts for item in items)
    return bool(told or (last is not None and last.discounts))


def _was_over(subscription: StripeSubscription) -> bool:
    """Return whether the period of an item had ended when Stripe told of the subscription."""
    ends = (item.period_end for item in subscription.items)
    return any(end is not None and end <= subscription.latest.created for end in ends)


def _may_add_tax(items: Sequence[StripeItem], invoices: Sequence[StripeInvoiceReported]) -> bool:
    """Return whether tax may be added; where the rates are not told, it shows on invoices."""
    taxes = {item.terms.tax if item.terms else None for item in items}
    if "added" in taxes or not all(item.terms for item in items):
        return True
    last = _newest(invoices)
    if last is None or None not in taxes:
        return False
    sums = _sums(last)
    return sums is None or sums.tax != 0


def _newest(invoices: Sequence[StripeInvoiceReported]) -> StripeInvoiceReported | None:
    return next((told for told in invoices if told.lines and told.status != "draft"), None)


def _still_held(
    subscription: StripeSubscription,
    items: Sequence[StripeItem],
    charges: Sequence[Charge],
    told: StripeInvoiceReported,
) -> _Sums | None:
    """Return what an invoice adds, if it was for what there is now, and nothing else."""
    ids = {item.id for item in items}
    if any(line.proration or line.item not in ids for line in told.lines):
        return None
    for charge in charges:
        assert charge.item is not None
        if charge.amount != _by_lines(subscription, charge.item, told):
            return None
    sums = _sums(told)
    if sums is None or sums.other or sums.discounts:
        return None
    return sums if all(_taxed_alike(item, told) for item in items) else None


def _taxed_alike(item: StripeItem, told: StripeInvoiceReported) -> bool:
    """Return whether an item is taxed as an invoice taxed it, as far as both say."""
    taxes = [tax for line in told.lines if line.item == item.id for tax in line.taxes]
    if item.terms is None or item.terms.tax is None:
        return True
    if item.terms.tax == "none":
        return not taxes and not told.tax
    if not item.terms.tax_rates:
        return True
    return {tax.rate for tax in taxes} == set(item.terms.tax_rates)
