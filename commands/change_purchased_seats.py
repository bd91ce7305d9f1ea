"""Buy seats on a Stripe subscription that there is, by one call of `commands.stripe_calls`.

What is asked for is on record by then (`ledger.streams.account.purchases`). An item is marked with
the last change that this ledger made to it, which tells whether one without an answer was made.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from commands import stripe_calls
from commands.gateways.stripe_responses import StripeFault, StripeKeyRefused, StripeRefused
from commands.purchase import PurchaseRequest
from commands.retry import LedgerBusy
from commands.stripe_calls import CallOutcome, StripeCall, fetch_subscription
from ledger import codes
from ledger.events import Fact
from ledger.streams.account import purchases
from ledger.streams.account.purchases import StripePurchase
from ledger.streams.account.state import Account
from ledger.stripe.pending_calls import may_be_under_way
from ledger.stripe.requests import PurchaseOutcome, StripeSeatsAsked

# In an item's metadata at Stripe.
MARK: Final = "keyfold_change"


def carry_out(request: PurchaseRequest, asked: StripePurchase) -> int:
    """Ask Stripe for a change, and record what became of it; return the ledger's position.

    Raises:
        StripeUnavailable: the change may have been made; it stays under way.
        StripeRefused, StripeKeyRefused: it was not made.
    """
    call = _call(request, asked)
    try:
        outcome, position = stripe_calls.carry_out(request.services, lambda: request.context, call)
    except StripeKeyRefused:
        _record(request, asked, CallOutcome("refused"))
        raise
    if outcome.refused is not None:
        raise outcome.refused
    return position


def recover(
    request: PurchaseRequest, asked: StripePurchase, found: dict[str, Any], *, mine: bool
) -> PurchaseOutcome | None:
    """Find out and return what became of an unanswered change; None if it is to be carried out.

    Args:
        found: its subscription, as Stripe has it now.
        mine: it is the same request's.

    Raises:
        LedgerBusy: another request's, and Stripe may be at it.
    """
    item = _item(request, asked, found)
    if _mark_of(item) == _mark(request, asked):
        _record(request, asked, CallOutcome("found"))
        return "done"
    if may_be_under_way(asked.asked_at, request.context.now):
        if not mine:
            raise LedgerBusy
        if (item or {}).get("quantity", 0) == _fact(asked).quantity_before:
            return None
    _record(request, asked, CallOutcome("given_up"))
    return "given_up"


def recover_moved(request: PurchaseRequest, asked: StripePurchase) -> None:
    """Close a change that was not answered, of a subscription that has left the account since.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: whether it was made is not known; it
            stays under way.
    """
    made = False
    try:
        found = _fetch(request, asked.stripe_subscription)
        made = _mark_of(_item(request, asked, found)) == _mark(request, asked)
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
    _record(request, asked, CallOutcome("found" if made else "given_up"))


def _fetch(request: PurchaseRequest, id: str) -> dict[str, Any]:
    services, context, stripe, purchase, *_ = request
    return fetch_subscription(services, lambda: context, stripe, purchase.account, id).object


def _record(request: PurchaseRequest, asked: StripePurchase, outcome: CallOutcome) -> None:
    stripe_calls.record_outcome(
        request.services, lambda: request.context, _call(request, asked), outcome
    )


def _call(request: PurchaseRequest, asked: StripePurchase) -> StripeCall:
    def facts_of(account: Account, outcome: CallOutcome) -> list[Fact]:
        result = "done" if outcome.result == "found" else outcome.result
        return purchases.answer(account.stripe.purchases, asked, result, outcome.reason)

    return StripeCall(request.purchase.account, lambda: _send(request, asked), facts_of)


def _send(request: PurchaseRequest, asked: StripePurchase) -> None:
    fact, mark = _fact(asked), _mark(request, asked)
    params: dict[str, Any] = {
        "quantity": fact.quantity,
        "metadata": {MARK: mark},
        "proration_behavior": "always_invoice",
        "payment_behavior": "error_if_incomplete",
    }
    if fact.prorated_at is not None:
        params["proration_date"] = int(fact.prorated_at.timestamp())
    key = f"keyfold-{mark}"
    if fact.item is not None:
        request.stripe.set_quantity(fact.item, params, key)
    else:
        subscription = {"subscription": fact.stripe_subscription, "price": fact.price}
        request.stripe.add_item({**subscription, **params}, key)
    # It is made, and paid. That the ledger has it at once is welcome; Stripe will tell of it, too.
    with contextlib.suppress(StripeFault):
        _fetch(request, fact.stripe_subscription)


def _fact(asked: StripePurchase) -> StripeSeatsAsked:
    assert isinstance(asked.fact, StripeSeatsAsked)
    return asked.fact


def _mark(request: PurchaseRequest, asked: StripePurchase) -> str:
    """Return what tells one change from all others: Stripe's idempotency key, and on the item."""
    when = asked.asked_at.isoformat()
    return codes.digest(
        request.services.request_key,
        "stripe change",
        request.purchase.account,
        str(asked.version),
        when,
    )


def _mark_of(item: dict[str, Any] | None) -> str | None:
    return ((item or {}).get("metadata") or {}).get(MARK)


def _item(
    request: PurchaseRequest, asked: StripePurchase, found: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the item that a change is about; of one that adds an item, that with its price."""
    fact = _fact(asked)
    items: list[dict[str, Any]] = found["items"]["data"]
    if fact.item is not None:
        return next((one for one in items if one["id"] == fact.item), None)
    mark = _mark(request, asked)
    return next((one for one in items if _mark_of(one) == mark), None) or next(
        (one for one in items if one["price"]["id"] == fact.price), None
    )
