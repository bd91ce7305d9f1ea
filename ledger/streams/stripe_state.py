"""What follows from all that Stripe reported together.

Invariant: a Stripe subscription's state is a function of the *set* of its reports: in whatever
           order they come, and however often, it is the same.
Source:    docs/stripe.md, "What may be relied on".

Stripe promises no order, may send an event twice, and writes times in whole seconds. So a report is
never applied to the state before it; the reports are ranked, and the one that ranks highest is the
state. The rank of a report, the most important first:

    an end is final             whatever else was said, before or after
    a status beats none         a report without one is a piece of a report
    a creation comes first      Stripe may date an `updated` before its `created`
    the later second wins
    a look beats a message      what was asked of Stripe in a second that an event names, too
    the later look, then the greater event id, so that there is always one order

Where two messages of one second contradict each other, nothing tells which came last: whoever
records the second of them asks Stripe, and appends the answer as a report of its own (`is_tie`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from ledger import pool
from ledger.codes import letters
from ledger.streams.stripe import (
    LONG_AGO,
    Meaning,
    StripeInvoiceReported,
    StripeItem,
    StripeSubscriptionReported,
)

# For so long does Stripe try again to deliver an event.
SILENCE_MAX: Final = timedelta(days=3)

GIVING: Final = frozenset({"active", "trialing", "past_due"})
# In which an item's quantity has been billed for its period.
BILLED: Final = frozenset({"active", "past_due", "unpaid"})

# State


class StripeRow(Struct, frozen=True, gc=False):
    """What a Stripe subscription has of one product and tier.

    Attributes:
        seats: that it provides while it gives any.
        expires_at: when the first of its items' periods ends; None when Stripe did not say.
    """

    product: str
    tier: str | None
    seats: int
    billed: bool
    expires_at: datetime | None


class Billed(NamedTuple):
    """The most of an item that was reported in a billing period, the newest one that was."""

    period_start: datetime
    quantity: int


class StripeSubscription(Struct, frozen=True):
    """A Stripe subscription, as all its reports make it.

    Attributes:
        told: the report that ranks highest.
        itemised: the one that ranks highest among those that tell the items; None if none does.
        position: of the first event that reported it.
        billed: by item.
    """

    id: str
    told: StripeSubscriptionReported
    itemised: StripeSubscriptionReported | None
    position: int
    billed: dict[str, Billed] = {}

    @property
    def subscription(self) -> str:
        """Our id for it."""
        return subscription_id(self.id)

    @property
    def items(self) -> tuple[StripeItem, ...]:
        return (self.itemised.items if self.itemised else None) or ()

    @property
    def material(self) -> Material:
        return material(self.told, self.items)

    @property
    def customer(self) -> str | None:
        return self.told.customer

    @property
    def started_at(self) -> datetime:
        return self.told.started_at or self.told.created

    @property
    def ends_at(self) -> datetime | None:
        """When it ended, or is going to, if an end is known."""
        if self.told.is_end:
            return self.told.ended_at or self.told.canceled_at or self.told.created
        if self.told.cancel_at is not None:
            return self.told.cancel_at
        return self.period_end if self.told.cancel_at_period_end else None

    def has_ended(self, at: datetime) -> bool:
        return self.ends_at is not None and self.ends_at <= at

    @property
    def period_end(self) -> datetime | None:
        """When the first of its items' periods ends."""
        ends = [item.period_end for item in self.items if item.period_end is not None]
        return min(ends, default=None)

    @property
    def renews(self) -> bool:
        return not self.told.is_end and self.ends_at is None

    def status(self, at: datetime) -> str:
        """Answer what it is at a moment, as Stripe calls it, or:

        `canceled` also when an announced end has come, and `unconfirmed` when a period ended more
        than three days before, and Stripe has not said what came of it.
        """
        if self.ends_at is not None and at >= self.ends_at:
            return "canceled"
        status = self.told.status or "unknown"
        if status in GIVING and self.renews and self._unheard_of(at):
            return "unconfirmed"
        return status

    def _unheard_of(self, at: datetime) -> bool:
        return self.period_end is not None and at > self.period_end + SILENCE_MAX

    def steps(self) -> set[datetime]:
        """Answer the moments at which its status changes by the mere passing of time."""
        if self.ends_at is not None:
            return {self.started_at, self.ends_at}
        if self.period_end is not None:
            return {self.started_at, self.period_end + SILENCE_MAX + timedelta(microseconds=1)}
        return {self.started_at}

    def rows(self, mapped: Mapping[str, Meaning]) -> list[StripeRow]:
        """Answer what it has, by product and tier, in the order of its items."""
        parts: dict[tuple[str, str | None], list[tuple[StripeItem, Meaning]]] = {}
        for item in self.items:
            meaning = item.meaning or mapped.get(item.price or "")
            if meaning is not None:
                parts.setdefault((meaning.product, meaning.tier), []).append((item, meaning))
        return [self._row(place, its) for place, its in parts.items()]

    def _row(
        self, place: tuple[str, str | None], its: list[tuple[StripeItem, Meaning]]
    ) -> StripeRow:
        ends = [item.period_end for item, _ in its if item.period_end is not None]
        first = min(ends, default=None)
        last = self.ends_at
        return StripeRow(
            *place,
            seats=sum(m.included + m.per_unit * (item.quantity or 0) for item, m in its),
            billed=any(meaning.billed for _, meaning in its),
            expires_at=last if last is not None else first,
        )

    def unmapped(self, mapped: Mapping[str, Meaning]) -> list[str]:
        """Answer its prices that mean nothing."""
        return [
            item.price or "?"
            for item in self.items
            if item.meaning is None and item.price not in mapped
        ]

    def provides(self, mapped: Mapping[str, Meaning], at: datetime) -> Iterator[pool.Row]:
        """Answer what it gives at a moment."""
        if self.status(at) not in GIVING or at < self.started_at:
            return
        for row in self.rows(mapped):
            yield pool.Row(
                self.subscription,
                row.product,
                row.tier,
                row.seats,
                renews=self.renews,
                started_at=self.started_at,
                expires_at=row.expires_at,
                open=row.billed,
            )


