"""Change the seats of a Stripe subscription that there is, once.

What is asked for was recorded before (`ledger.streams.account.purchases`); here Stripe is asked,
and its answer recorded.
"""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeKeyRefused, StripeRefused, StripeUnavailable
from commands.record_stripe_event import record_retrieved
from commands.retry import LedgerBusy, retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.streams.account import purchases
from ledger.streams.account.decisions import ACCOUNT
from ledger.streams.account.purchases import UNDER_WAY_MAX, StripePurchase
from ledger.streams.account.state import Account
from ledger.stripe.facts import RETRIEVED, StripeSubscriptionReported
from ledger.stripe.objects import read_subscription
from ledger.stripe.reader import Origin
from ledger.stripe.requests import PurchaseOutcome, StripeSeatsAsked
from ledger.stripe.subscriptions import StripeSubscription, with_report

# On a Stripe item: the last change that this ledger made to it.
MARK: Final = "keyfold_change"


class Look(NamedTuple):
    """A subscription as Stripe had it.

    Attributes:
        before: what had been asked of Stripe for it before the look. If that has changed since, the
            subscription may have, too.
        found: Stripe's own object.
    """

    before: tuple[StripePurchase, ...]
    found: dict[str, Any]
    subscription: StripeSubscription


def carry_out(
    services: Services,
    context: RequestContext,
    stripe: StripeGateway,
    account: str,
    asked: StripePurchase,
) -> int:
    """Ask Stripe for a change, and record what became of it; answer the ledger's position.

    Raises:
        StripeUnavailable: the change may have been made; it stays under way.
        StripeRefused, StripeKeyRefused: it was not made.
    """
    try:
        _ask(services, stripe, account, asked)
    except (StripeRefused, StripeKeyRefused) as refused:
        reason = refused.code if isinstance(refused, StripeRefused) else None
        _close(services, context, account, asked, "refused", reason)
        raise
    # It is made, and paid. That the ledger has it at once is welcome; Stripe will tell of it, too.
    with contextlib.suppress(StripeUnavailable, StripeRefused, StripeKeyRefused):
        look(services, context, stripe, account, asked.stripe_subscription)
    return _close(services, context, account, asked, "done")


def settle(
    services: Services,
    context: RequestContext,
    account: str,
    asked: StripePurchase,
    found: dict[str, Any],
    *,
    mine: bool,
) -> PurchaseOutcome | None:
    """Find out what became of a change that was not answered; None if it is to be carried out.

    Args:
        found: its subscription, as Stripe has it now.
        mine: it is the same request's.

    Raises:
        LedgerBusy: another request's, and Stripe may be at it.
    """
    item = _item(services, account, asked, found)
    if _mark_of(item) == mark(services, account, asked):
        _close(services, context, account, asked, "done")
        return "done"
    if abs(context.now - asked.asked_at) <= UNDER_WAY_MAX:
        if not mine:
            raise LedgerBusy
        if _is_as_before(asked, item):
            return None
    # It is not on its way any more. Asked for again it goes under another key: for a day Stripe may
    # answer this one with the failure that it answered first.
    _close(services, context, account, asked, "given_up")
    return "given_up"


def settle_moved(
    services: Services,
    context: RequestContext,
    stripe: StripeGateway,
    account: str,
    asked: StripePurchase,
) -> None:
    """Close a change that was not answered, of a subscription that has left the account since.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: whether it was made is not known; it
            stays under way.
    """
    made = False
    try:
        found = stripe.subscription(asked.stripe_subscription)
        record_retrieved(services, context, found)
        item = _item(services, account, asked, found.object)
        made = _mark_of(item) == mark(services, account, asked)
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
    _close(services, context, account, asked, "done" if made else "given_up")


