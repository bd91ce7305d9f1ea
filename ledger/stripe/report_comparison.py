"""A report held against the state: does it contradict it, say something new, or repeat it?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from ledger.stripe.facts import (
    LONG_AGO,
    StripeItem,
    StripeSubscriptionReported,
    StripeTerms,
)
from ledger.stripe.subscriptions import StripeSubscription


class Material(NamedTuple):
    """What reports are held against each other by: all that access and money follow from.

    Attributes:
        items: id, price, quantity and end of the period of each, in order.
        amounts: by item, its price's unit amount, currency, and what else its amount depends on.
        discounts: ids of those of the subscription, and of its items by item.
    """

    status: str | None
    items: tuple[tuple[str, str, int, datetime], ...]
    amounts: tuple[tuple[str, ...], ...]
    discounts: tuple[tuple[str, tuple[str, ...]], ...]
    currency: str | None
    customer: str | None
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    ended_at: datetime | None
    pause: str | None


def material(report: StripeSubscriptionReported, items: Iterable[StripeItem]) -> Material:
    """Return what counts in a report, with the items that are known."""
    items = tuple(items)
    discounts = (("", report.discounts), *((one.id or "", one.discounts) for one in items))
    return Material(
        report.status,
        tuple(
            sorted(
                (one.id or "", one.price or "", _quantity(one), one.period_end or LONG_AGO)
                for one in items
            )
        ),
        tuple(sorted(_amount(one) for one in items)),
        tuple(sorted((id, tuple(sorted(its))) for id, its in discounts if its)),
        report.currency,
        report.customer,
        report.trial_end,
        report.cancel_at,
        report.cancel_at_period_end,
        report.ended_at,
        report.pause_behavior,
    )


def _quantity(item: StripeItem) -> int:
    """Return a quantity to compare; one that is not known is none that could be."""
    return -1 if item.quantity is None else item.quantity


def _amount(item: StripeItem) -> tuple[str, ...]:
    terms = item.terms or StripeTerms()
    what = (item.id, item.unit_amount, item.currency, terms.scheme, terms.divide_by, terms.rounding)
    return (*(str(one or "") for one in what), terms.tax or "", *sorted(terms.tax_rates))


def differing(known: StripeSubscription | None, report: StripeSubscriptionReported) -> list[str]:
    """Return in what a report contradicts the state, as names of `Material`; all of no state."""
    if known is None:
        return list(Material._fields)
    had, told = known.items, known.items if report.items is None else report.items
    ours = material(known.latest, _with_terms_of(had, told))
    theirs = material(report, _with_terms_of(told, had))
    return [
        name
        for name, one, other in zip(Material._fields, ours, theirs, strict=True)
        if one != other
    ]


def _with_terms_of(
    items: tuple[StripeItem, ...], others: tuple[StripeItem, ...]
) -> tuple[StripeItem, ...]:
    """Return items with terms of others where they have none: what is not told contradicts nothing.

    Old shapes do not tell whether tax is taken, and a price that comes by its id alone, nothing.
    """
    known = {(one.id, one.price): one for one in others}
    return tuple(_with_terms(one, known.get((one.id, one.price))) for one in items)


def _with_terms(item: StripeItem, other: StripeItem | None) -> StripeItem:
    if other is None or other.terms is None:
        return item
    if item.terms is None:
        return replace(
            item, terms=other.terms, unit_amount=other.unit_amount, currency=other.currency
        )
    if item.terms.tax is None:
        terms = replace(item.terms, tax=other.terms.tax, tax_rates=other.terms.tax_rates)
        return replace(item, terms=terms)
    return item


def tells_terms(known: StripeSubscription, report: StripeSubscriptionReported) -> bool:
    """Return whether a report has terms of an item that had none."""
    without = {(one.id, one.price) for one in known.items if one.terms is None}
    return any(one.terms and (one.id, one.price) in without for one in report.items or ())


def is_tie(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Return whether a report contradicts the state, and nothing tells which of both came last."""
    if known is None or known.latest.is_end or report.is_end:
        return False
    return _second(known.latest) == _second(report) and bool(differing(known, report))


def _second(report: StripeSubscriptionReported) -> tuple[object, ...]:
    """Return what of its rank is no matter of chance."""
    ended, has_status, (not_created, created, *_) = report.rank
    return ended, has_status, not_created, created


def is_repetition(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Return whether another event has told the very same, to the last field that is kept."""
    return known is not None and replace(known.latest, stripe_event=report.stripe_event) == report


def is_news(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Return whether a report changes the state, or tells at last what was missing in it.

    Old shapes do not tell a price's key and metadata, and an event not all items; Stripe does
    when it is asked.
    """
    if known is None:
        return True
    return report.rank > known.latest.rank and (
        bool(differing(known, report))
        or bool(understood(known, report))
        or tells_terms(known, report)
        or (known.lacks_items and report.items is not None)
    )


def understood(known: StripeSubscription, report: StripeSubscriptionReported) -> list[str]:
    """Return the prices that mean something in a report, and meant nothing so far."""
    without = {item.price for item in known.items if item.meaning is None}
    return [
        item.price
        for item in report.items or ()
        if item.meaning is not None and item.price is not None and item.price in without
    ]
