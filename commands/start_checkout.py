"""Buy seats at Stripe: at Checkout the first time, after that by a change of what there is.

Stripe Checkout always makes a new subscription. So where an account has one of the product that has
not ended, its quantity is raised, or an item is added to it for another tier; Stripe takes the
payment for the rest of the period at once, and changes nothing if that fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from commands import change_purchased_seats, validation
from commands.checkout_session import begin_session, close_open, line_items
from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_responses import StripeKeyRefused, StripeNotConfigured, StripeRefused
from commands.purchase import (
    INTERVALS,
    Purchase,
    PurchaseRequest,
    Review,
    Started,
    hold_to_version,
    priced,
    success_url,
)
from commands.purchase_review import CheckoutNeeded, hold_to_review
from commands.record_stripe_event import read_retrieved
from commands.retry import retry_on_conflict
from commands.services import Services
from commands.stripe_calls import fetch_subscription, refresh_subscriptions
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.limits import SEATS_MAX
from ledger.loaded import Loaded
from ledger.refusals import UNKNOWN_ITEMS, FieldError, SubscriptionNotChangeable
from ledger.streams.account import purchases
from ledger.streams.account.decisions import expect_version
from ledger.streams.account.purchases import SeatTarget, StripePurchase, Wanted
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.account.stripe_state import StripeState
from ledger.stripe.requests import StripeSeatsAsked
from ledger.stripe.subscriptions import StripeSubscription, as_fetched


def start_checkout(
    services: Services,
    context: RequestContext,
    purchase: Purchase,
    idempotency_key: str | None = None,
    *,
    expected_version: int | None = None,
    review: Review | None = None,
) -> Started:
    """Start a Checkout, or raise the number of seats of a subscription that there is.

    Return where to send the customer, and what was done.

    Asks Stripe how that subscription is before it is changed, and after.

    Args:
        idempotency_key: a request that is repeated with it buys nothing twice. One without is the
            same as another that asks for the same while that is under way.
        expected_version: of the account, if the caller has seen one. A repetition with an
            idempotency key is answered all the same: its own purchase has moved the account.
        review: what somebody has agreed to pay at once, if it is to be agreed to.

    Raises:
        NotPermitted: by a session that may not buy, or not what is billed by its users.
        InvalidRequest: fields that do not fit, or the catalog or Stripe has no such price.
        IdempotencyKeyReused, VersionMismatch: in this order.
        StripeNotConfigured: there is no key for Stripe.
        ReviewNeeded: something would be paid at once that nobody has agreed to.
        CheckoutNeeded: only a preview is asked for, and it would be paid at Checkout.
        SubscriptionNotChangeable, SeatsFollowHolders: in this order.
        StripeUnavailable: whether Stripe did it is not known; the same request finds out.
        StripeRefused, StripeKeyRefused: nothing was changed.
        LedgerBusy: another change of the same subscription is under way.
    """
    product = services.catalog.product(purchase.product)
    of_catalog = validation.product_and_tier(services.catalog, purchase.product, purchase.tier)
    of_itself = _errors(services, purchase)
    if of_itself:
        validation.refuse_if([*of_catalog, *of_itself])
    context.require("buy")
    validation.permit_product(services.catalog, context, purchase.product)
    wanted = _wanted(services, purchase, idempotency_key)
    account = services.book.load(ACCOUNT, purchase.account)
    mine = purchases.repeated(account.state.stripe.purchases, wanted)
    if mine is None or wanted.request is None:
        expect_version(account.version, expected_version)
    if services.stripe is None:
        validation.refuse_if(of_catalog)
        raise StripeNotConfigured
    if of_catalog:
        # It may have left the catalog since: what was bought then is answered all the same.
        again = _again(services.stripe, purchase, account, mine)
        if again is not None:
            return again
        validation.refuse_if(of_catalog)
    assert product is not None
    request = PurchaseRequest(
        services, context, services.stripe, purchase, product, wanted, expected_version, review
    )
    return retry_on_conflict(lambda: _attempt(request))


def _errors(services: Services, purchase: Purchase) -> list[FieldError]:
    known = purchase.interval in INTERVALS
    return [
        *validation.account(purchase.account),
        *validation.no_code(services, "/account", purchase.account),
        *validation.within("/seats", purchase.seats, SEATS_MAX),
        *([] if known else [FieldError("/interval", f"must be one of {', '.join(INTERVALS)}")]),
    ]


def _wanted(services: Services, purchase: Purchase, idempotency_key: str | None) -> Wanted:
    return Wanted(
        purchase.product,
        purchase.tier,
        purchase.seats,
        purchase.interval,
        fingerprint=codes.digest(services.request_key, msgspec.json.encode(purchase).decode()),
        request=(
            codes.digest(services.request_key, "purchase", purchase.account, idempotency_key)
            if idempotency_key
            else None
        ),
    )


class FetchedSubscription(NamedTuple):
    """A subscription as Stripe had it.

    Attributes:
        asked_before: what had been asked of Stripe for it before it was fetched. If that has
            changed since, the subscription may have, too.
        object: Stripe's own.
        subscription: as that makes it.
    """

    asked_before: tuple[StripePurchase, ...]
    object: dict[str, Any]
    subscription: StripeSubscription


@dataclass
class _Asked:
    """What Stripe was asked already, so that it need not be asked again.

    Attributes:
        fetched: subscriptions to be changed, by id.
        unlisted: ids of subscriptions that were fetched since not all of their items are known.
        checkouts: by subscription, the Checkouts that it is from.
        over: Checkouts that nobody can pay at any more.
        all_fetched: whether all subscriptions of the account's customers were.
    """

    fetched: dict[str, FetchedSubscription] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    checkouts: dict[str, list[str]] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    all_fetched: bool = False


def _attempt(request: PurchaseRequest) -> Started:
    already = _Asked()
    while True:
        account, mine = _load(request)
        again = _again(request.stripe, request.purchase, account, mine)
        if again is not None:
            return again
        target = _target(request, account.state.stripe, already.fetched)
        if target is not None and _close_open(request, account, already):
            continue  # nothing may be paid for there as well
        if (target is None or target.item is None) and _fetch_beside(request, account, already):
            continue
        if mine is not None and mine.under_way:
            id = mine.stripe_subscription
        elif target is not None:
            id = target.subscription.id
        else:
            if already.all_fetched and _is_preview(request):
                raise CheckoutNeeded(line_items(request))
            began = begin_session(request, account, already.over) if already.all_fetched else None
            if began is not None:
                return began
            refresh_subscriptions(request.services, request.context, request.stripe, account)
            already.all_fetched = True
            continue
        changed = _change(request, account, mine, target, id, already)
        if changed is not None:
            return changed


def _target(
    request: PurchaseRequest, side: StripeState, fetched: Mapping[str, FetchedSubscription]
) -> SeatTarget | None:
    """Return where seats are added, by what is known or was just fetched."""
    seen = {id: one.subscription for id, one in fetched.items()}
    its = [seen.get(id, known) for id, known in side.subscriptions.items()]
    return purchases.find_seat_target(its, side.mapped, request.wanted, request.context.now)


def _change(
    request: PurchaseRequest,
    account: Loaded[Account],
    mine: StripePurchase | None,
    target: SeatTarget | None,
    id: str,
    already: _Asked,
) -> Started | None:
    """Change the subscription of a target, or recover what was asked of a subscription before.

    Returns:
        None where Stripe was asked about anything: then the account is to be loaded again.

    Raises:
        LedgerBusy: another change of the same subscription is under way.
        ReviewNeeded: as `start_checkout`.
        VersionMismatch, SubscriptionNotChangeable, SeatsFollowHolders, InvalidRequest: in this
            order.
        StripeUnavailable, StripeRefused, StripeKeyRefused: as `change_purchased_seats.carry_out`.
    """
    services, context, stripe, purchase, _, wanted, *_ = request
    asked = purchases.of(account.state.stripe.purchases, id)
    fetched = already.fetched.get(id)
    if fetched is None or fetched.asked_before != asked:
        found = fetch_subscription(services, lambda: context, stripe, purchase.account, id)
        known = account.state.stripe.subscriptions[id]
        read = read_retrieved(services, context, found)
        already.fetched[id] = FetchedSubscription(
            asked, found.object, as_fetched(known, read[0]) if read else known
        )
        return None
    begun = next((one for one in asked if one.under_way), None)
    if begun is not None:
        outcome = change_purchased_seats.recover(request, begun, fetched.object, mine=begun == mine)
        if outcome == "done" and begun == mine:
            return _answer(purchase, begun, services.book.head(), replayed=True)
        if outcome is not None:
            return None
    else:
        assert target is not None
        hold_to_version(request, account)
        price = priced(request, base=False) if target.item is None else None
        facts = purchases.ask(target, wanted, price, context.now)
        if request.review is not None:
            facts = hold_to_review(request, request.review, facts, target.subscription)
        recorded = services.book.append(context, Change(account, facts)).loaded[0]
        begun = recorded.state.stripe.purchases[recorded.version]
    return _answer(purchase, begun, change_purchased_seats.carry_out(request, begun))


def _fetch_beside(request: PurchaseRequest, account: Loaded[Account], already: _Asked) -> bool:
    """Hold the sale of something new against all that the account may have of it already.

    Open Checkouts are closed if nothing may be sold.

    Returns:
        Whether Stripe was asked how a subscription is: then the account is to be loaded again.

    Raises:
        SubscriptionNotChangeable: it would be paid for twice.
        StripeUnavailable: no answer.
    """
    side, now = account.state.stripe, request.context.now
    its = side.subscriptions.values()
    try:
        if _fetch_unlisted(request, side, already.unlisted):
            return True
        purchases.refuse_beside_lost(its, side.mapped, request.wanted, now)
        _refuse_beside_bought(request, side, already.checkouts)
    except SubscriptionNotChangeable:
        _close_open(request, account, already)
        raise
    return False


def _is_preview(request: PurchaseRequest) -> bool:
    return request.review is not None and request.review.preview


def _close_open(request: PurchaseRequest, account: Loaded[Account], already: _Asked) -> bool:
    return not _is_preview(request) and close_open(request, account, already.over)


def _fetch_unlisted(request: PurchaseRequest, side: StripeState, fetched: set[str]) -> bool:
    """Fetch a subscription whose items are not all known; return whether there was one.

    Args:
        fetched: ids of those that were fetched before; added to here.

    Raises:
        SubscriptionNotChangeable: Stripe has not told them either. It may have the product, and
            then it would be paid for twice.
        StripeUnavailable: no answer.
    """
    services, context, stripe, purchase, *_ = request
    its = side.subscriptions.values()
    id = next((one.id for one in its if one.lacks_items and not one.has_ended(context.now)), None)
    if id is None:
        return False
    if id in fetched:
        raise SubscriptionNotChangeable(id, UNKNOWN_ITEMS)
    fetched.add(id)
    with contextlib.suppress(StripeRefused, StripeKeyRefused):
        fetch_subscription(services, lambda: context, stripe, purchase.account, id)
    return True


def _refuse_beside_bought(
    request: PurchaseRequest, side: StripeState, checkouts: dict[str, list[str]]
) -> None:
    """Refuse to sell the product again to who bought it at Checkout, by a price unknown now.

    Args:
        checkouts: by subscription, what Stripe was asked already; added to here.

    Raises:
        SubscriptionNotChangeable: as `purchases.refuse_beside_bought`.
    """
    known, wanted, now = side.subscriptions.values(), request.wanted, request.context.now
    for one in purchases.perhaps_bought(known, side.mapped, side.purchases, wanted, now):
        if one.id not in checkouts:
            checkouts[one.id] = request.stripe.checkouts_of(one.id)
        purchases.refuse_beside_bought(one, side.mapped, side.purchases, checkouts[one.id], wanted)


def _load(request: PurchaseRequest) -> tuple[Loaded[Account], StripePurchase | None]:
    """Return the account, and what the same request began before; not on what left it since."""
    account = request.services.book.load(ACCOUNT, request.purchase.account)
    side = account.state.stripe
    mine = purchases.repeated(side.purchases, request.wanted)
    if mine and mine.under_way and mine.stripe_subscription not in side.subscriptions:
        change_purchased_seats.recover_moved(request, mine)
        return _load(request)
    return account, mine


def _answer(
    purchase: Purchase, asked: StripePurchase, position: int, *, replayed: bool = False
) -> Started:
    fact = asked.fact
    assert isinstance(fact, StripeSeatsAsked)
    return Started(
        success_url(purchase),
        "quantity" if fact.item else "item",
        fact.stripe_subscription,
        fact.seats_after,
        position,
        replayed,
    )


def _again(
    stripe: StripeGateway,
    purchase: Purchase,
    account: Loaded[Account],
    known: StripePurchase | None,
) -> Started | None:
    """Return what the same request was answered before; None if something is still to be done.

    A Checkout that is open is not looked at here: what the account has by now goes first.
    """
    if known is None or known.under_way:
        return None
    if isinstance(known.fact, StripeSeatsAsked):
        return _answer(purchase, known, account.head, replayed=True)
    session = stripe.checkout(known.fact.checkout)
    if session["status"] != "complete":
        return None
    url, bought = success_url(purchase), session["subscription"]
    return Started(url, None, bought, known.fact.seats, account.head, replayed=True)
