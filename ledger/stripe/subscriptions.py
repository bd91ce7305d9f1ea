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
    fetched beats sent          what Stripe was asked for in a second that an event names, too
    the later fetched           then the greater event id, so that there is always one order

Where two messages of one second contradict each other, nothing tells which came last: whoever
records the second of them asks Stripe, and appends the answer as a report of its own: see
`ledger.stripe.report_comparison`.

What a price means is no matter of the last report: see `ledger.stripe.price_meanings`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ledger import pool
from ledger.codes import letters
from ledger.limits import QUANTITY_MAX
from ledger.stripe.facts import (
    Billed,
    KnownPrice,
    Meaning,
    StripeHistory,
    StripeInvoiceReported,
    StripeItem,
    StripeSubscriptionReported,
)
from ledger.stripe.price_meanings import has_lost, with_prices_of

# For so long does Stripe try again to deliver an event.
SILENCE_MAX: Final = timedelta(days=3)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)

GIVING: Final = frozenset({"active", "trialing", "past_due"})
# In which an item's quantity has been billed for its period.
BILLED: Final = frozenset({"active", "past_due", "unpaid"})

# State


class StripeRow(Struct, frozen=True, gc=False):
    """What a Stripe subscription has of one product and tier.

    Attributes:
        seats: that it provides while it gives any.
        expires_at: when the subscription ends, else when the first of its items' periods does;
            None when Stripe did not say.
        period_end: when the first of its items' running periods ends.
    """

    product: str
    tier: str | None
    seats: int
    billed: bool
    expires_at: datetime | None
    period_end: datetime | None = None


