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
from ledger.translation import gettext as _
from ledger.translation import ngettext
from projections.text.formatting import day, minute, place, seats
from projections.text.words import word

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
            stayed = {row.subscription for row, _seats in after.rows}
            gone = [
                row.subscription for row, _seats in before.rows if row.subscription not in stayed
            ]
            rows = _all(catalog, account, (), product, tier, at)
            lost = [one for one in rows if one.subscription in gone]
            names = _(" and ").join(one.name for one in lost)
            return Loss(
                step,
                ngettext(
                    "On %(time)s %(num)s %(place)s holder will be over,"
                    " because %(names)s ends then",
                    "On %(time)s %(num)s %(place)s holders will be over,"
                    " because %(names)s ends then",
                    after.over,
                    time=minute(step),
                    place=place(catalog, product, tier),
                    names=names,
                ),
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
    name, status = _("key %(key)s", key=one.masked), one.status(at)
    of = {"key": one.masked, "seats": given}
    match status:
        case "active":
            text = _("Key %(key)s gives %(seats)s until %(day)s", **of, day=day(one.expires_at))
        case "scheduled":
            text = _("Key %(key)s gives %(seats)s from %(day)s on", **of, day=day(one.started_at))
        case "suspended":
            assert one.suspended_at
            text = _(
                "Key %(key)s gives none of its %(seats)s: it was suspended on %(day)s",
                **of,
                day=day(one.suspended_at),
            )
        case "expired":
            text = _(
                "Key %(key)s gave %(seats)s until it expired on %(day)s",
                **of,
                day=day(one.expires_at),
            )
        case "terminated":
            text = _(
                "Key %(key)s gave %(seats)s until it was terminated on %(day)s",
                **of,
                day=day(one.ended_at),
            )
        case "transferred":
            text = _(
                "Key %(key)s gave %(seats)s until it was transferred to account %(account)s"
                " on %(day)s",
                **of,
                account=one.transferred_to,
                day=day(one.ended_at),
            )
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
    sentence = _(
        "%(text)s; it had %(number)s until %(day)s",
        text=found.sentence,
        number=before,
        day=day(event.occurred_at),
    )
    return found._replace(sentence=sentence, positions=(*found.positions, event.position))


def _of_stripe(catalog: Catalog, one: StripeSubscription, row: StripeRow, at: datetime) -> Provided:
    given = seats(catalog, row.seats, row.product, row.tier)
    name = _("Stripe subscription %(subscription)s", subscription=one.id)
    status = one.status(at, row)
    gone = one.ends_at if one.ends_at is not None and at >= one.ends_at else None
    text = _("%(name)s is %(status)s: %(seats)s", name=name, status=word(status), seats=given)
    if gone is not None:
        text = _(
            "%(name)s gave %(seats)s until it ended on %(day)s",
            name=name,
            seats=given,
            day=day(gone),
        )
    elif status == "unconfirmed" and row.period_end is not None:
        text = _(
            "%(name)s gives none of its %(seats)s: its period ended on %(day)s,"
            " and Stripe has not said what came of it",
            name=name,
            seats=given,
            day=day(row.period_end),
        )
    return Provided(one.subscription, name, text, gone, (one.position,))
