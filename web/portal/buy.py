"""Buy pages: what there is already, and Stripe Checkout for more.

Source: the guides "Activating a Cloud POS Key" (Buy or Activate?) and "Subscriptions".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from flask import Response, request, url_for

from commands.gateways.stripe_responses import StripeFault, StripeNotConfigured
from commands.open_stripe_portal import open_stripe_portal
from commands.purchase import INTERVALS, Purchase
from commands.start_checkout import start_checkout
from ledger.catalog import Interval, Product
from ledger.limits import SEATS_MAX
from ledger.refusals import Refusal
from projections.views import subscriptions as subscribed
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
        _("Your seats are here as soon as Stripe has told us, usually within seconds."),
    ),
    "changed": good(
        _("Your subscription was raised, and the rest of the period was charged."),
        _("The new seats are here as soon as Stripe has told us, usually at once."),
    ),
    "canceled": warn(_("Nothing was bought.")),
}


class Offer(NamedTuple):
    """A tier that is for sale, or the whole of a product without tiers, and how it can be paid."""

    tier: str | None
    name: str | None
    intervals: list[Interval]


@bp.get("/buy/<product>")
@session_required
def show_shop(product: str, message: FlashMessage | None = None) -> Response:
    """Show the current subscriptions of a product, and how to buy more."""
    found = product_of(product)
    view = subscribed.subscriptions(account_now(), texts.catalog())
    return page(
        "portal/shop.html",
        message=message or flashed(_MESSAGES),
        product=found,
        words=texts.words(found),
        panel=next(one for one in view.products if one.product == product),
        offers=_offers(found),
        may_buy=subscriptions.may_buy(found),
        chosen=request.form,
        once=csrf.new_idempotency_key(),
        seats_max=SEATS_MAX,
    )


@bp.post("/buy/<product>")
@session_required
def buy(product: str) -> Response:
    """Lead to Stripe Checkout; or back, where a subscription there is was raised at once."""
    purchase = _purchase(product_of(product))
    key = f"{session.id()}:{csrf.idempotency_key()}"
    try:
        started = start_checkout(services(), request_context(), purchase, key)
    except (Refusal, StripeFault, StripeNotConfigured) as problem:
        return show_shop(product, refusal_message(problem))
    if started.changed:
        return redirect_to(url_for("portal.show_shop", product=product, done="changed"))
    return redirect_to(started.url)


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


def _offers(product: Product) -> list[Offer]:
    if services().stripe is None:
        return []
    offers = []
    for tier in product.tier_ids:
        sold = {price.interval for price in product.prices_of(tier) if price.interval}
        intervals = [interval for interval in INTERVALS if interval in sold]
        if intervals:
            offers.append(Offer(tier, product.tier_name(tier), intervals))
    return offers
