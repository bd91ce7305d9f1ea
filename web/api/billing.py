"""What accounts buy at Stripe, and pay."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from flask import Blueprint, Response

from commands.open_stripe_portal import open_stripe_portal as open_portal
from commands.preview_purchase import preview_purchase
from commands.purchase import INTERVALS, Purchase, Quote, Review
from commands.purchase_review import ReviewNeeded
from commands.start_checkout import start_checkout as start
from ledger import signing
from ledger.limits import SEATS_MAX
from ledger.refusals import (
    CustomerShared,
    IdempotencyKeyReused,
    NoStripeCustomer,
    PurchasePriceChanged,
    SeatsFollowHolders,
    SubscriptionNotChangeable,
    VersionMismatch,
)
from projections.views.billing import BillingView
from web.api.accounts import READERS, read_account
from web.api.answers import PreviewedPurchase, StartedPurchase, StripePortalLink
from web.api.operations import Returns, operation
from web.api.request_fields import (
    Identifier,
    Shape,
    Text,
    WholeNumber,
    long_at_most,
    one_of,
    within,
)
from web.api.requests import (
    OF_CATALOG,
    AccountQuery,
    IfMatch,
    RepeatableWrite,
    tier_field,
)
from web.app import return_urls
from web.app.auth import ADMIN, PORTAL, only
from web.app.billing import billing_view
from web.app.context import app_state, request_context, services
from web.app.errors import PAYMENT_FAILED, STRIPE_NOT_CONFIGURED, STRIPE_REFUSED, STRIPE_UNAVAILABLE
from web.app.responses import reply
from web.app.return_urls import LENGTH_MAX

blueprint = Blueprint("billing", __name__, url_prefix="/v1")

_FAULTS = (STRIPE_NOT_CONFIGURED, STRIPE_UNAVAILABLE, STRIPE_REFUSED)

QUOTE: Final = "API purchase quote"
QUOTE_LENGTH_MAX: Final = 2000
DONE = "http://127.0.0.1:8000/docs"


def _return_url(description: str) -> Text:
    return Text(
        f"{description}: of an origin in `KEYFOLD_RETURN_URLS`, or of `KEYFOLD_PUBLIC_URL`.",
        required=True,
        validate=long_at_most(LENGTH_MAX),
    )


class PreviewSeats(Shape):
    """Seats that somebody may buy."""

    example: ClassVar = {"product": "cloud_pos", "seats": 3, "interval": "month"}

    product = Identifier(required=True, document={OF_CATALOG: "products"})
    tier = tier_field()
    seats = WholeNumber(
        "How many to add; of a first purchase, how many in all.",
        required=True,
        validate=within(1, SEATS_MAX),
    )
    interval = Text("How often they are paid.", required=True, validate=one_of(*INTERVALS))


class BuySeats(PreviewSeats):
    """Seats to buy."""

    example: ClassVar = {
        **PreviewSeats.example,
        "success_url": f"{DONE}?session_id={{CHECKOUT_SESSION_ID}}",
        "cancel_url": DONE,
    }

    success_url = _return_url("Where the customer is led to after paying")
    cancel_url = _return_url("Where the customer is led to without paying")
    quote = Text(
        "As previewed: a subscription is added to only for the amount that was previewed.",
        load_default=None,
        validate=long_at_most(QUOTE_LENGTH_MAX),
    )


class OpenPortal(Shape):
    """Where Stripe's pages lead back to."""

    example: ClassVar = {"return_url": DONE}

    return_url = _return_url("Where the customer is led back to")