class Material(NamedTuple):
    """What reports are held against each other by: all that access and money follow from.

    Attributes:
        items: id, price, quantity and end of the period of each, in order.
    """

    status: str | None
    items: tuple[tuple[str, str, int, datetime], ...]
    customer: str | None
    trial_end: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    ended_at: datetime | None
    pause: str | None


def material(report: StripeSubscriptionReported, items: Iterable[StripeItem]) -> Material:
    """Answer what counts in a report, with the items that are known."""
    return Material(
        report.status,
        tuple(
            sorted(
                (one.id or "", one.price or "", one.quantity or 0, one.period_end or LONG_AGO)
                for one in items
            )
        ),
        report.customer,
        report.trial_end,
        report.cancel_at,
        report.cancel_at_period_end,
        report.ended_at,
        report.pause_behavior,
    )


class StripeInvoice(Struct, frozen=True, gc=False):
    """An invoice, as all its reports make it."""

    told: StripeInvoiceReported

    @property
    def invoiced_at(self) -> datetime:
        return self.told.invoiced_at or self.told.created


def customer_of(
    linked: Sequence[str], subscriptions: Iterable[StripeSubscription], at: datetime
) -> str | None:
    """Answer which of its customers an account is to Stripe; None when it has none.

    The linked one that has a subscription that has not ended; else whoever has one; else the one
    that was linked last; else whoever had a subscription. Of several, by the newest subscription.
    """
    its = sorted(
        (one for one in subscriptions if one.customer is not None),
        key=lambda one: (not one.has_ended(at), one.customer in linked, one.started_at, one.id),
    )
    newest = its[-1] if its else None
    if newest is not None and (not linked or not newest.has_ended(at)):
        return newest.customer
    return linked[-1] if linked else None


def subscription_id(stripe_subscription: str) -> str:
    """Answer our id for a Stripe subscription; the same one for ever, and no secret."""
    digest = hashlib.sha256(b"keyfold stripe subscription\0" + stripe_subscription.encode())
    return f"kfsub_{letters(digest.digest())}"


# Fold


def with_report(
    known: StripeSubscription | None, report: StripeSubscriptionReported, position: int
) -> StripeSubscription:
    """Answer a subscription with one more report, whatever came before it."""
    itemised = report if report.items is not None else None
    billed = _billed(known.billed if known else {}, report)
    if known is None:
        return StripeSubscription(report.stripe_subscription, report, itemised, position, billed)
    told = max(known.told, report, key=lambda one: one.rank)
    if itemised is None or known.itemised is None:
        itemised = itemised or known.itemised
    else:
        itemised = max(known.itemised, itemised, key=lambda one: (one.is_end, one.order))
    return StripeSubscription(known.id, told, itemised, min(known.position, position), billed)


def _billed(known: dict[str, Billed], report: StripeSubscriptionReported) -> dict[str, Billed]:
    if report.status not in BILLED:
        return known
    found = dict(known)
    for item in report.items or ():
        if item.id is None or item.quantity is None or item.period_start is None:
            continue
        said = Billed(item.period_start, item.quantity)
        found[item.id] = max(found.get(item.id, said), said)
    return found


def with_invoice(known: StripeInvoice | None, report: StripeInvoiceReported) -> StripeInvoice:
    """Answer an invoice with one more report, whatever came before it."""
    if known is not None and known.told.rank >= report.rank:
        return known
    return StripeInvoice(report)


# Decisions


def differing(known: StripeSubscription | None, report: StripeSubscriptionReported) -> list[str]:
    """Answer in what a report contradicts the state, as names of `Material`; all of no state."""
    if known is None:
        return list(Material._fields)
    said = material(report, known.items if report.items is None else report.items)
    return [
        name
        for name, ours, theirs in zip(Material._fields, known.material, said, strict=True)
        if ours != theirs
    ]


def is_tie(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Tell whether a report contradicts the state, and nothing tells which of the two came last."""
    if known is None or known.told.is_end or report.is_end:
        return False
    return _second(known.told) == _second(report) and bool(differing(known, report))


def _second(report: StripeSubscriptionReported) -> tuple[object, ...]:
    """Answer what of its rank is no matter of chance."""
    ended, has_status, (not_created, created, *_) = report.rank
    return ended, has_status, not_created, created


def is_repetition(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Tell whether another event has told the very same, to the last field that is kept."""
    return known is not None and replace(known.told, stripe_event=report.stripe_event) == report


def is_news(known: StripeSubscription | None, report: StripeSubscriptionReported) -> bool:
    """Tell whether a report changes the state, or says of a price what it gives at last.

    Old shapes do not tell a price's key and metadata; a look at Stripe does.
    """
    if known is None:
        return True
    return report.rank > known.told.rank and (
        bool(differing(known, report)) or bool(understood(known, report))
    )


def understood(known: StripeSubscription, report: StripeSubscriptionReported) -> list[str]:
    """Answer the prices that mean something in a report, and meant nothing so far."""
    without = {item.price for item in known.items if item.meaning is None}
    return [
        item.price
        for item in report.items or ()
        if item.meaning is not None and item.price is not None and item.price in without
    ]
