"""Buy seats at Stripe: at Checkout the first time, after that by a change of what there is.

Stripe Checkout always makes a new subscription. So where an account has one of the product that has
not ended, its quantity is raised, or an item is added to it for another tier; Stripe takes the
payment for the rest of the period at once, and changes nothing if that fails.
"""

from __future__ import annotations

import contextlib
from datetime import datetime

import msgspec

from commands import validation
from commands.change_seats import (
    Look,
    carry_out,
    look,
    look_for_others,
    settle,
    settle_moved,
)
from commands.checkout_session import begin_session, close_open
from commands.gateways.stripe_responses import StripeKeyRefused, StripeNotConfigured, StripeRefused
from commands.purchase import (
    INTERVALS,
    Buying,
    Purchase,
    Started,
    hold_to_version,
    priced,
    success_url,
)
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.limits import SEATS_MAX
from ledger.loaded import Loaded
from ledger.refusals import UNKNOWN_ITEMS, FieldError, SubscriptionNotChangeable
from ledger.streams.account import purchases
from ledger.streams.account.decisions import ACCOUNT, expect_version
from ledger.streams.account.purchases import Place, Priced, StripePurchase, Wanted
from ledger.streams.account.state import Account
from ledger.streams.account.stripe_state import StripeSide
from ledger.stripe.requests import StripeSeatsAsked


def start_checkout(
    services: Services,
    context: RequestContext,
    purchase: Purchase,
    idempotency_key: str | None = None,
    *,
    expected_version: int | None = None,
) -> Started:
    """Start a Checkout, or raise the number of seats of a subscription that there is.

    Asks Stripe how that subscription is before it is changed, and after.

    Args:
        idempotency_key: a request that is repeated with it buys nothing twice. One without is the
            same as another that asks for the same while that is under way.
        expected_version: of the account, if the caller has seen one. A repetition with an
            idempotency key is answered all the same: its own purchase has moved the account.

    Raises:
        NotPermitted: by a session that may not buy, or not what is billed by its users.
        InvalidRequest: fields that do not fit, or the catalog or Stripe has no such price.
        IdempotencyKeyReused, VersionMismatch: in this order.
        StripeNotConfigured: there is no key for Stripe.
        SubscriptionNotChangeable, SeatsFollowHolders: in this order.
        StripeUnavailable: whether Stripe did it is not known; the same request finds out.
        StripeRefused, StripeKeyRefused: nothing was changed.
        LedgerBusy: another change of the same subscription is under way.
    """
    validation.refuse_if(_errors(services, purchase))
    context.require("buy")
    validation.permit_product(services.catalog, context, purchase.product)
    wanted = _wanted(services, purchase, idempotency_key)
    account = services.book.load(ACCOUNT, purchase.account)
    mine = purchases.repeated(account.state.stripe.purchases, wanted)
    if mine is None or wanted.request is None:
        expect_version(account.version, expected_version)
    if services.stripe is None:
        raise StripeNotConfigured
    product = services.catalog.product(purchase.product)
    assert product is not None
    buying = Buying(services, context, services.stripe, purchase, product, wanted, expected_version)
    return retry_on_conflict(lambda: _attempt(buying))


