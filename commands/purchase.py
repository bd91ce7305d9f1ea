"""What is bought at Stripe, and what every step of a purchase works with."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple, get_args

from msgspec import Struct

from commands.gateways.stripe import StripeGateway
from commands.services import Services
from ledger.catalog import Interval, Product
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.refusals import FieldError, InvalidRequest, VersionMismatch
from ledger.streams.account.purchases import Priced, Wanted
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripeSubscriptionReported

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


class Quote(Struct, frozen=True):
    """A change of a subscription with what it costs, as it was shown to who is to agree to it.

    Attributes:
        item: whose quantity is raised; None to add one of `price`.
        due: what is to be paid at once, in minor units.
        prorated_at: the moment that this was reckoned from.
    """

    account: str
    stripe_subscription: str
    item: str | None
    price: str | None
    quantity_before: int
    quantity: int
    due: int
    currency: str
    prorated_at: datetime


class Review(NamedTuple):
    """That nothing may be paid at once but what somebody has agreed to.

    Attributes:
        quote: what was agreed to; None for nothing yet.
        preview: nothing is to be sold at all, nor an open Checkout closed; it is only asked what
            would be.
    """

    quote: Quote | None = None
    preview: bool = False


class PurchaseRequest(NamedTuple):
    """What every step of a purchase works with.

    Attributes:
        review: None where who asks has not to show anybody what is paid at once.
    """

    services: Services
    context: RequestContext
    stripe: StripeGateway
    purchase: Purchase
    product: Product
    wanted: Wanted
    expected_version: int | None
    review: Review | None = None


def hold_to_version(request: PurchaseRequest, account: Loaded[Account]) -> None:
    """Refuse to go on if anybody wrote to the account since the version that the caller has seen.

    What Stripe answered when it was asked does not count: this request asks, too.

    Raises:
        VersionMismatch: somebody did.
    """
    expected = request.expected_version
    if expected is None or expected == account.version:
        return
    count = account.version - expected
    since = request.services.book.facts_since(ACCOUNT, account.id, expected)[:count]
    are_answers = (
        isinstance(one, StripeSubscriptionReported) and one.retrieved_at for one in since
    )
    # A server that lags behind the one that the account was read from knows too few.
    if len(since) != count or not all(are_answers):
        raise VersionMismatch(account.version)


def success_url(purchase: Purchase) -> str:
    """Return where to send the customer when nothing is left to pay at a Checkout."""
    return purchase.success_url.replace(SESSION_PLACEHOLDER, "")


def priced(request: PurchaseRequest, *, base: bool) -> Priced:
    """Return the price that the catalog sells by, as Stripe knows it.

    Raises:
        InvalidRequest: the catalog has none, or Stripe does not know it; the message has the mend.
    """
    purchase, what = request.purchase, "base plan" if base else "price"
    prices = request.product.prices_of(purchase.tier)
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
    id = request.stripe.price_of(found)
    if id is None:
        name = f"with the lookup key {found.lookup_key}"
        if found.lookup_key is None:
            name = f"of {found.stripe_product}, paid every {found.interval}"
        detail = f"is not for sale: Stripe has no active price {name}; make one there, or mend the"
        raise InvalidRequest(FieldError("/product", f"{detail} catalog"))
    return Priced(id, found.seats)
