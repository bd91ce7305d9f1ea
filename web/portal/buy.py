"""Buy pages: what there is already, and Stripe Checkout for more.

Source: the guides "Activating a Cloud POS Key" (Buy or Activate?) and "Subscriptions".
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from flask import Response, abort, request, url_for

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
from web.html.flash import Saying
from web.html.languages import gettext as _
from web.html.rendering import page, see
from web.html.stripe_texts import refused
from web.portal import billing, subscriptions, texts
from web.portal.seats import product_of
from web.portal.session import visit
from web.portal.subscriptions import account_now

_ONCE: Final = re.compile(r"[0-9a-f]{24}")
_SEATS: Final = re.compile(r"[0-9]{1,6}")


class Offer(NamedTuple):
    """A tier that is for sale, or the whole of a product without tiers, and how it can be paid."""

    tier: str | None
    name: str | None
    intervals: list[Interval]


def show_shop(product: str) -> Response:
    """Show the current subscriptions of a product, and how to buy more."""
    return _page(product_of(product), _done(request.args.get("done")))


def buy(product: str) -> Response:
    """Lead to Stripe Checkout; or back, where a subscription there is was raised at once."""
    found = product_of(product)
    once = request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        abort(400)
    try:
        started = start_checkout(
            services(), request_context(), _purchase(found), f"{visit().id}:{once}"
        )
    except (Refusal, StripeFault, StripeNotConfigured) as problem:
        return _page(found, refused(problem))
    if started.changed:
        return see(url_for("portal.show_shop", product=found.id, done="changed"))
    return see(started.url)


def manage() -> Response:
    """Lead to Stripe's Customer Portal, which leads back to where it was opened."""
    from_billing = request.form.get("back") == "billing"
    back = "portal.show_billing" if from_billing else "portal.show_subscriptions"
    try:
        url = open_stripe_portal(
            services(), request_context(), visit().account, _address(url_for(back))
        )
    except (Refusal, StripeFault, StripeNotConfigured) as problem:
        said = refused(problem)
        return billing.show(said) if from_billing else subscriptions.show(said)
    return see(url)


def _purchase(product: Product) -> Purchase:
    seats = request.form.get("seats", "")
    here = url_for("portal.show_shop", product=product.id)
    return Purchase(
        visit().account,
        product.id,
        request.form.get("tier") or None,
        int(seats) if _SEATS.fullmatch(seats) else 0,
        request.form.get("interval", ""),
        success_url=_address(f"{here}?done=bought"),
        cancel_url=_address(f"{here}?done=canceled"),
    )


def _address(path: str) -> str:
    """Answer the whole address of a page of ours, as customers see it from elsewhere."""
    return app_state().wiring.settings.public_url + path


def _page(product: Product, said: Saying | None) -> Response:
    view = subscribed.subscriptions(account_now(), services().catalog)
    return page(
        "shop.html",
        said.status if said else 200,
        said=said,
        product=product,
        words=texts.words(product),
        panel=next(one for one in view.products if one.product == product.id),
        offers=_offers(product),
        may_buy=subscriptions.may_buy(product),
        chosen=request.form,
        once=csrf.once(),
        seats_max=SEATS_MAX,
    )


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


def _done(done: str | None) -> Saying | None:
    match done:
        case "bought":
            return Saying(
                "good",
                _("Thank you."),
                [_("Your seats are here as soon as Stripe has told us, usually within seconds.")],
            )
        case "changed":
            return Saying(
                "good",
                _("Your subscription was raised, and the rest of the period was charged."),
                [_("The new seats are here as soon as Stripe has told us, usually at once.")],
            )
        case "canceled":
            return Saying("warn", _("Nothing was bought."))
    return None
