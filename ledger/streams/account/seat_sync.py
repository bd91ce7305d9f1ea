"""What Stripe has to be told of seats that are billed by the number of their holders.

A product with `seats = "billed"` in the catalog is sold as a base plan, which includes some seats,
and an item for every further one. Nobody is ever refused a seat of it; the item's quantity follows
the holders:

    target = holders - seats of the base plan - seats that keys and other subscriptions provide

A key that was paid for is used up before anything more is billed, and never below nothing.

Stripe bills a quantity at the start of each period, and a rise within one as of now. What was
billed once in a period stays billed until its end, so of each item the most that was billed in the
period counts:

    target above what was billed     `raise`: invoiced at once, and only what is above
    target up to what was billed     `lower`, `restore`: no money moves until the next period
    in a trial                       `adjust`: no money moves until it ends

Stripe reckons a rise from the quantity that it has. So where that was lowered in the period, it is
first restored to what was billed, and raised from there: else the difference would be paid twice.

    billed 5, lowered to 3, target 6      restore to 5 (nothing), raise to 6 (one seat)

Source: docs/seat-sync.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple, get_args

from msgspec.structs import replace

from ledger.catalog import Catalog, Price, Product
from ledger.streams.account.seat_sync_state import LONGEST_WAIT, Refused, SeatSyncs, Unanswered
from ledger.streams.account.state import Account
from ledger.stripe.facts import Meaning, StripeInvoiceReported, StripeItem
from ledger.stripe.pending_calls import may_be_under_way
from ledger.stripe.requests import SeatStep, SeatSyncStarted
from ledger.stripe.subscriptions import StripeSubscription

QUIET_DEFAULT_S: Final = 60

# So near to the end of a period nothing is written: Stripe's clock and ours are two.
BOUNDARY: Final = timedelta(minutes=1)
# What was refused is tried again after an hour, then after two, and so on up to a day.
RETRY_FIRST: Final = timedelta(hours=1)
RETRY_LONGEST: Final = timedelta(days=1)
_RETRY_DOUBLINGS_MAX: Final = 5

# In which the quantity of a subscription may be written; `unconfirmed` once Stripe was asked.
WRITABLE: Final = frozenset({"active", "trialing", "unconfirmed"})
_BY_PREFERENCE: Final = (WRITABLE | {"past_due"}, frozenset({"unpaid", "paused"}))

Outcome = Literal["in_step", "due", "waiting", "left_alone", "unfinished"]
Why = Literal[
    "", "quiet", "refused", "period_ends", "past_due", "unpaid", "paused", "unconfirmed",
    "metered", "no_period", "no_price", "missing", "not_told", "unsettled", "unknown_price",
    "unknown_quantity", "under_way", "other_items",
]  # fmt: skip


class SyncStatus(NamedTuple):
    """How the billed seats of a product stand at a moment.

    Attributes:
        item: that further seats are billed by; None where the subscription has none yet.
        price: of the catalog, by which one can be added; None when there is no need, or no such.
        target, quantity, billed: in units of the item.
        free: in a trial, where nothing is billed.
        unknown: a price that means nothing stands where one of the product may have stood, so that
            nobody can say what is billed already.
        uncounted: ids of the subscriptions of which it is not known how many seats they provide, so
            that nobody can say how many are to be billed.
        idle: a further item, or another subscription, bills units that no holder needs. Only `item`
            is ever written to.
    """

    product: str
    subscription: StripeSubscription
    status: str
    item: StripeItem | None
    price: Price | None
    holders: int
    target: int
    quantity: int
    billed: int
    period_start: datetime | None
    period_end: datetime | None
    free: bool
    unknown: bool = False
    uncounted: tuple[str, ...] = ()
    idle: bool = False


class Verdict(NamedTuple):
    """What there is to do about a standing.

    Attributes:
        step, wanted: when something is due: what, and up to which quantity.
        until: when something waits: for how long.
        why: when something waits, or is left alone.
        unanswered: when a call to Stripe has no answer yet.
    """

    outcome: Outcome
    step: SeatStep | None = None
    wanted: int = 0
    until: datetime | None = None
    why: Why = ""
    unanswered: Unanswered | None = None


# How it stands


def standings(account: Account, catalog: Catalog, now: datetime) -> Iterator[SyncStatus]:
    """Return how each product stands that is billed to this account, in the catalog's order."""
    for product in catalog.products:
        found = standing(account, product, now)
        if found is not None:
            yield found