class StripeSubscription(Struct, frozen=True):
    """A Stripe subscription, as all its reports make it.

    Attributes:
        latest: the report that ranks highest.
        itemised: the one that ranks highest among those that tell the items; None if none does.
        position: of the first event that reported it.
        billed: by item.
        prices: what each price means that ever meant something, by its id.
        remapped: prices that were given another meaning on record.
    """

    id: str
    latest: StripeSubscriptionReported
    itemised: StripeSubscriptionReported | None
    position: int
    billed: dict[str, Billed] = {}
    prices: dict[str, KnownPrice] = {}
    remapped: dict[str, Meaning] = {}

    @property
    def subscription(self) -> str:
        """Return our id for it."""
        return subscription_id(self.id)

    @property
    def items(self) -> tuple[StripeItem, ...]:
        """Return the items as told last, each with what its price means in this subscription."""
        told = (self.itemised.items if self.itemised else None) or ()
        return tuple(self._understood(item) for item in told)

    def _understood(self, item: StripeItem) -> StripeItem:
        meaning, quantity = self.meaning_of(item), item.quantity
        if quantity is not None and quantity > QUANTITY_MAX:
            quantity = None  # it was recorded before there was a greatest one
        if (meaning, quantity) == (item.meaning, item.quantity):
            return item
        return replace(item, meaning=meaning, quantity=quantity)

    def meaning_of(self, item: StripeItem) -> Meaning | None:
        """Return what an item's price means here; None if nothing is known of it."""
        if item.price is None:
            return item.meaning
        known = self.prices.get(item.price)
        return self.remapped.get(item.price) or (known.meaning if known else None)

    @property
    def lacks_items(self) -> bool:
        """Return whether its last report did not tell all items, so that they may have changed."""
        return self.latest.items is None and not self.latest.is_end

    @property
    def customer(self) -> str | None:
        """Return the id of its customer at Stripe, as reported last."""
        return self.latest.customer

    @property
    def started_at(self) -> datetime:
        """Return when it started; when its last report was made, if that does not tell."""
        return self.latest.started_at or self.latest.created

    @property
    def ends_at(self) -> datetime | None:
        """Return when it ended, or is going to; None if no end is known."""
        if self.latest.is_end:
            return self.latest.ended_at or self.latest.canceled_at or self.latest.created
        if self.latest.cancel_at is not None:
            return self.latest.cancel_at
        return self.period_end if self.latest.cancel_at_period_end else None

    def has_ended(self, at: datetime) -> bool:
        """Return whether it is over at a moment."""
        return self.ends_at is not None and self.ends_at <= at

    @property
    def period_end(self) -> datetime | None:
        """Return when the first of its items' periods ends; None if no item tells."""
        ends = [item.period_end for item in self.items if item.period_end is not None]
        return min(ends, default=None)

    @property
    def renews(self) -> bool:
        """Return whether it goes on with no end known."""
        return not self.latest.is_end and self.ends_at is None

    def status(self, at: datetime, row: StripeRow | None = None) -> str:
        """Return what it is at a moment, as Stripe calls it, or:

        `canceled` also when an announced end has come, and `unconfirmed` when a period ended more
        than three days before, and Stripe has not said what came of it, whatever end was announced.

        Args:
            row: to answer for one of its rows, whose period may be another than that of the rest.
        """
        if self.ends_at is not None and at >= self.ends_at:
            return "canceled"
        status = self.latest.status or "unknown"
        period_end = self.period_end if row is None else row.period_end
        if status in GIVING and period_end is not None and at - period_end > SILENCE_MAX:
            return "unconfirmed"
        return status

    def steps(self) -> set[datetime]:
        """Return the moments at which its status changes by the mere passing of time."""
        found = {self.started_at}
        end = self.ends_at
        if end is not None:
            found.add(end)
        # What would come after the last year there is, or after the end, never comes.
        last = _LATEST if end is None else end
        for item in self.items:
            period_end = item.period_end
            if period_end is not None and last - period_end > SILENCE_MAX:
                found.add(period_end + SILENCE_MAX + timedelta(microseconds=1))
        return found

    def meanings(
        self, mapped: Mapping[str, Meaning]
    ) -> Iterator[tuple[StripeItem, Meaning | None]]:
        """Return the items, each with what its price gives.

        Args:
            mapped: meanings of prices for the whole account, for one that has none here.
        """
        for item in self.items:
            yield item, item.meaning or mapped.get(item.price or "")

    def has_lost(
        self,
        product: str,
        tier: str | None,
        mapped: Mapping[str, Meaning],
        *,
        needs_base: bool = False,
    ) -> bool:
        """Return whether an item that means nothing stands where one of a product and tier was.

        Then nobody can say how much of the product the subscription has.

        Args:
            needs_base: the product is sold on top of a base plan.
        """
        now = list(self.meanings(mapped))
        place = product, tier
        return has_lost(now, self.prices, self.remapped, place, needs_base=needs_base)

    def rows(self, mapped: Mapping[str, Meaning]) -> list[StripeRow]:
        """Return what it has, by product and tier, in the order of its items."""
        parts: dict[tuple[str, str | None], list[tuple[StripeItem, Meaning]]] = {}
        for item, meaning in self.meanings(mapped):
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
            period_end=first,
        )

    def unmapped(self, mapped: Mapping[str, Meaning]) -> list[str]:
        """Return its prices that mean nothing."""
        return [item.price or "?" for item, meaning in self.meanings(mapped) if meaning is None]

    def provides(self, mapped: Mapping[str, Meaning], at: datetime) -> Iterator[pool.PoolRow]:
        """Return what it gives at a moment."""
        if at < self.started_at:
            return
        for row in self.rows(mapped):
            if self.status(at, row) not in GIVING:
                continue
            yield pool.PoolRow(
                self.subscription,
                row.product,
                row.tier,
                row.seats,
                renews=self.renews,
                started_at=self.started_at,
                expires_at=row.expires_at,
                open=row.billed,
            )


class StripeInvoice(Struct, frozen=True, gc=False):
    """An invoice, as all its reports make it."""

    latest: StripeInvoiceReported

    @property
    def invoiced_at(self) -> datetime:
        """Return when it was made; when its last report was, if that does not tell."""
        return self.latest.invoiced_at or self.latest.created


def customer_of(
    linked: Sequence[str],
    subscriptions: Iterable[StripeSubscription],
    at: datetime,
    deleted: Container[str] = (),
) -> str | None:
    """Return which of its customers an account is to Stripe; None when it has none.

    The linked one that has a subscription that has not ended; else whoever has one; else the one
    that was linked last; else whoever had a subscription. Of several, by the newest subscription.

    Args:
        deleted: customers that Stripe holds nothing more about, and that are therefore none.
    """
    linked = [one for one in linked if one not in deleted]
    its = sorted(
        (one for one in subscriptions if one.customer is not None and one.customer not in deleted),
        key=lambda one: (not one.has_ended(at), one.customer in linked, one.started_at, one.id),
    )
    newest = its[-1] if its else None
    if newest is not None and (not linked or not newest.has_ended(at)):
        return newest.customer
    return linked[-1] if linked else None


