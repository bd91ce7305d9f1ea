"""Buy seats at Stripe: at Checkout the first time, after that by a change of what there is.

Stripe Checkout always makes a new subscription. So where an account has one of the product that has
not ended, its quantity is raised, or an item is added to it for another tier; Stripe takes the
payment for the rest of the period at once, and changes nothing if that fails.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from commands import checks
from commands.change_seats import (
    Look,
    carry_out,
    look,
    look_for_others,
    settle,
    settle_moved,
)
from commands.deciding import deciding
from commands.gateways.stripe import (
    StripeFault,
    StripeGateway,
    StripeNotConfigured,
    StripeRefused,
    StripeUnavailable,
)
from commands.open_stripe_portal import own_customer
from commands.ports import Ports
from commands.record_stripe_event import record_retrieved
from commands.stripe_ownership import Draft, begin
from ledger import codes
from ledger.book import Change, Loaded
from ledger.catalog import Interval, Product
from ledger.events import Stamp
from ledger.limits import SEATS_MAX
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams import stripe_purchases as purchases
from ledger.streams.account import ACCOUNT
from ledger.streams.account_state import Account
from ledger.streams.stripe import StripeCheckoutStarted, StripeSeatsAsked
from ledger.streams.stripe_purchases import Place, Priced, StripePurchase, Wanted
from ledger.streams.stripe_side import StripeSide
from ledger.stripe_objects import ACCOUNT_FIELD

INTERVALS: Final[tuple[Interval, ...]] = get_args(Interval)
# Stripe puts the session's id in its place when it sends the customer back.
SESSION_PLACEHOLDER: Final = "{CHECKOUT_SESSION_ID}"

Changed = Literal["quantity", "item"]


class Purchase(NamedTuple):
    """What is to be bought: so many seats more, paid every month or year.

    Attributes:
        success_url, cancel_url: where the customer is led to afterwards; the caller has held them
            to the list of those allowed.
    """

    account: str
    product: str
    tier: str | None
    seats: int
    interval: str
    success_url: str
    cancel_url: str


class Started(NamedTuple):
    """Where to send the customer, and what was done.

    Attributes:
        url: Checkout's, a secret of the customer's; or the caller's own `success_url`, where there
            was nothing more to pay.
        changed: what was changed at once; None where the customer is to pay first.
        stripe_subscription: that was changed; None while there is none yet.
        seats: that the subscription has of the product and tier after this, in all.
        replayed: the same request had been carried out before, and this is its answer.
    """

    url: str
    changed: Changed | None
    stripe_subscription: str | None
    seats: int
    position: int
    replayed: bool = False


class _Buying(NamedTuple):
    ports: Ports
    stamp: Stamp
    stripe: StripeGateway
    purchase: Purchase
    product: Product
    wanted: Wanted


def start_checkout(
    ports: Ports, stamp: Stamp, purchase: Purchase, idempotency_key: str | None = None
) -> Started:
    """Start a Checkout, or raise the number of seats of a subscription that there is.

    Asks Stripe how that subscription is before it is changed, and after.

    Args:
        idempotency_key: a request that is repeated with it buys nothing twice. One without is the
            same as another that asks for the same while that is under way.

    Raises:
        NotPermitted: by a session that may not buy, or not what is billed by its users.
        InvalidRequest: fields that do not fit, or the catalog or Stripe has no such price.
        StripeNotConfigured: there is no key for Stripe.
        IdempotencyKeyReused, SubscriptionNotChangeable, SeatsFollowHolders: in this order.
        StripeUnavailable: whether Stripe did it is not known; the same request finds out.
        StripeRefused, StripeKeyRefused: nothing was changed.
        LedgerBusy: another change of the same subscription is under way.
    """
    checks.refuse_if(_errors(ports, purchase))
    stamp.require("buy")
    checks.permit_product(ports.catalog, stamp, purchase.product)
    if ports.stripe is None:
        raise StripeNotConfigured
    product = ports.catalog.product(purchase.product)
    assert product is not None
    buying = _Buying(
        ports, stamp, ports.stripe, purchase, product, _wanted(ports, purchase, idempotency_key)
    )
    return deciding(lambda: _attempt(buying))


def _errors(ports: Ports, purchase: Purchase) -> list[FieldError]:
    known = purchase.interval in INTERVALS
    return [
        *checks.account(purchase.account),
        *checks.no_code(ports, "/account", purchase.account),
        *checks.product_and_tier(ports.catalog, purchase.product, purchase.tier),
        *checks.within("/seats", purchase.seats, SEATS_MAX),
        *([] if known else [FieldError("/interval", f"must be one of {', '.join(INTERVALS)}")]),
    ]


def _wanted(ports: Ports, purchase: Purchase, idempotency_key: str | None) -> Wanted:
    return Wanted(
        purchase.product,
        purchase.tier,
        purchase.seats,
        purchase.interval,
        fingerprint=codes.digest(ports.request_key, msgspec.json.encode(purchase).decode()),
        request=(
            codes.digest(ports.request_key, "purchase", purchase.account, idempotency_key)
            if idempotency_key
            else None
        ),
    )


def _attempt(buying: _Buying) -> Started:
    ports, stamp, stripe, purchase, _, wanted = buying
    looks: dict[str, Look] = {}
    sold_by: dict[str, list[str]] = {}
    others_known = False
    over: set[str] = set()  # Checkouts that nobody can pay at any more
    while True:
        account, mine = _load(buying)
        now = stamp.now
        again = _again(buying, account, mine) or _open_one(buying, account, over, now)
        if again is not None:
            return again
        account = ports.book.load(ACCOUNT, purchase.account)  # a Checkout may have been paid for
        side = account.state.stripe
        place = _place(buying, account, looks, now)
        if place is None or place.item is None:
            purchases.refuse_beside_lost(side.subscriptions.values(), side.mapped, wanted, now)
            _refuse_beside_bought(buying, side, sold_by, now)
        if mine is not None and mine.under_way:
            id = mine.stripe_subscription
        elif place is not None:
            id = place.subscription.id
        else:
            began = _begin(buying, account, over) if others_known else None
            if began is not None:
                return began
            look_for_others(ports, stamp, stripe, account)
            others_known = True
            continue
        asked_for = purchases.of(side.purchases, id)
        if id not in looks or looks[id].before != asked_for:
            looked = look(ports, stamp, stripe, purchase.account, id)
            looks = {**looks, id: looked} if looked else looks
            continue
        begun = next((one for one in asked_for if one.under_way), None)
        if begun is not None:
            done = _settle(buying, begun, looks[id], mine=begun == mine)
            if done is not None:
                return done
            continue
        assert place is not None
        facts = purchases.ask(place, wanted, _price_to_add(buying, place), now)
        asked = ports.book.append(stamp, Change(account, facts)).loaded[0]
        return _change(buying, asked.state.stripe.purchases[asked.version])


def _refuse_beside_bought(
    buying: _Buying, side: StripeSide, checkouts: dict[str, list[str]], now: datetime
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


def _load(buying: _Buying) -> tuple[Loaded[Account], StripePurchase | None]:
    """Return the account, and what the same request began before; not on what left it since."""
    ports, stamp, stripe, purchase, _, wanted = buying
    account = ports.book.load(ACCOUNT, purchase.account)
    side = account.state.stripe
    mine = purchases.repeated(side.purchases, wanted)
    if mine and mine.under_way and mine.stripe_subscription not in side.subscriptions:
        settle_moved(ports, stamp, stripe, purchase.account, mine)
        return _load(buying)
    return account, mine


def _place(
    buying: _Buying, account: Loaded[Account], looks: dict[str, Look], now: datetime
) -> Place | None:
    """Answer where seats are added, by what is known or was just seen."""
    side = account.state.stripe
    seen = {id: one.subscription for id, one in looks.items()}
    subscriptions = [seen.get(id, known) for id, known in side.subscriptions.items()]
    return purchases.find_place(subscriptions, side.mapped, buying.wanted, now)


def _price_to_add(buying: _Buying, place: Place) -> Priced | None:
    return _priced(buying, base=False) if place.item is None else None


def _settle(buying: _Buying, asked: StripePurchase, look: Look, *, mine: bool) -> Started | None:
    """Find out what became of a change; None when something else is to be tried."""
    ports, stamp, _, purchase, *_ = buying
    outcome = settle(ports, stamp, purchase.account, asked, look.found, mine=mine)
    if outcome is None:
        return _change(buying, asked)
    if outcome == "done" and mine:
        return _answer(purchase, asked, ports.book.head(), replayed=True)
    return None


def _change(buying: _Buying, asked: StripePurchase) -> Started:
    ports, stamp, stripe, purchase, *_ = buying
    position = carry_out(ports, stamp, stripe, purchase.account, asked)
    return _answer(purchase, asked, position)


def _answer(
    purchase: Purchase, asked: StripePurchase, position: int, *, replayed: bool = False
) -> Started:
    fact = asked.fact
    assert isinstance(fact, StripeSeatsAsked)
    return Started(
        _success_url(purchase),
        "quantity" if fact.item else "item",
        fact.stripe_subscription,
        fact.seats_after,
        position,
        replayed,
    )


def _success_url(purchase: Purchase) -> str:
    return purchase.success_url.replace(SESSION_PLACEHOLDER, "")


def _again(
    buying: _Buying, account: Loaded[Account], known: StripePurchase | None
) -> Started | None:
    """Answer what the same request was answered before; None if something is still to be done."""
    if known is None or known.under_way:
        return None
    if isinstance(known.fact, StripeSeatsAsked):
        return _answer(buying.purchase, known, account.head, replayed=True)
    session = buying.stripe.checkout(known.fact.checkout)
    if session["status"] == "expired":
        return None
    url = session["url"] or _success_url(buying.purchase)
    bought = session["subscription"]
    return Started(url, None, bought, known.fact.seats, account.head, replayed=True)


# Checkout


def _checkout_of(started: StripePurchase) -> str:
    assert isinstance(started.fact, StripeCheckoutStarted)
    return started.fact.checkout


def _open_one(
    buying: _Buying, account: Loaded[Account], over: set[str], now: datetime
) -> Started | None:
    """Answer a Checkout for the product that is open and sells the same; no other is open then."""
    known = account.state.stripe.purchases
    for one in purchases.open_checkouts(known, buying.purchase.product, now):
        if _checkout_of(one) not in over:
            handed_out = _hand_out(buying, account, one)
            if handed_out is not None:
                return handed_out
            over.add(_checkout_of(one))
    return None


def _hand_out(buying: _Buying, account: Loaded[Account], started: StripePurchase) -> Started | None:
    """Answer a Checkout that is open and sells the same, so that nobody pays at two of them.

    One that sells anything else of the product is expired: None. One that is paid for is None as
    well, and its subscription is on record then.

    Raises:
        StripeUnavailable, StripeRefused, StripeKeyRefused: it may still be open; nothing was begun.
    """
    ports, stamp, stripe, purchase, *_ = buying
    id = _checkout_of(started)
    try:
        session = stripe.checkout(id)
        if session["status"] == "open" and started.fact.fingerprint == buying.wanted.fingerprint:
            return Started(session["url"], None, None, purchase.seats, account.head, replayed=True)
        if session["status"] == "open":
            with contextlib.suppress(StripeRefused):  # it was paid for, or expired, just now
                stripe.expire_checkout(id, f"keyfold-expire-{id}")
            session = stripe.checkout(id)
    except StripeRefused as refused:
        if refused.code != "resource_missing":
            raise
        return None  # of another Stripe account, or mode: nobody pays there for this one
    if session["status"] == "open":
        raise StripeUnavailable("a Checkout for the same product is open, and cannot be expired")
    if session["subscription"] is not None:
        record_retrieved(ports, stamp, stripe.subscription(session["subscription"]))
    return None


def _begin(buying: _Buying, account: Loaded[Account], over: set[str]) -> Started | None:
    """Begin a Checkout; None if another for the same product was begun at the same time.

    Args:
        over: Checkouts that are known to be over; any other may be open.
    """
    ports, stamp, stripe, purchase, _, wanted = buying
    now = stamp.now
    customer = own_customer(ports, account, now)
    params = _session(buying, customer)
    try:
        session = _start(buying, account, params)
    except StripeRefused as refused:
        if customer is None or refused.param != "customer":
            raise
        # It was deleted at Stripe since; Checkout makes another.
        session = _start(buying, account, _session(buying, None))
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
    position = _record(ports, stamp, purchase.account, fact, over)
    if position is None:
        with contextlib.suppress(StripeFault):  # nobody has its address
            stripe.expire_checkout(fact.checkout, f"keyfold-expire-{fact.checkout}")
        return None
    return Started(session["url"], None, None, purchase.seats, position)


def _start(buying: _Buying, account: Loaded[Account], params: dict[str, Any]) -> dict[str, Any]:
    # By the version: whoever asks for the same at the same time gets the same session, as does a
    # repetition; once it is on record, Stripe must not answer with it again.
    nonce = str(account.version)
    text = msgspec.json.encode(params).decode()
    key = codes.digest(buying.ports.request_key, "checkout", buying.purchase.account, nonce, text)
    return buying.stripe.start_checkout(params, f"keyfold-{key}")


def _record(
    ports: Ports, stamp: Stamp, account: str, fact: StripeCheckoutStarted, over: set[str]
) -> int | None:
    """Record that a Checkout was begun; None if another of the product may be open by now."""

    def attempt() -> int | None:
        draft = Draft(ports)
        loaded = draft.account(account)
        side = loaded.state.stripe
        if any(
            getattr(one.fact, "checkout", None) == fact.checkout for one in side.purchases.values()
        ):
            return loaded.head
        now = stamp.now
        for one in purchases.open_checkouts(side.purchases, fact.product, now):
            if _checkout_of(one) not in over:
                return None
        draft.put_first(loaded)
        draft.add(loaded, fact)
        begin(draft, fact.checkout, account)
        return draft.append(stamp).position

    return deciding(attempt)


def _session(buying: _Buying, customer: str | None) -> dict[str, Any]:
    """Answer the parameters of a Checkout session.

    Source: docs/stripe.md, "Buying".
    """
    purchase = buying.purchase
    named = {ACCOUNT_FIELD: purchase.account}
    params: dict[str, Any] = {
        "mode": "subscription",
        "client_reference_id": purchase.account,
        "line_items": _line_items(buying),
        "subscription_data": {"metadata": named, "billing_mode": {"type": "flexible"}},
        "metadata": named,
        "allow_promotion_codes": True,
        "success_url": purchase.success_url,
        "cancel_url": purchase.cancel_url,
    }
    return params if customer is None else {"customer": customer, **params}


def _line_items(buying: _Buying) -> list[dict[str, Any]]:
    product, seats = buying.product, buying.purchase.seats
    items = []
    if any(price.base for price in product.prices):
        items.append({"price": _priced(buying, base=True).price, "quantity": 1})
        seats = max(seats - product.included, 0)
    if seats:
        priced = _priced(buying, base=False)
        if seats % priced.per_unit:
            raise InvalidRequest(FieldError("/seats", f"must be a multiple of {priced.per_unit}"))
        items.append({"price": priced.price, "quantity": seats // priced.per_unit})
    return items


# Prices


def _priced(buying: _Buying, *, base: bool) -> Priced:
    """Answer the price that the catalog sells by, as Stripe knows it.

    Raises:
        InvalidRequest: the catalog has none, or Stripe does not know it; the message has the mend.
    """
    purchase, what = buying.purchase, "base plan" if base else "price"
    prices = buying.product.prices_of(purchase.tier)
    found = next(
        (one for one in prices if one.base is base and one.interval == purchase.interval), None
    )
    if found is None:
        known = [one.interval for one in prices if one.base is base and one.interval]
        if known:
            detail = f"must be {' or '.join(known)}: the catalog has no other {what} for it"
            raise InvalidRequest(FieldError("/interval", detail))
        detail = f"is not for sale: the catalog has no {what} for it with an `interval`"
        raise InvalidRequest(FieldError("/product", detail))
    id = buying.stripe.price_of(found)
    if id is None:
        name = f"with the lookup key {found.lookup_key}"
        if found.lookup_key is None:
            name = f"of {found.stripe_product}, paid every {found.interval}"
        detail = f"is not for sale: Stripe has no active price {name}; make one there, or mend the"
        raise InvalidRequest(FieldError("/product", f"{detail} catalog"))
    return Priced(id, found.seats)
