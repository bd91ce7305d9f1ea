"""What accounts have, now or as of a moment."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from flask import Blueprint, Response
from msgspec.structs import replace

from commands.clear_attempts import clear_attempts as clear
from ledger.refusals import FieldError, IdempotencyKeyReused, InvalidRequest, VersionMismatch
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.translation import gettext as _
from projections.views import entitlements as entitled
from projections.views import seat_history as history
from projections.views import subscriptions as subscribed
from projections.views.account_at import AccountAt, Moment, account_at
from projections.views.seats import pools
from projections.views.subscriptions import OneSubscription, ProductView, SubscriptionsView
from web.api.operations import Returns, operation
from web.api.request_fields import Flag, Text, Time, matching
from web.api.requests import PRODUCT_ID, AccountQuery, Reasoned, RepeatableWrite
from web.app.auth import ADMIN, AUDITOR, PORTAL, SUPPORT, only
from web.app.context import request_context, services
from web.app.json_encoding import encode
from web.app.responses import nothing, reply

blueprint = Blueprint("accounts", __name__, url_prefix="/v1")

_PRODUCTS: Final = "products in JSON"
READERS = only(ADMIN, PORTAL, SUPPORT, AUDITOR)


class SubscriptionsQuery(AccountQuery):
    all = Flag("List rows that have ended, too.", load_default=False)


class HistoryQuery(AccountQuery):
    product = Text(
        "Of this product only; of all together if left out.", validate=matching(PRODUCT_ID)
    )
    tier = Text("Of this tier of the product only.", validate=matching(PRODUCT_ID))
    start = Time("The first event, if left out.", data_key="from")
    end = Time("`as_of`, if left out.", data_key="to")


@blueprint.get("/accounts/<account>/subscriptions")
@operation(
    access=READERS,
    query=SubscriptionsQuery,
    responses={200: Returns(SubscriptionsView, "Every product of the catalog.", ("ETag",))},
)
def list_subscriptions(account: str, all: bool, **times: datetime) -> Response:
    """Show an account's subscriptions, by product and tier."""
    found = read_account(account, **times)
    view = subscribed.subscriptions(found, services().catalog, ended=all)
    return reply(_encoded_once(found, view), version=found.version)


@blueprint.get("/accounts/<account>/entitlements")
@operation(
    access=READERS,
    query=AccountQuery,
    responses={200: Returns(entitled.EntitlementsView, "By product and tier.", ("ETag",))},
)
def list_entitlements(account: str, **times: datetime) -> Response:
    """Show what an account may use, and until when."""
    found = read_account(account, **times)
    return reply(entitled.entitlements(found, services().catalog), version=found.version)


@blueprint.get("/accounts/<account>/seat-history")
@operation(
    access=READERS,
    query=HistoryQuery,
    responses={200: Returns(history.SeatHistory, "The steps, oldest first.", ("ETag",))},
)
def get_seat_history(
    account: str,
    product: str | None = None,
    tier: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    **times: datetime,
) -> Response:
    """Show how an account's seats and holders went up and down."""
    found = read_account(account, **times)
    if product is not None:
        check_pools(found.account, product, tier)
    elif tier is not None:
        raise InvalidRequest(FieldError("/tier", _("needs a product")))
    if start is not None and start > (end or found.moment.at):
        raise InvalidRequest(FieldError("/from", _("must not be after the end")))
    view = history.seat_history(
        services().book, account, found.moment, product=product, tier=tier, start=start, end=end
    )
    return reply(view, version=found.version)


def read_account(
    account: str, as_of: datetime | None = None, known_at: datetime | None = None
) -> AccountAt:
    """Return an account at the moment that a query asks about."""
    asked_for = Moment(request_context().now, as_of, known_at)
    # Who asks was looked up in the ledger: that the account is as new as that is new enough.
    return account_at(services().book, account, asked_for, request_context().reached)


def account_version(account: str) -> int:
    """Return an account's version for the `ETag` of what is read after it."""
    return services().book.load(ACCOUNT, account).version


def _encoded_once(found: AccountAt, view: SubscriptionsView) -> SubscriptionsView:
    """Return the view with its products as JSON that is kept as long as they are what is shown."""
    if found.derived is None:
        return view
    kept: tuple[list[ProductView], msgspec.Raw] | None = found.derived.get(_PRODUCTS)
    if kept is None or kept[0] is not view.products:
        kept = view.products, msgspec.Raw(encode(view.products))
        found.derived[_PRODUCTS] = kept
    return replace(view, products=kept[1])


def one_subscription(account: Account, id: str, at: datetime) -> OneSubscription:
    """Return a subscription of an account in the shape of its own page, as it is at a moment."""
    product = services().catalog.product(account.subscriptions[id].product)
    return OneSubscription(subscribed.row_of(account, product, id, at))


def check_pools(account: Account, product: str, tier: str | None) -> None:
    """Hold a product and a tier, if any, to what the catalog or the account has.

    Raises:
        InvalidRequest: neither has them.
    """
    known = pools(account, services().catalog)
    products = list(dict.fromkeys(id for id, _tier in known))
    if product not in products:
        raise InvalidRequest(
            FieldError("/product", _("must be one of %(products)s", products=", ".join(products)))
        )
    tiers = [id for of, id in known if of == product and id is not None]
    if tier is not None and tier not in tiers:
        one_of = f"must be one of {', '.join(tiers)}" if tiers else "must be left out"
        raise InvalidRequest(FieldError("/tier", one_of))


@blueprint.post("/accounts/<account>/attempts/clear")
@operation(
    access=only(SUPPORT, ADMIN),
    headers=RepeatableWrite,
    body=Reasoned,
    responses={
        204: Returns(
            None,
            "The account and its sessions may try.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        )
    },
    refusals=(IdempotencyKeyReused, VersionMismatch),
)
def clear_attempts(account: str, reason: str, **held: Any) -> Response:
    """Let an account try codes again.

    Failed tries so far, in all of its sessions, count no more for this account. Recorded with the
    reason, also when nothing was blocked. Repeated with its Idempotency-Key it lifts no block that
    came since.
    """
    done = clear(services(), request_context(), account, reason, **held)
    return nothing(position=done.position, replayed=done.replayed)
