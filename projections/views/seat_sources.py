"""What provides an account's seats at a moment, what did before, and what will be lost next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ledger.catalog import Catalog
from ledger.events import AnyEvent
from ledger.streams.account.facts import SubscriptionChange
from ledger.streams.account.state import GOES_ON, Account, Subscription
from ledger.stripe.facts import StripeSubscriptionReported
from ledger.stripe.subscriptions import StripeRow, StripeSubscription, with_report
from projections.text.formatting import counted, day, minute, place, seats

# An account of many years has many that ended; the last few tell why there are none.
EARLIER_MAX: Final = 5


class Provided(NamedTuple):
    """Something that gives seats of a product and tier, or did.

    Attributes:
        name: what people know it by: `key POS-••••-••••-7K2M`.
        ended_at: when it ended; None for one that gives seats, or will when it is paid.
        positions: of the events that made it what it is.
    """

    subscription: str
    name: str
    sentence: str
    ended_at: datetime | None
    positions: tuple[int, ...]


class Loss(NamedTuple):
    """What will be lost next, if nothing more happens."""

    at: datetime
    sentence: str
    positions: tuple[int, ...]


def giving(
    catalog: Catalog,
    account: Account,
    events: Sequence[AnyEvent],
    product: str,
    tier: str | None,
    at: datetime,
) -> list[Provided]:
    """Return what gives seats at a moment, in the order in which they are filled."""
    found = {one.subscription: one for one in _all(catalog, account, events, product, tier, at)}
    return [found[row.subscription] for row, _ in account.pool(product, tier, at).rows]


def earlier(
    catalog: Catalog,
    account: Account,
    events: Sequence[AnyEvent],
    product: str,
    tier: str | None,
    at: datetime,
) -> list[Provided]:
    """Return what gives none at a moment, and did or would: the last that ended first, a few."""
    giving = {row.subscription for row, _ in account.pool(product, tier, at).rows}
    found = [
        one
        for one in _all(catalog, account, events, product, tier, at)
        if one.subscription not in giving
    ]
    found.sort(key=lambda one: one.ended_at or at, reverse=True)
    return found[:EARLIER_MAX]


def next_loss(
    catalog: Catalog, account: Account, product: str, tier: str | None, at: datetime
) -> Loss | None:
    """Return when more holders of a pool will be over than now, and because of what."""
    now = account.pool(product, tier, at)
    before = now
    for step in sorted(step for step in account.steps() if step > at):
        after = account.pool(product, tier, step)
        if after.over > now.over:
            stayed = {row.subscription for row, _ in after.rows}
            gone = [row.subscription for row, _ in before.rows if row.subscription not in stayed]
            rows = _all(catalog, account, (), product, tier, at)
            lost = [one for one in rows if one.subscription in gone]
            names = " and ".join(one.name for one in lost)
            holders = counted(after.over, f"{place(catalog, product, tier)} holder")
            return Loss(
                step,
                f"On {minute(step)} {holders} will be over, because {names} ends then",
                tuple(position for one in lost for position in one.positions),
            )
        before = after
    return None


def _all(
    catalog: Catalog,
    account: Account,
    events: Sequence[AnyEvent],
    product: str,
    tier: str | None,
    at: datetime,
) -> Iterator[Provided]:
    told = [event for event in events if isinstance(event.fact, SubscriptionChange)]
    for one in account.subscriptions.values():
        if (one.product, one.tier) == (product, tier):
            yield _of_key(catalog, one, told, at)
    for stripe in account.stripe.subscriptions.values():
        for row in stripe.rows(account.stripe.mapped):
            if (row.product, row.tier) == (product, tier):
                found = _of_stripe(catalog, stripe, row, at)
                yield _with_change(account, found, stripe.id, row, events)


def _of_key(
    catalog: Catalog, one: Subscription, told: Sequence[AnyEvent], at: datetime
) -> Provided:
    given = seats(catalog, one.seats, one.product, one.tier)
    name, status = f"key {one.masked}", one.status(at)
    begun = f"Key {one.masked}"
    match status:
        case "active":
            text = f"{begun} gives {given} until {day(one.expires_at)}"
        case "scheduled":
            text = f"{begun} gives {given} from {day(one.started_at)} on"
        case "suspended":
            assert one.suspended_at
            since = day(one.suspended_at)
            text = f"{begun} gives none of its {given}: it was suspended on {since}"
        case "expired":
            text = f"{begun} gave {given} until it expired on {day(one.expires_at)}"
        case "terminated":
            text = f"{begun} gave {given} until it was terminated on {day(one.ended_at)}"
        case "transferred":
            left = f"it was transferred to account {one.transferred_to} on {day(one.ended_at)}"
            text = f"{begun} gave {given} until {left}"
    positions = [
        event.position
        for event in told
        if isinstance(event.fact, SubscriptionChange) and event.fact.subscription == one.id
    ]
    gone = one.ended_at if status not in GOES_ON else None
    return Provided(one.id, name, text, gone, (one.position, *positions))


def _with_change(
    account: Account,
    found: Provided,
    id: str,
    row: StripeRow,
    events: Sequence[AnyEvent],
) -> Provided:
    """Return what a Stripe subscription provides, also when its number of seats last changed."""
    state: StripeSubscription | None = None
    had, changed = None, None
    for event in events:
        fact = event.fact
        if not isinstance(fact, StripeSubscriptionReported) or fact.stripe_subscription != id:
            continue
        state = with_report(state, fact, event.position)
        rows = state.rows(account.stripe.mapped)
        has = sum(r.seats for r in rows if (r.product, r.tier) == (row.product, row.tier))
        if had is not None and has != had:
            changed = event, had
        had = has
    if changed is None:
        return found
    event, before = changed
    since = f"; it had {before} until {day(event.occurred_at)}"
    return found._replace(
        sentence=found.sentence + since, positions=(*found.positions, event.position)
    )


def _of_stripe(catalog: Catalog, one: StripeSubscription, row: StripeRow, at: datetime) -> Provided:
    given = seats(catalog, row.seats, row.product, row.tier)
    name, status = f"Stripe subscription {one.id}", one.status(at, row)
    gone = one.ends_at if one.ends_at is not None and at >= one.ends_at else None
    text = f"{name} is {status}: {given}"
    if gone is not None:
        text = f"{name} gave {given} until it ended on {day(gone)}"
    elif status == "unconfirmed" and row.period_end is not None:
        text = (
            f"{name} gives none of its {given}: its period ended on {day(row.period_end)},"
            " and Stripe has not said what came of it"
        )
    return Provided(one.subscription, name, text, gone, (one.position,))
