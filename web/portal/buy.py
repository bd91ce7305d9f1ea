"""Buy pages: what there is already, and Stripe Checkout for more.

Source: the guides "Activating a Cloud POS Key" (Buy or Activate?) and "Subscriptions".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from flask import Response, request, url_for

from commands.gateways.stripe_responses import StripeFault, StripeNotConfigured
from commands.open_stripe_portal import open_stripe_portal
from commands.purchase import Purchase, Quote, Review
from commands.purchase_offers import Offer, Offers, UnitPrice, offers_for, unit_prices
from commands.purchase_review import ReviewNeeded, review_purchase
from commands.start_checkout import start_checkout
from ledger import signing
from ledger.catalog import Product
from ledger.limits import SEATS_MAX
from ledger.refusals import Refusal
from projections.views import subscriptions as subscribed
from projections.views.account_at import AccountAt
from web.app.context import app_state, request_context, services
from web.html import csrf
from web.html.flash import FlashMessage, flashed, good, warn
from web.html.languages import lazy_gettext as _
from web.html.rendering import page, redirect_to
from web.html.stripe_texts import refusal_message
from web.portal import billing, session, subscriptions, texts
from web.portal.blueprint import bp
from web.portal.seats import product_of
from web.portal.session import session_required
from web.portal.subscriptions import account_now

_SEATS: Final = re.compile(r"[0-9]{1,6}")
_MESSAGES: Final = {
    "bought": good(
        _("Thank you."),
        _("Your seats appear as soon as Stripe confirms the payment, usually within seconds."),
    ),
    "changed": good(
        _("Your subscription was raised, and the rest of the period was charged."),
        _("The new seats appear as soon as Stripe confirms them, usually at once."),
    ),
    "canceled": warn(_("Nothing was bought.")),
}
_CHANGED: Final = warn(
    _("Nothing was bought yet: what it costs has changed since you saw it."),
    _("Check the amounts below before you pay."),
    status=409,
)
QUOTE: Final = "purchase quote"


class PricedOffer(NamedTuple):
    """What is for sale, as it is listed.

    Attributes:
        tier: what customers read for it.
        unit: what `per_unit` seats cost each interval; None where that is not known.
        base: what the plan costs that they come on top of, if there is one.
    """

    offer: Offer
    tier: str | None
    unit: UnitPrice | None
    base: UnitPrice | None


@bp.get("/buy/<product>")
@session_required
def show_shop(product: str, message: FlashMessage | None = None) -> Response:
    """Show the current subscriptions of a product, and how to buy more."""
    found, account = product_of(product), account_now()
    view = subscribed.subscriptions(account, texts.catalog())
    offers = _offers(account, found)
    return page(
        "portal/shop.html",
        message=message or flashed(_MESSAGES),
        product=found,
        words=texts.words(found),
        panel=next(one for one in view.products if one.product == product),
        offers=_priced(found, offers.offers),
        closed=refusal_message(offers.refusal) if offers.refusal else None,
        tiers=list(dict.fromkeys((one.tier, found.tier_name(one.tier)) for one in offers.offers)),
        intervals=list(dict.fromkeys(one.interval for one in offers.offers)),
        step=_step(offers.offers),
        adds=any(one.adds for one in offers.offers),
        has=sum({one.tier: one.has for one in offers.offers}.values()),
        may_buy=subscriptions.may_buy(found),
        chosen=request.form,
        once=csrf.new_idempotency_key(),
        seats_max=SEATS_MAX,
    )


@bp.post("/buy/<product>")
@session_required
def buy(product: str) -> Response:
    """Lead to Stripe Checkout, where it is paid; or show what a raise costs, to be agreed to."""
    return _buy(product, Review())


@bp.post("/buy/<product>/pay")
@session_required
def pay(product: str) -> Response:
    """Raise the subscription there is, for the amount that was shown."""
    signed = request.form.get("quote", "")
    return _buy(product, Review(signing.read([_quote_key()], QUOTE, signed, Quote)))


def _buy(product: str, review: Review) -> Response:
    found = product_of(product)
    purchase = _purchase(found)
    key = f"{session.id()}:{csrf.idempotency_key()}"
    try:
        started = start_checkout(services(), request_context(), purchase, key, review=review)
    except ReviewNeeded as needed:
        return _show_review(found, purchase, needed, again=review.quote is not None)
    except (Refusal, StripeFault, StripeNotConfigured) as problem:
        return show_shop(product, refusal_message(problem))
    if started.changed:
        return redirect_to(url_for("portal.show_shop", product=product, done="changed"))
    return redirect_to(started.url)


def _show_review(
    product: Product, purchase: Purchase, needed: ReviewNeeded, *, again: bool
) -> Response:
    """Show what a raise costs now and from then on.

    Args:
        again: it was shown before, and costs something else by now.
    """
    stripe = services().stripe
    assert stripe is not None, "it has just said how the subscription is"
    now = request_context().now
    try:
        found = review_purchase(stripe, purchase.account, needed, purchase.interval, now)
    except StripeFault as problem:
        return show_shop(product.id, refusal_message(problem))
    return page(
        "portal/pay.html",
        message=_CHANGED if again else None,
        product=product,
        words=texts.words(product),
        review=found,
        tier_name=product.tier_name(found.tier),
        quote_signed=signing.sign(_quote_key(), QUOTE, found.quote),
        chosen=purchase,
        once=csrf.new_idempotency_key(),
    )


def _quote_key() -> bytes:
    return app_state().wiring.cookie_key


@bp.post("/stripe")
@session_required
def manage() -> Response:
    """Lead to Stripe's Customer Portal, which leads back to where it was opened."""
    from_billing = request.form.get("back") == "billing"
    back = url_for("portal.show_billing" if from_billing else "portal.show_subscriptions")
    try:
        url = open_stripe_portal(services(), request_context(), session.account(), _address(back))
    except (Refusal, StripeFault, StripeNotConfigured) as problem:
        show = billing.show_billing if from_billing else subscriptions.show_subscriptions
        return show(refusal_message(problem))
    return redirect_to(url)


def _purchase(product: Product) -> Purchase:
    seats = request.form.get("seats", "")
    here = url_for("portal.show_shop", product=product.id)
    return Purchase(
        session.account(),
        product.id,
        request.form.get("tier") or None,
        int(seats) if _SEATS.fullmatch(seats) else 0,
        request.form.get("interval", ""),
        success_url=_address(f"{here}?done=bought"),
        cancel_url=_address(f"{here}?done=canceled"),
    )


def _address(path: str) -> str:
    """Return the whole address of a page of ours, as customers see it from elsewhere."""
    return app_state().wiring.settings.public_url + path


def _offers(found: AccountAt, product: Product) -> Offers:
    if services().stripe is None:
        return Offers([])
    return offers_for(found.account, product, found.moment.now)


def _step(offers: Sequence[Offer]) -> int:
    """Return in what multiples seats can be asked for, whatever is chosen; 1 where that differs."""
    units = {one.per_unit for one in offers}
    return units.pop() if len(units) == 1 else 1


def _priced(product: Product, offers: Sequence[Offer]) -> list[PricedOffer]:
    stripe = services().stripe
    if stripe is None:
        return []
    units = unit_prices(stripe, [one.item or one.price for one in offers])
    bases = unit_prices(stripe, [one.base for one in offers])
    return [
        PricedOffer(one, product.tier_name(one.tier), unit, base)
        for one, unit, base in zip(offers, units, bases, strict=True)
    ]