def look(
    services: Services, context: RequestContext, stripe: StripeGateway, account: str, id: str
) -> Look | None:
    """Ask Stripe how a subscription is, and record that if it is news; None if it is not ours."""
    side = services.book.load(ACCOUNT, account).state.stripe
    known = side.subscriptions.get(id)
    context = _after(context, known)
    found = stripe.subscription(id)
    origin = Origin(RETRIEVED, found.at, retrieved_at=context.now)
    report = read_subscription(found.object, origin, services.catalog).report
    record_retrieved(services, context, found)
    if known is None:
        return None
    if not isinstance(report, StripeSubscriptionReported):
        return Look(purchases.of(side.purchases, id), found.object, known)
    itemised = report if report.items is not None else known.itemised
    seen = with_report(known, report, known.position)
    now = replace(seen, told=report, itemised=itemised)
    return Look(purchases.of(side.purchases, id), found.object, now)


def look_for_others(
    services: Services, context: RequestContext, stripe: StripeGateway, account: Loaded[Account]
) -> None:
    """Ask Stripe for all subscriptions of an account's customers; the newest may be unheard of."""
    for customer in account.state.stripe.customers:
        # One that was deleted at Stripe has none.
        with contextlib.suppress(StripeRefused):
            for found in stripe.subscriptions(customer=customer):
                known = account.state.stripe.subscriptions.get(found.object["id"])
                record_retrieved(services, _after(context, known), found)


def _after(context: RequestContext, known: StripeSubscription | None) -> RequestContext:
    """Return a context whose look at a subscription ranks after the one that is known.

    A request reads the clock once, and Stripe's own has only seconds.
    """
    looked_at = known.told.retrieved_at if known else None
    if looked_at is None or looked_at < context.now:
        return context
    return context._replace(now=looked_at + timedelta(microseconds=1))


def mark(services: Services, account: str, asked: StripePurchase) -> str:
    """Answer what tells one change from all others: Stripe's idempotency key, and on the item."""
    when = asked.asked_at.isoformat()
    return codes.digest(services.request_key, "stripe change", account, str(asked.version), when)


def _ask(services: Services, stripe: StripeGateway, account: str, asked: StripePurchase) -> None:
    fact = asked.fact
    assert isinstance(fact, StripeSeatsAsked)
    marked = mark(services, account, asked)
    params: dict[str, Any] = {
        "quantity": fact.quantity,
        "metadata": {MARK: marked},
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }
    key = f"keyfold-{marked}"
    if fact.item is not None:
        stripe.set_quantity(fact.item, params, key)
        return
    subscription = {"subscription": fact.stripe_subscription, "price": fact.price}
    stripe.add_item({**subscription, **params}, key)


def _close(
    services: Services,
    context: RequestContext,
    account: str,
    asked: StripePurchase,
    outcome: PurchaseOutcome,
    reason: str | None = None,
) -> int:
    def attempt() -> int:
        loaded = services.book.load(ACCOUNT, account)
        facts = purchases.answer(loaded.state.stripe.purchases, asked, outcome, reason)
        return services.book.append(context, Change(loaded, facts)).position

    return retry_on_conflict(attempt)


def _item(
    services: Services, account: str, asked: StripePurchase, found: dict[str, Any]
) -> dict[str, Any] | None:
    """Answer the item that a change is about; of one that adds an item, that with its price."""
    fact = asked.fact
    assert isinstance(fact, StripeSeatsAsked)
    items: list[dict[str, Any]] = found["items"]["data"]
    if fact.item is not None:
        return next((one for one in items if one["id"] == fact.item), None)
    marked = mark(services, account, asked)
    return next((one for one in items if _mark_of(one) == marked), None) or next(
        (one for one in items if one["price"]["id"] == fact.price), None
    )


def _mark_of(item: dict[str, Any] | None) -> str | None:
    return ((item or {}).get("metadata") or {}).get(MARK)


def _is_as_before(asked: StripePurchase, item: dict[str, Any] | None) -> bool:
    fact = asked.fact
    assert isinstance(fact, StripeSeatsAsked)
    return bool((item or {}).get("quantity", 0) == fact.quantity_before)
