"""Open Stripe's Customer Portal: the card, the invoices, and the end of a subscription."""

from __future__ import annotations

from datetime import datetime

from commands import validation
from commands.gateways.stripe_responses import StripeNotConfigured, StripeRefused
from commands.services import Services
from ledger.events import RequestContext
from ledger.loaded import Loaded
from ledger.refusals import CustomerShared, NoStripeCustomer
from ledger.streams.account.decisions import expect_version
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.stripe.subscriptions import customer_of

NONCE_BYTES = 16


def open_stripe_portal(
    services: Services,
    context: RequestContext,
    account: str,
    return_url: str,
    *,
    expected_version: int | None = None,
) -> str:
    """Return the address of the Customer Portal for an account's customer.

    It lets in whoever has it, so it is neither kept nor logged. Nothing is recorded: what the
    customer does there, Stripe tells.

    Args:
        return_url: where the portal leads back to; the caller has held it to the list of those
            allowed.
        expected_version: of the account, if the caller has seen one.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage billing.
        VersionMismatch: something was recorded since.
        StripeNotConfigured: there is no key for Stripe.
        NoStripeCustomer: the account has no customer, or Stripe deleted it.
        CustomerShared: it is another account's, or pays for others as well.
        StripeUnavailable, StripeRefused, StripeKeyRefused: no answer.
    """
    validation.refuse_if(validation.account(account))
    context.require("manage_billing")
    loaded = services.book.load(ACCOUNT, account)
    expect_version(loaded.version, expected_version)
    if services.stripe is None:
        raise StripeNotConfigured
    side = loaded.state.stripe
    now = context.now
    customer = own_customer(services, loaded, now)
    if customer is None:
        shared = customer_of(side.customers, side.subscriptions.values(), now, side.deleted)
        if shared is None:
            raise NoStripeCustomer
        raise CustomerShared(services.book.load(STRIPE_CUSTOMER, shared).state.account)
    params = {"customer": customer, "return_url": return_url, "locale": "auto"}
    # One key for all tries of this call, another for each call: an address soon works no more.
    key = f"keyfold-{services.random_bytes(NONCE_BYTES).hex()}"
    try:
        return services.stripe.open_portal(params, key)
    except StripeRefused as refused:
        if refused.param == "customer":
            raise NoStripeCustomer from None
        raise


def own_customer(services: Services, account: Loaded[Account], at: datetime) -> str | None:
    """Return the customer that an account may see Stripe's pages of, and buy as; None without one.

    A customer that also pays for others is nobody's but the linked account's: Stripe's pages show
    all that a customer has, with its name and address.
    """
    side = account.state.stripe
    held = [one.customer for one in side.subscriptions.values() if one.customer is not None]
    named = dict.fromkeys((*side.customers, *held))
    customers = {id: services.book.load(STRIPE_CUSTOMER, id).state for id in named}
    own = {id for id, known in customers.items() if known.is_shown_to(account.id)}
    linked = [id for id in side.customers if id in own]
    subscriptions = [one for one in side.subscriptions.values() if one.customer in own]
    return customer_of(linked, subscriptions, at, side.deleted)