@blueprint.post("/accounts/<account>/checkout")
@operation(
    access=only(PORTAL, ADMIN),
    headers=RepeatableWrite,
    body=BuySeats,
    responses={
        201: Returns(
            StartedPurchase,
            "Where to send the customer.",
            ("Keyfold-Position", "Idempotency-Replayed"),
        )
    },
    refusals=(
        IdempotencyKeyReused,
        VersionMismatch,
        SubscriptionNotChangeable,
        SeatsFollowHolders,
        PurchasePriceChanged,
    ),
    problems=(*_FAULTS, PAYMENT_FAILED),
)
def start_checkout(
    account: str,
    expected_version: int | None,
    idempotency_key: str | None,
    quote: str | None,
    **bought: Any,
) -> Response:
    """Buy seats: at Stripe Checkout, or on the subscription that there is.

    The first purchase of a product is made at Stripe Checkout: send the customer to `url`. An
    account that has a subscription of the product that has not ended gets no second one: its
    quantity is raised (`changed: quantity`), or an item is added to it for another tier
    (`changed: item`), and the rest of the period is charged at once; `url` is then `success_url`. A
    payment that does not go through changes nothing. Of several subscriptions one that can be
    changed is taken, that has the tier, is paid as often, renews, and is the newest, in this order.

    A subscription that is neither `active` nor `trialing`, or whose collection is paused, is
    refused; so is an `interval` other than the subscription's. The seats of a product that is
    billed by its holders cannot be added to: they follow the holders.

    `{CHECKOUT_SESSION_ID}` in `success_url` is filled in by Stripe; without a Checkout it is left
    out. Without an `Idempotency-Key`, a request is the same as another that asks for the same while
    that is under way. A Checkout for the same product that is still open is answered again if it
    sells the same, and is expired if not: there are never two that could be paid.

    With `If-Match`, nothing is bought unless the account is as it was read, but for what Stripe
    itself answers on the way. A request that is repeated with its `Idempotency-Key` is answered as
    before, whatever its `If-Match`.

    With the `quote` of a preview, a subscription is added to for the amount that was previewed, or
    not at all: 409 `purchase_price_changed` when it costs something else by now, or a quarter of an
    hour has gone by. Without one it is added to at once, whatever it costs.
    """
    settings = app_state().wiring.settings
    purchase = Purchase(account, **bought)
    return_urls.check(settings.allowed_origins, "/success_url", purchase.success_url)
    return_urls.check(settings.allowed_origins, "/cancel_url", purchase.cancel_url)
    try:
        started = start(
            services(),
            request_context(),
            purchase,
            idempotency_key,
            expected_version=expected_version,
            review=None if quote is None else Review(_read_quote(quote)),
        )
    except ReviewNeeded:
        raise PurchasePriceChanged from None
    return reply(
        StartedPurchase(started.url, started.changed, started.stripe_subscription, started.seats),
        201,
        position=started.position,
        replayed=started.replayed,
    )


@blueprint.post("/accounts/<account>/checkout/preview")
@operation(
    access=only(PORTAL, ADMIN),
    body=PreviewSeats,
    responses={200: Returns(PreviewedPurchase, "What it would be, and cost.")},
    refusals=(SubscriptionNotChangeable, SeatsFollowHolders),
    problems=_FAULTS,
)
def preview_checkout(account: str, **bought: Any) -> Response:
    """Say what buying seats would cost, and buy nothing.

    Stripe is asked, as it is before a purchase: what would be paid at once, and each period from
    then on. Show it, then send the same with its `quote` to `/checkout`.
    """
    purchase = Purchase(account, **bought, success_url="", cancel_url="")
    found = preview_purchase(services(), request_context(), purchase)
    quote = found.quote and signing.sign(_quote_key(), QUOTE, found.quote)
    return reply(PreviewedPurchase(**{**found._asdict(), "quote": quote}), 200)


def _read_quote(signed: str) -> Quote | None:
    return signing.read([_quote_key()], QUOTE, signed, Quote)


def _quote_key() -> bytes:
    return app_state().wiring.cookie_key


@blueprint.post("/accounts/<account>/stripe-portal")
@operation(
    access=only(PORTAL, ADMIN),
    headers=IfMatch,
    body=OpenPortal,
    responses={
        201: Returns(StripePortalLink, "Where to send the customer.", ("Keyfold-Position",))
    },
    refusals=(VersionMismatch, NoStripeCustomer, CustomerShared),
    problems=_FAULTS,
)
def open_stripe_portal(account: str, expected_version: int | None, return_url: str) -> Response:
    """Open Stripe's Customer Portal: the card, the invoices, the end of a subscription.

    For the account's linked customer, of several the one with a subscription that has not ended; or
    for the customer of its newest subscription. Only for a customer that is linked to the account,
    or all of whose subscriptions are its own: one that pays for others as well is refused.
    """
    return_urls.check(app_state().wiring.settings.allowed_origins, "/return_url", return_url)
    url = open_portal(
        services(), request_context(), account, return_url, expected_version=expected_version
    )
    return reply(StripePortalLink(url), 201, position=services().book.head())


@blueprint.get("/accounts/<account>/billing")
@operation(
    access=READERS,
    query=AccountQuery,
    responses={200: Returns(BillingView, "What is paid, and when next.", ("ETag",))},
)
def get_billing(account: str, **times: datetime) -> Response:
    """Show what an account pays, for what, and when next.

    Read from Stripe; when it cannot be reached within 5 s, from what it has reported (`live` is
    false, `fetched_at` says as of when). With `as_of` or `known_at` always from the ledger. Of an
    account with several subscriptions that have not ended, `lines` and `totals` are of all of them,
    and `status` is that of the one that needs the most attention. An amount that does not follow
    from what Stripe has told is null, and `notice` says so.
    """
    found = read_account(account, **times)
    return reply(billing_view(found).view, version=found.version)
