"""Open Stripe's Customer Portal: the card, the invoices, and the end of a subscription."""

from __future__ import annotations

from commands import checks
from commands.gateways.stripe import StripeNotConfigured, StripeRefused
from commands.ports import Ports
from ledger.book import moment
from ledger.events import Stamp
from ledger.refusals import NoStripeCustomer
from ledger.streams.account import ACCOUNT
from ledger.streams.stripe_state import customer_of

NONCE_BYTES = 16


def open_stripe_portal(ports: Ports, stamp: Stamp, account: str, return_url: str) -> str:
    """Answer the address of the Customer Portal for an account's customer.

    It lets in whoever has it, so it is neither kept nor logged. Nothing is recorded: what the
    customer does there, Stripe tells.

    Args:
        return_url: where the portal leads back to; the caller has held it to the list of those
            allowed.

    Raises:
        InvalidRequest: fields that do not fit.
        NotPermitted: by a session that may not manage billing.
        StripeNotConfigured: there is no key for Stripe.
        NoStripeCustomer: the account has no customer, or Stripe deleted it.
        StripeUnavailable, StripeRefused, StripeKeyRefused: no answer.
    """
    checks.refuse_if(checks.account(account))
    stamp.require("manage_billing")
    if ports.stripe is None:
        raise StripeNotConfigured
    loaded = ports.book.load(ACCOUNT, account)
    side = loaded.state.stripe
    now = moment(stamp.now, loaded)
    customer = customer_of(side.customers, side.subscriptions.values(), now, side.deleted)
    if customer is None:
        raise NoStripeCustomer
    params = {"customer": customer, "return_url": return_url, "locale": "auto"}
    # One key for all tries of this call, another for each call: an address soon works no more.
    key = f"keyfold-{ports.random_bytes(NONCE_BYTES).hex()}"
    try:
        return ports.stripe.open_portal(params, key)
    except StripeRefused as refused:
        if refused.param == "customer":
            raise NoStripeCustomer from None
        raise