def subscription_id(stripe_subscription: str) -> str:
    """Return our id for a Stripe subscription; the same one for ever, and no secret."""
    digest = hashlib.sha256(b"keyfold stripe subscription\0" + stripe_subscription.encode())
    return f"kfsub_{letters(digest.digest())}"


# Fold


def with_report(
    known: StripeSubscription | None, report: StripeSubscriptionReported, position: int
) -> StripeSubscription:
    """Return a subscription with one more report, whatever came before it."""
    billed = _billed(known.billed if known else {}, report)
    prices = with_prices_of(known.prices if known else {}, report)
    remapped = known.remapped if known else {}
    if report.history is not None:
        remapped = {**remapped, **report.history.remapped}
        report = replace(report, history=None)
    itemised = report if report.items is not None else None
    if known is None:
        id = report.stripe_subscription
        return StripeSubscription(id, report, itemised, position, billed, prices, remapped)
    latest = max(known.latest, report, key=lambda one: one.rank)
    if itemised is None or known.itemised is None:
        itemised = itemised or known.itemised
    else:
        itemised = max(known.itemised, itemised, key=lambda one: (one.is_end, one.order))
    return replace(
        known,
        latest=latest,
        itemised=itemised,
        position=min(known.position, position),
        billed=billed,
        prices=prices,
        remapped=remapped,
    )


def as_fetched(known: StripeSubscription, report: StripeSubscriptionReported) -> StripeSubscription:
    """Return a subscription as Stripe has just said that it is, whatever was reported of it."""
    itemised = report if report.items is not None else known.itemised
    told = with_report(known, report, known.position)
    return replace(told, latest=report, itemised=itemised)


def with_mapping(known: StripeSubscription, meanings: Mapping[str, Meaning]) -> StripeSubscription:
    """Return a subscription whose prices were given these meanings on record."""
    its = {*known.prices, *(item.price for item in known.items)}
    found = {price: meaning for price, meaning in meanings.items() if price in its}
    return replace(known, remapped={**known.remapped, **found}) if found else known


def _billed(known: dict[str, Billed], report: StripeSubscriptionReported) -> dict[str, Billed]:
    found = dict(known)
    for id, before in (report.history.billed if report.history else {}).items():
        found[id] = max(found.get(id, before), before)
    if report.status not in BILLED:
        return found
    for item in report.items or ():
        if item.id is None or item.quantity is None or item.period_start is None:
            continue
        if item.quantity > QUANTITY_MAX:
            continue
        said = Billed(item.period_start, item.quantity)
        found[item.id] = max(found.get(item.id, said), said)
    return found


def with_invoice(known: StripeInvoice | None, report: StripeInvoiceReported) -> StripeInvoice:
    """Return an invoice with one more report, whatever came before it."""
    if known is not None and known.latest.rank >= report.rank:
        return known
    return StripeInvoice(report)


# Decisions


def reports_to_move(
    known: StripeSubscription, mapped: Mapping[str, Meaning]
) -> list[StripeSubscriptionReported]:
    """Return the reports that make a subscription's state where nothing else of it is on record.

    Args:
        mapped: meanings of prices for the whole account that it leaves.
    """
    only_there = {
        item.price: meaning
        for item, meaning in known.meanings(mapped)
        if item.meaning is None and item.price is not None and meaning is not None
    }
    history = StripeHistory(known.prices, {**only_there, **known.remapped}, known.billed)
    told, itemised = known.latest, known.itemised
    reports = [told] if itemised is None or itemised == told else [itemised, told]
    return [replace(one, history=history) for one in reports]


def with_known_meanings(
    known: StripeSubscription | None, report: StripeSubscriptionReported
) -> StripeSubscriptionReported:
    """Return a report in which no price has another meaning than it had, since the catalog changed.

    A price that was found by another key or product than now is left as it was read: which of the
    two counts is for the fold, which knows the order of the reports.
    """
    if known is None or report.items is None:
        return report
    items = tuple(_with_known_meaning(known, item) for item in report.items)
    return replace(report, items=items) if items != report.items else report


def _with_known_meaning(known: StripeSubscription, item: StripeItem) -> StripeItem:
    before = known.prices.get(item.price or "")
    if before is None or item.meaning is None:
        return item
    if (before.lookup_key, before.stripe_product) != (item.lookup_key, item.stripe_product):
        return item
    return replace(item, meaning=known.meaning_of(item))
