"""The Billing page: the whole account's plan, for those who may manage users.

Source: the guide "Billing & Subscription".
"""

from __future__ import annotations

from flask import Response, url_for

from projections.views.billing import interval_name
from web.app.billing import billing_view
from web.app.context import request_context
from web.html.flash import FlashMessage
from web.html.rendering import page
from web.html.stripe_texts import ENDED, badge, notice
from web.portal import texts
from web.portal.blueprint import bp
from web.portal.session import session_required
from web.portal.subscriptions import account_now


@bp.get("/billing")
@session_required
def show_billing(message: FlashMessage | None = None) -> Response:
    """Show status, seats, this period's total and the latest invoices."""
    request_context().require("manage_users")
    billing = billing_view(account_now())
    view = billing.view
    billed = [product for product in texts.catalog().products if product.billed]
    return page(
        "portal/billing.html",
        message.status if message else 200,
        message=message or notice(view.status),
        view=view,
        billing=billing,
        badge=badge(view.status),
        ended=view.status in ENDED,
        interval_name=interval_name,
        shops=[
            (url_for("portal.show_shop", product=one.id), texts.words(one).buy_plan)
            for one in billed or texts.catalog().products
        ],
        managers=[
            (url_for("portal.show_manager", product=one.id), texts.words(one).manager)
            for one in billed
        ],
    )