def _errors(services: Services, purchase: Purchase) -> list[FieldError]:
    known = purchase.interval in INTERVALS
    return [
        *validation.account(purchase.account),
        *validation.no_code(services, "/account", purchase.account),
        *validation.product_and_tier(services.catalog, purchase.product, purchase.tier),
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


def _attempt(buying: Buying) -> Started:
    services, context, stripe, purchase, _, wanted, _ = buying
    looks: dict[str, Look] = {}
    sold_by: dict[str, list[str]] = {}
    others_known = False
    over: set[str] = set()  # Checkouts that nobody can pay at any more
    looked_at: set[str] = set()  # since not all of their items are known
    while True:
        account, mine = _load(buying)
        now = context.now
        again = _again(buying, account, mine)
        if again is not None:
            return again
        side = account.state.stripe
        place = _place(buying, account, looks, now)
        if _asked_on_the_way(buying, account, place, looked_at, sold_by, over, now):
            continue
        if mine is not None and mine.under_way:
            id = mine.stripe_subscription
        elif place is not None:
            id = place.subscription.id
        else:
            began = begin_session(buying, account, over) if others_known else None
            if began is not None:
                return began
            look_for_others(services, context, stripe, account)
            others_known = True
            continue
        asked_for = purchases.of(side.purchases, id)
        if id not in looks or looks[id].before != asked_for:
            looked = look(services, context, stripe, purchase.account, id)
            looks = {**looks, id: looked} if looked else looks
            continue
        begun = next((one for one in asked_for if one.under_way), None)
        if begun is not None:
            done = _settle(buying, begun, looks[id], mine=begun == mine)
            if done is not None:
                return done
            continue
        assert place is not None
        hold_to_version(buying, account)
        facts = purchases.ask(place, wanted, _price_to_add(buying, place), now)
        asked = services.book.append(context, Change(account, facts)).loaded[0]
        return _change(buying, asked.state.stripe.purchases[asked.version])


def _asked_on_the_way(
    buying: Buying,
    account: Loaded[Account],
    place: Place | None,
    looked_at: set[str],
    checkouts: dict[str, list[str]],
    over: set[str],
    now: datetime,
) -> bool:
    """Close what must not be bought as well, and hold the sale of something new against the rest.

    Args:
        place: where seats are to be added. Then nothing may be paid for at an open Checkout.
        looked_at, checkouts, over: see `_looks_beside`.

    Returns:
        Whether Stripe was asked about anything: then the account is to be loaded again.

    Raises:
        SubscriptionNotChangeable, StripeUnavailable: as `_looks_beside`.
    """
    if place is not None and close_open(buying, account, over, now):
        return True
    is_new = place is None or place.item is None
    return is_new and _looks_beside(buying, account, looked_at, checkouts, over, now)


def _looks_beside(
    buying: Buying,
    account: Loaded[Account],
    looked_at: set[str],
    checkouts: dict[str, list[str]],
    over: set[str],
    now: datetime,
) -> bool:
    """Hold the sale of something new against all that the account may have of it already.

    Args:
        looked_at, checkouts: what Stripe was asked already; added to here.
        over: Checkouts that are over; those that are open yet are closed if nothing may be sold.

    Returns:
        Whether Stripe was asked how a subscription is: then the account is to be loaded again.

    Raises:
        SubscriptionNotChangeable: it would be paid for twice.
        StripeUnavailable: no answer.
    """
    side = account.state.stripe
    try:
        if _look_at_unlisted(buying, side, looked_at, now):
            return True
        its = side.subscriptions.values()
        purchases.refuse_beside_lost(its, side.mapped, buying.wanted, now)
        _refuse_beside_bought(buying, side, checkouts, now)
    except SubscriptionNotChangeable:
        close_open(buying, account, over, now)
        raise
    return False


def _look_at_unlisted(buying: Buying, side: StripeSide, looked_at: set[str], now: datetime) -> bool:
    """Look at a subscription whose items are not all known; return whether there was one.

    Args:
        looked_at: ids of those that were looked at before; added to here.

    Raises:
        SubscriptionNotChangeable: a look has not told them either. It may have the product, and
            then it would be paid for twice.
        StripeUnavailable: no answer.
    """
    its = side.subscriptions.values()
    id = next((one.id for one in its if one.lacks_items and not one.has_ended(now)), None)
    if id is None:
        return False
    if id in looked_at:
        raise SubscriptionNotChangeable(id, UNKNOWN_ITEMS)
    looked_at.add(id)
    with contextlib.suppress(StripeRefused, StripeKeyRefused):
        look(buying.services, buying.context, buying.stripe, buying.purchase.account, id)
    return True


def _refuse_beside_bought(
    buying: Buying, side: StripeSide, checkouts: dict[str, list[str]], now: datetime
) -> None:
    """Refuse to sell the product again to who bought it at Checkout, by a price unknown now.

    Args:
        checkouts: by subscription, what Stripe was asked already; added to here.

    Raises:
        SubscriptionNotChangeable: as `purchases.refuse_beside_bought`.
    """
    known, wanted = side.subscriptions.values(), buying.wanted
    for one in purchases.perhaps_bought(known, side.mapped, side.purchases, wanted, now):
        if one.id not in checkouts:
            checkouts[one.id] = buying.stripe.checkouts_of(one.id)
        purchases.refuse_beside_bought(one, side.mapped, side.purchases, checkouts[one.id], wanted)


def _load(buying: Buying) -> tuple[Loaded[Account], StripePurchase | None]:
    """Return the account, and what the same request began before; not on what left it since."""
    services, context, stripe, purchase, _, wanted, _ = buying
    account = services.book.load(ACCOUNT, purchase.account)
    side = account.state.stripe
    mine = purchases.repeated(side.purchases, wanted)
    if mine and mine.under_way and mine.stripe_subscription not in side.subscriptions:
        settle_moved(services, context, stripe, purchase.account, mine)
        return _load(buying)
    return account, mine


def _place(
    buying: Buying, account: Loaded[Account], looks: dict[str, Look], now: datetime
) -> Place | None:
    """Answer where seats are added, by what is known or was just seen."""
    side = account.state.stripe
    seen = {id: one.subscription for id, one in looks.items()}
    subscriptions = [seen.get(id, known) for id, known in side.subscriptions.items()]
    return purchases.find_place(subscriptions, side.mapped, buying.wanted, now)


def _price_to_add(buying: Buying, place: Place) -> Priced | None:
    return priced(buying, base=False) if place.item is None else None


def _settle(buying: Buying, asked: StripePurchase, look: Look, *, mine: bool) -> Started | None:
    """Find out what became of a change; None when something else is to be tried."""
    services, context, _, purchase, *_ = buying
    outcome = settle(services, context, purchase.account, asked, look.found, mine=mine)
    if outcome is None:
        return _change(buying, asked)
    if outcome == "done" and mine:
        return _answer(purchase, asked, services.book.head(), replayed=True)
    return None


def _change(buying: Buying, asked: StripePurchase) -> Started:
    services, context, stripe, purchase, *_ = buying
    position = carry_out(services, context, stripe, purchase.account, asked)
    return _answer(purchase, asked, position)


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
    buying: Buying, account: Loaded[Account], known: StripePurchase | None
) -> Started | None:
    """Return what the same request was answered before; None if something is still to be done.

    A Checkout that is open is not looked at here: what the account has by now goes first.
    """
    if known is None or known.under_way:
        return None
    if isinstance(known.fact, StripeSeatsAsked):
        return _answer(buying.purchase, known, account.head, replayed=True)
    session = buying.stripe.checkout(known.fact.checkout)
    if session["status"] != "complete":
        return None
    url, bought = success_url(buying.purchase), session["subscription"]
    return Started(url, None, bought, known.fact.seats, account.head, replayed=True)
