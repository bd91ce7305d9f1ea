"""The Billing page: the whole account's plan, for those who may manage users.

Source: the guide "Billing & Subscription".
"""

from __future__ import annotations

from flask import Response, url_for

from ledger.catalog import Product
from projections.views.billing import interval_name
from web.app.billing import billing_view
from web.app.context import request_context, services
from web.html.flash import Saying
from web.html.rendering import page
from web.html.stripe_texts import ENDED, badge, notice
from web.portal import texts
from web.portal.subscriptions import account_now


def show_billing() -> Response:
    """Show status, seats, this period's total and the latest invoices."""
    return show(None)


def show(said: Saying | None) -> Response:
    """Show the page, with what came of a form that was sent from it."""
    request_context().require("manage_users")
    view = billing_view(account_now())
    billed = [product for product in services().catalog.products if product.billed]
    return page(
        "billing.html",
        said.status if said else 200,
        said=said or notice(view.status),
        view=view,
        badge=badge(view.status),
        ended=view.status in ENDED,
        interval_name=interval_name,
        shops=_shops(billed or list(services().catalog.products)),
        managers=_managers(billed),
    )


def _shops(products: list[Product]) -> list[tuple[str, str]]:
    """Answer where a subscription is started, with what the button says."""
    return [
        (url_for("portal.show_shop", product=product.id), texts.words(product).buy_plan)
        for product in products
    ]


def _managers(products: list[Product]) -> list[tuple[str, str]]:
    return [
        (url_for("portal.show_manager", product=product.id), texts.words(product).manager)
        for product in products
    ]