def standing(account: Account, product: Product, now: datetime) -> SyncStatus | None:
    """Return how a product stands; None when it is not billed to this account.

    Of several subscriptions the first that lives is written to, and what the others provide counts
    as provided.
    """
    if not product.billed:
        return None
    mapped = account.stripe.mapped
    subscription = _written_to(account, product.id, now)
    if subscription is None:
        return None
    parts = list(_parts(subscription, product.id, mapped))
    found = next(((item, means) for item, means in parts if means.per_unit and item.id), None)
    item = found[0] if found else None
    price = None if found else _price_to_add(product, parts)
    per_unit = found[1].per_unit if found else price.seats if price else 1
    provided = sum(means.included for _, means in parts)
    provided += sum(
        means.per_unit * (other.quantity or 0) for other, means in parts if other is not item
    )
    provided += sum(
        row.seats
        for row in account.rows(now)
        if row.product == product.id and row.subscription != subscription.subscription
    )
    holders = sum(used for (of, _), used in account.used.items() if of == product.id)
    timed = item or next((one for one, _ in parts if one.period_start), None)
    return SyncStatus(
        product=product.id,
        subscription=subscription,
        status=_status(subscription, now),
        item=item,
        price=price,
        holders=holders,
        target=-(-max(holders - provided, 0) // per_unit),
        quantity=(item.quantity or 0) if item else 0,
        billed=_billed(account, subscription, item) if item else 0,
        period_start=timed.period_start if timed else None,
        period_end=timed.period_end if timed else None,
        free=subscription.latest.status == "trialing",
        unknown=(item is None and bool(subscription.unmapped(mapped)))
        or _has_lost(account, product, now),
        uncounted=tuple(_uncounted(account, product, now)),
        idle=any(
            (one.quantity or 0) > 0 and provided - holders >= means.per_unit
            for one, means in _billed_beside(account, product, item, now)
        ),
    )


def _billed_beside(
    account: Account, product: Product, item: StripeItem | None, now: datetime
) -> Iterator[tuple[StripeItem, Meaning]]:
    """Return the items by which further seats are billed, beside the one that is written to."""
    for one in account.stripe.subscriptions.values():
        if one.status(now) in _BY_PREFERENCE[0]:
            for other, means in _parts(one, product.id, account.stripe.mapped):
                if means.per_unit and other.usage_type != "metered" and other is not item:
                    yield other, means


def _has_lost(account: Account, product: Product, now: datetime) -> bool:
    """Return whether a subscription that has not ended lost something of a product."""
    needs_base = any(price.base for price in product.prices)
    return any(
        one.has_lost(product.id, None, account.stripe.mapped, needs_base=needs_base)
        for one in account.stripe.subscriptions.values()
        if not one.has_ended(now)
    )


def _uncounted(account: Account, product: Product, now: datetime) -> Iterator[str]:
    """Return the subscriptions that may provide seats of a product, and nobody knows how many."""
    for one in account.stripe.subscriptions.values():
        if one.has_ended(now):
            continue
        its = [
            item
            for item, meaning in one.meanings(account.stripe.mapped)
            if meaning is not None and meaning.product == product.id and meaning.per_unit
        ]
        if one.lacks_items or any(
            item.quantity is None and item.usage_type != "metered" for item in its
        ):
            yield one.id


def _written_to(account: Account, product: str, now: datetime) -> StripeSubscription | None:
    living = [
        one
        for one in account.stripe.subscriptions.values()
        if any(True for _ in _parts(one, product, account.stripe.mapped))
    ]
    for statuses in _BY_PREFERENCE:
        its = [one for one in living if one.status(now) in statuses]
        if its:
            return min(its, key=lambda one: (one.started_at, one.id))
    return None


def _parts(
    subscription: StripeSubscription, product: str, mapped: Mapping[str, Meaning]
) -> Iterator[tuple[StripeItem, Meaning]]:
    for item, meaning in subscription.meanings(mapped):
        if meaning is not None and meaning.billed and meaning.product == product:
            yield item, meaning


def _price_to_add(product: Product, parts: list[tuple[StripeItem, Meaning]]) -> Price | None:
    intervals = {item.interval for item, _ in parts if (item.interval_count or 1) == 1}
    return next(
        (price for price in product.prices if not price.base and price.interval in intervals),
        None,
    )


def _status(subscription: StripeSubscription, now: datetime) -> str:
    # With its collection paused a subscription goes on as `active`, and nothing is collected.
    return "paused" if subscription.latest.pause_behavior else subscription.status(now)


def _billed(account: Account, subscription: StripeSubscription, item: StripeItem) -> int:
    """Return the most of an item that was billed in its period.

    It has been billed what it had while the subscription was paid for, as far as anybody told us;
    and what is on an invoice of the period.
    """
    most = subscription.billed.get(item.id or "")
    quantities = [most.quantity] if most and most.period_start == item.period_start else []
    if subscription.latest.status != "trialing":
        quantities.append(item.quantity or 0)
    for invoice in account.stripe.invoices.values():
        if invoice.latest.stripe_subscription == subscription.id:
            quantities += _on_invoice(invoice.latest, item)
    return max(quantities, default=0)


def _on_invoice(invoice: StripeInvoiceReported, item: StripeItem) -> Iterator[int]:
    for line in invoice.lines:
        counts = invoice.status == "paid" or (invoice.status == "open" and not line.proration)
        of_period = line.item == item.id and line.period_end == item.period_end
        if counts and of_period and item.period_end and (line.amount or 0) > 0:
            yield line.quantity or 0


# What there is to do


def verdict(
    standing: SyncStatus,
    syncs: SeatSyncs,
    now: datetime,
    quiet: timedelta | None,
    *,
    fetched: bool = False,
) -> Verdict:
    """Return what there is to do about a standing.

    Args:
        quiet: for how long seats must not have moved; None to wait for nothing, not even for the
            time after which what was refused is tried again.
        fetched: whether the standing is what Stripe has just said.
    """
    unanswered = syncs.unanswered.get(standing.product)
    if unanswered is not None:
        return Verdict("unfinished", unanswered=unanswered)
    left_alone = _why_left_alone(standing, fetched=fetched)
    if left_alone:
        return Verdict("left_alone", why=left_alone)
    step, wanted = _step(standing)
    if step is None:
        return Verdict("left_alone", why="other_items") if standing.idle else Verdict("in_step")
    if standing.item is None and standing.price is None:
        return Verdict("left_alone", why="no_price")
    due, why = _due(standing, step, syncs, now, quiet, fetched=fetched)
    if now < due:
        return Verdict("waiting", step, wanted, due, why)
    return Verdict("due", step, wanted)


def _why_left_alone(standing: SyncStatus, *, fetched: bool) -> Why:
    if standing.status not in WRITABLE or (fetched and standing.status == "unconfirmed"):
        match standing.status:
            case "past_due" | "unpaid" | "paused" | "unconfirmed" as why:
                return why
            case _:
                return "unsettled"
    if standing.unknown:
        return "unknown_price"
    if standing.uncounted:
        return "unknown_quantity"
    if standing.item is not None and standing.item.usage_type == "metered":
        return "metered"
    return "" if standing.period_start and standing.period_end else "no_period"


def _step(standing: SyncStatus) -> tuple[SeatStep | None, int]:
    target, quantity, billed = standing.target, standing.quantity, standing.billed
    if target == quantity:
        return None, quantity
    if standing.free:
        return "adjust", target
    if target < quantity:
        return "lower", target
    if quantity < billed:
        return "restore", min(target, billed)
    return "raise", target


def _due(
    standing: SyncStatus,
    step: SeatStep,
    syncs: SeatSyncs,
    now: datetime,
    quiet: timedelta | None,
    *,
    fetched: bool,
) -> tuple[datetime, Why]:
    """Return when a step is due, and what it waits for until then."""
    assert standing.period_end is not None
    closes = standing.period_end - BOUNDARY
    # Once the period is over by what we know, only Stripe knows what has become of it.
    if now >= closes and (fetched or now < standing.period_end):
        return max(standing.period_end, now) + BOUNDARY, "period_ends"
    if quiet is None:
        return now, ""
    refused = syncs.refused.get(standing.product)
    # A wait that is longer than any can be was begun by a clock that was ahead: it is over.
    if (
        refused is not None
        and refused.code not in GIVEN_UP
        and refused.started.step == step
        and now < retry_at(refused) <= now + RETRY_LONGEST
    ):
        return retry_at(refused), "refused"
    moved = syncs.moved.get(standing.product)
    if moved is None:
        return now, ""
    due = min(moved.last + quiet, moved.first + LONGEST_WAIT)
    if due > now + LONGEST_WAIT:
        return now, ""
    # What was given back before the end of a period is not billed for the next one.
    return (now, "") if now < closes <= due else (due, "quiet")


def retry_at(refused: Refused) -> datetime:
    """Return when Stripe is asked again for what it refused."""
    wait = RETRY_FIRST * (1 << min(refused.tries - 1, _RETRY_DOUBLINGS_MAX))
    return refused.at + min(wait, RETRY_LONGEST)


# What is recorded


def start(
    standing: SyncStatus, verdict: Verdict, price: str | None, version: int, chance: str
) -> SeatSyncStarted:
    """Return the fact that a step is about to be taken.

    Args:
        price: Stripe's id of the price to add an item of, where there is no item.
        version: that the fact will have in its stream. It makes the idempotency key another one for
            every step, since 5, then 4, then 5 again are three steps, and not two.
        chance: tells ledgers apart, e.g. one from its own backup.
    """
    assert verdict.step is not None
    assert standing.period_start is not None
    item = standing.item.id if standing.item else None
    period = f"{standing.period_start:%Y%m%d%H%M%S}"
    return SeatSyncStarted(
        product=standing.product,
        stripe_subscription=standing.subscription.id,
        item=item,
        price=price,
        period_start=standing.period_start,
        step=verdict.step,
        quantity=standing.quantity,
        wanted=verdict.wanted,
        billed=standing.billed,
        holders=standing.holders,
        idempotency_key=f"seats:{item or standing.subscription.id}:{period}:{version}:{chance}",
    )


GivenUp = Literal[
    "period_over", "status_changed", "quantity_changed", "target_changed", "not_done",
    "subscription_moved",
]  # fmt: skip
# Of what was given up Stripe refused nothing; the key of a step was given up after a day once.
GIVEN_UP: Final = frozenset({*get_args(GivenUp), "key_expired"})


def carry_on(
    unanswered: Unanswered, standing: SyncStatus | None, syncs: SeatSyncs, now: datetime
) -> GivenUp | Literal["again", "under_way"]:
    """Return what becomes of a step that was begun, and that Stripe has not done.

    Args:
        standing: as Stripe has just said; its quantity is not the one that was wanted.

    Returns:
        `again` to make the same call under the same key, which may be on its way;
        `under_way` to wait until it cannot be any more; or why the step is given up. What there is
        to do is decided anew then, under a new key.
    """
    started = unanswered.started
    if standing is None or standing.subscription.id != started.stripe_subscription:
        return "status_changed"
    if standing.status not in WRITABLE:
        return "status_changed"
    if standing.period_start != started.period_start:
        return "period_over"
    others = replace(syncs, unanswered=syncs.unanswered.delete(started.product))
    said = verdict(standing, others, now, None, fetched=True)
    is_due = said.outcome == "due" and (said.step, said.wanted) == (started.step, started.wanted)
    is_due = is_due and standing.quantity == started.quantity
    if may_be_under_way(unanswered.at, now):
        return "again" if is_due else "under_way"
    if standing.quantity != started.quantity:
        return "quantity_changed"
    return "not_done" if is_due else "target_changed"
