"""The Subscriptions page: every active plan of the account, wherever it came from.

Source: the guide "Subscriptions".
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

from flask import Response, url_for

from commands.purchase_offers import follows_holders
from ledger.catalog import Product
from ledger.streams.account import subscriptions as rules
from ledger.streams.account.state import Subscription
from projections.views import subscriptions as subscribed
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.subscriptions import ProductView
from web.app.context import request_context, services
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.portal import resellers, session, texts
from web.portal.blueprint import bp
from web.portal.session import session_required

SOON: Final = timedelta(days=30)
_MESSAGES: Final = {
    "scheduled": good(
        _l("Your key is activated."), _l("Its seats begin when what you have now ends.")
    ),
}


class Panel(NamedTuple):
    """What is shown of one product.

    Attributes:
        tiers: whether the rows have tiers to tell them apart.
        shop: where more is bought; None for who may not, or for a product that left the catalog.
        users: where seats are taken that are billed then, and not bought beforehand.
        activate: where a key is entered; None as for `shop`, but that buying need not be permitted.
        ending: what keys gave that ends soon, and has not been renewed.
        ended: what a key gave that ended last, where nothing gives seats now nor will.
    """

    view: ProductView
    words: texts.Words
    tiers: bool
    shop: str | None
    users: str | None = None
    activate: str | None = None
    ending: Sequence[Subscription] = ()
    ended: Subscription | None = None


@bp.get("/")
@session_required
def show_first() -> Response:
    """Lead to the page that a customer sees first."""
    return redirect_to(url_for("portal.show_subscriptions"))


@bp.get("/subscriptions")
@session_required
def show_subscriptions(message: FlashMessage | None = None) -> Response:
    """Show a panel for each product, and in it a row for each subscription and tier."""
    found = account_now()
    view = subscribed.subscriptions(found, texts.catalog())
    panels = [_panel(one, found) for one in view.products]
    return page(
        "portal/subscriptions.html",
        message=message or flashed(_MESSAGES),
        panels=panels,
        reseller=resellers.by_subscription(found.account),
        contact=resellers.contact,
    )


def account_now() -> AccountAt:
    """Return the session's account as it is."""
    return account_at(services().book, session.account(), Moment(request_context().now))


def may_buy(product: Product) -> bool:
    """Return whether the session may buy a product, or raise what there is of it."""
    return session.may("manage_users" if product.billed else "buy")


def _panel(view: ProductView, found: AccountAt) -> Panel:
    product = texts.catalog().product(view.product)
    closed = product is None or not may_buy(product)
    shop = None if closed else url_for("portal.show_shop", product=view.product)
    named = product or Product(id=view.product, name=view.name, prefix="", seat="seat")
    tiers = any(row.tier is not None for row in (*view.rows, *view.upcoming))
    panel = Panel(view, texts.words(named), tiers, shop, **_of_keys(view, product, found))
    if shop and product and follows_holders(found.account, product, found.moment.now):
        users = url_for("portal.show_manager", product=view.product)
        return panel._replace(shop=None, users=users)
    return panel


def _of_keys(view: ProductView, product: Product | None, found: AccountAt) -> dict[str, Any]:
    """Return what is to be known of keys' subscriptions, and where another key is entered."""
    now, account = found.moment.now, found.account
    activate = None
    if product is not None and (not product.billed or session.may("manage_users")):
        activate = url_for("portal.show_key_form", product=product.id)
    ending = [one for one in rules.ending(account, now + SOON, now) if one.product == view.product]
    over = [
        one
        for one in account.subscriptions.values()
        if one.product == view.product and one.status(now) == "expired"
    ]
    ended = max(over, key=lambda one: one.expires_at, default=None)
    if view.rows or view.upcoming:
        ended = None
    return {"activate": activate, "ending": ending, "ended": ended}
