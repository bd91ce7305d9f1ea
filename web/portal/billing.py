"""The Billing page: the whole account's plan, for those who may manage users.

Source: the guide "Billing & Subscription".
"""

from __future__ import annotations

from flask import Response, url_for

from projections.views.billing import interval_name
from web.app.billing import billing_view
from web.app.context import request_context
from web.html.flash import FlashMessage
from web.html.languages import gettext as _
from web.html.rendering import page
from web.html.stripe_texts import ENDED, Badge, badge, notice
from web.portal import texts
from web.portal.blueprint import bp
from web.portal.session import session_required
from web.portal.subscriptions import account_now


@bp.get("/billing")
@session_required
def show_billing(message: FlashMessage | None = None) -> Response:
    """Show status, seats, this period's total and the latest invoices."""
    request_context().require("manage_users")
    found = account_now()
    billing = billing_view(found)
    view = billing.view
    # Nothing is at Stripe, so that all there is comes from keys.
    prepaid = 0
    if view.status == "none":
        prepaid = sum(row.seats for row in found.account.rows(found.moment.now))
    billed = [product for product in texts.catalog().products if product.billed]
    return page(
        "portal/billing.html",
        message.status if message else 200,
        message=message or notice(view.status),
        view=view,
        billing=billing,
        badge=Badge(_("Prepaid"), "good") if prepaid else badge(view.status),
        prepaid=prepaid,
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
