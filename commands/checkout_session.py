"""Sessions at Stripe Checkout: begun, on record, and never two open for one product."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeFault, StripeRefused, StripeUnavailable
from commands.open_stripe_portal import own_customer
from commands.purchase import PurchaseRequest, Started, hold_to_version, priced
from commands.record_stripe_event import record_retrieved
from commands.retry import retry_on_conflict
from commands.stripe_draft import Draft
from commands.stripe_ownership import begin
from ledger import codes
from ledger.loaded import Loaded
from ledger.refusals import FieldError, InvalidRequest, VersionMismatch
from ledger.streams.account import purchases
from ledger.streams.account.purchases import StripePurchase
from ledger.streams.account.state import Account
from ledger.stripe.pending_calls import UNDER_WAY_MAX
from ledger.stripe.reader import ACCOUNT_FIELD
from ledger.stripe.requests import StripeCheckoutStarted

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def checkout_of(started: StripePurchase) -> str:
    """Return the id of the Checkout session that was started."""
    assert isinstance(started.fact, StripeCheckoutStarted)
    return started.fact.checkout


def close_open(request: PurchaseRequest, account: Loaded[Account], over: set[str]) -> bool:
    """Let every Checkout for the product be over; return whether any might have been open.

    Of one that was paid for its subscription is on record then.

    Args:
        over: Checkouts that are known to be over; added to here.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: one may still be open.
    """
    its = _perhaps_open(request, account, over)
    for one in its:
        _end(request, _find(request, one))
        over.add(checkout_of(one))
    return bool(its)


def _perhaps_open(
    request: PurchaseRequest, account: Loaded[Account], over: set[str]
) -> list[StripePurchase]:
    known = account.state.stripe.purchases
    its = purchases.open_checkouts(known, request.purchase.product, request.context.now)
    return [one for one in its if checkout_of(one) not in over]


def _find(request: PurchaseRequest, started: StripePurchase) -> dict[str, Any] | None:
    """Return a Checkout as Stripe has it; None for one of another Stripe account, or mode."""
    try:
        return request.stripe.checkout(checkout_of(started))
    except StripeRefused as refused:
        if not refused.is_missing:
            raise
        return None


def _sells_the_same(
    request: PurchaseRequest, started: StripePurchase, session: dict[str, Any], customer: str | None
) -> bool:
    return (
        session["status"] == "open"
        and started.fact.fingerprint == request.wanted.fingerprint
        and session["customer"] == customer
    )


def _end(request: PurchaseRequest, session: dict[str, Any] | None) -> None:
    """Let a Checkout be over; of one that was paid for, record the subscription."""
    services, context, stripe, *_ = request
    if session is None:
        return  # nobody pays there for this account
    if session["status"] == "open":
        with contextlib.suppress(StripeRefused):  # it was paid for, or expired, just now
            stripe.expire_checkout(session["id"])
        session = stripe.checkout(session["id"])
    if session["status"] == "open":
        raise StripeUnavailable("a Checkout for the same product is open, and cannot be expired")
    if session["subscription"] is not None:
        record_retrieved(services, context, stripe.subscription(session["subscription"]))


def begin_session(
    request: PurchaseRequest, account: Loaded[Account], over: set[str]
) -> Started | None:
    """Begin a Checkout, or return the one that is open and sells the same to the same customer.

    Args:
        over: Checkouts that are known to be over; any other may be open. Added to here.

    Returns:
        None where it has to be decided anew what is sold: a Checkout for the product was open that
        sells something else, or was paid for; or another was begun at the same time.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: one may still be open; none was begun.
    """
    services, context, stripe, purchase, _, wanted, *_ = request
    customer = own_customer(services, account, context.now)
    params = _session(request, customer)
    its = _perhaps_open(request, account, over)
    for one in its:
        session = _find(request, one)
        if session is not None and _sells_the_same(request, one, session, customer):
            seats = purchase.seats
            return Started(session["url"], None, None, seats, account.head, replayed=True)
        _end(request, session)
        over.add(checkout_of(one))
    if its:
        return None
    hold_to_version(request, account)
    try:
        session = _start(request, account, params)
    except StripeRefused as refused:
        if customer is None or refused.param != "customer":
            raise
        # It was deleted at Stripe since; Checkout makes another.
        session = _start(request, account, _session(request, None))
    fact = StripeCheckoutStarted(
        checkout=session["id"],
        product=purchase.product,
        tier=purchase.tier,
        seats=purchase.seats,
        interval=purchase.interval,
        fingerprint=wanted.fingerprint,
        request=wanted.request,
    )
    # Its address is handed out only once it is on record: the next request must know of it.
    try:
        position = _record(request, fact, over)
    except VersionMismatch:
        _drop(stripe, fact.checkout)
        raise
    if position is None:
        _drop(stripe, fact.checkout)
        return None
    return Started(session["url"], None, None, purchase.seats, position)


def _start(
    request: PurchaseRequest, account: Loaded[Account], params: dict[str, Any]
) -> dict[str, Any]:
    # By the version: whoever asks for the same at the same time gets the same session, as does a
    # repetition; once it is on record, Stripe must not answer with it again. And by the time: for a
    # day Stripe may answer a key with the failure that it answered first.
    nonce = f"{account.version} {(request.context.now - _EPOCH) // UNDER_WAY_MAX}"
    text = msgspec.json.encode(params).decode()
    key = codes.digest(
        request.services.request_key, "checkout", request.purchase.account, nonce, text
    )
    return request.stripe.start_checkout(params, f"keyfold-{key}")


def _drop(stripe: StripeGateway, checkout: str) -> None:
    with contextlib.suppress(StripeFault):  # nobody has its address
        stripe.expire_checkout(checkout)


def _record(request: PurchaseRequest, fact: StripeCheckoutStarted, over: set[str]) -> int | None:
    """Record that a Checkout was begun; None if another of the product may be open by now.

    Raises:
        VersionMismatch: another has written to the account meanwhile.
    """
    services, context, account = request.services, request.context, request.purchase.account

    def attempt() -> int | None:
        draft = Draft(services)
        loaded = draft.account(account)
        side = loaded.state.stripe
        if any(
            getattr(one.fact, "checkout", None) == fact.checkout for one in side.purchases.values()
        ):
            return loaded.head
        for one in purchases.open_checkouts(side.purchases, fact.product, context.now):
            if checkout_of(one) not in over:
                return None
        hold_to_version(request, loaded)
        draft.put_first(loaded)
        draft.add(loaded, fact)
        begin(draft, fact.checkout, account)
        return draft.append(context).position

    return retry_on_conflict(attempt)


def _session(request: PurchaseRequest, customer: str | None) -> dict[str, Any]:
    """Return the parameters of a Checkout session.

    Source: docs/stripe.md, "Buying".
    """
    purchase = request.purchase
    named = {ACCOUNT_FIELD: purchase.account}
    params: dict[str, Any] = {
        "mode": "subscription",
        "client_reference_id": purchase.account,
        "line_items": line_items(request),
        "subscription_data": {"metadata": named, "billing_mode": {"type": "flexible"}},
        "metadata": named,
        "allow_promotion_codes": True,
        "success_url": purchase.success_url,
        "cancel_url": purchase.cancel_url,
    }
    return params if customer is None else {"customer": customer, **params}


def line_items(request: PurchaseRequest) -> list[dict[str, Any]]:
    """Return what a Checkout sells.

    Raises:
        InvalidRequest: it is not for sale, or not in this number.
    """
    product, seats = request.product, request.purchase.seats
    items = []
    if any(price.base for price in product.prices):
        items.append({"price": priced(request, base=True).price, "quantity": 1})
        seats = max(seats - product.included, 0)
    if seats:
        by = priced(request, base=False)
        if seats % by.per_unit:
            raise InvalidRequest(FieldError("/seats", f"must be a multiple of {by.per_unit}"))
        items.append({"price": by.price, "quantity": seats // by.per_unit})
    return items
