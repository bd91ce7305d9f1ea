"""What Stripe does and says, in the words of the pages."""

from __future__ import annotations

from typing import Final, NamedTuple

from commands.gateways.stripe_responses import (
    StripeFault,
    StripeNotConfigured,
    StripeRefused,
    StripeUnavailable,
)
from ledger.refusals import (
    UNKNOWN_PRICE,
    CustomerShared,
    InvalidRequest,
    NoStripeCustomer,
    Refusal,
    SeatsFollowHolders,
    SubscriptionNotChangeable,
)
from web.html.flash import FlashMessage, Tone, bad, warn
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l

# Of payments that need their payer, as for 3-D Secure. Source: https://docs.stripe.com/error-codes
_TO_BE_CONFIRMED: Final = frozenset(
    {
        "authentication_required",
        "invoice_payment_intent_requires_action",
        "subscription_payment_intent_requires_action",
    }
)
ENDED: Final = frozenset({"none", "canceled", "incomplete_expired"})


class Badge(NamedTuple):
    """What is shown for Stripe's word, in the reader's language, and how it looks."""

    text: object
    tone: Tone


_BADGES: Final = {
    "active": Badge(_l("Active"), "good"),
    "trialing": Badge(_l("Trial"), "good"),
    "past_due": Badge(_l("Past Due"), "bad"),
    "unpaid": Badge(_l("Unpaid"), "bad"),
    "incomplete": Badge(_l("Incomplete"), "warn"),
    "paused": Badge(_l("Paused"), "warn"),
    "suspended": Badge(_l("Suspended"), "warn"),
    "unconfirmed": Badge(_l("Unconfirmed"), "warn"),
    "canceled": Badge(_l("Canceled"), "bad"),
    "incomplete_expired": Badge(_l("Expired"), "bad"),
    "none": Badge(_l("Inactive"), "warn"),
}


def badge(status: str) -> Badge:
    """Return how Stripe's word is shown; one that is new to us as it is."""
    return _BADGES.get(status, Badge(status, "warn"))


def notice(status: str) -> FlashMessage | None:
    """Return what the reader of the Billing page is asked to do, if anything."""
    match status:
        case "past_due" | "unpaid" | "incomplete":
            return bad(
                _("Open the portal and update the card."),
                _(
                    "A failed renewal usually just means an expired or declined card, and"
                    " access is restored once payment goes through."
                ),
            )
        case "paused":
            return warn(_("The subscription is paused."))
        case "unconfirmed":
            return warn(
                _("Stripe has not confirmed the renewal yet."),
                _("Until it does, its seats may not be used."),
            )
    return None


def refusal_message(problem: Refusal | StripeFault | StripeNotConfigured) -> FlashMessage:
    """Return why nothing was bought or opened, and what to do."""
    match problem:
        case InvalidRequest():
            return bad(
                _("This combination is not for sale."),
                _(
                    "Choose how many seats you want and how often to pay. Not every combination is"
                    " for sale."
                ),
                status=422,
            )
        case SubscriptionNotChangeable(state=state) if state == UNKNOWN_PRICE:
            return bad(
                _("Your subscription cannot be changed here at present."),
                _(
                    "You need do nothing in Stripe. Our support has to set up the price you"
                    " pay: please write to us."
                ),
                status=409,
            )
        case SubscriptionNotChangeable():
            return bad(
                _("Your subscription cannot be changed now."),
                _("Choose Manage in Stripe and settle what is open there first."),
                status=409,
            )
        case SeatsFollowHolders():
            return warn(
                _("Seats of this product are not bought beforehand."),
                _("Each further one is billed from when it is added."),
                status=409,
            )
        case CustomerShared():
            return warn(
                _("Your subscriptions are paid for by a customer that is not yours alone."),
                _("Contact us: we can tell you who manages them in Stripe."),
                status=409,
            )
        case NoStripeCustomer():
            return warn(
                _("There is nothing to manage in Stripe yet."),
                _("Buy a subscription first; it is managed there from then on."),
                status=409,
            )
        case StripeRefused(card=True, code=code):
            return _not_paid(code)
        case StripeUnavailable():
            return bad(
                _("Stripe cannot be reached."),
                _("Nothing is bought twice: try again in a moment."),
                status=503,
            )
        case StripeFault() | StripeNotConfigured():
            return bad(
                _("Buying is not possible here at the moment."),
                _("Nothing was changed. Contact us, or activate a key from your reseller."),
                status=503,
            )
    raise problem


def _not_paid(code: str) -> FlashMessage:
    if code in _TO_BE_CONFIRMED:
        return bad(
            _("Your bank wants you to confirm this payment, and nothing was changed."),
            _(
                "That cannot be done here. Choose Manage in Stripe to add the seats there, or to"
                " use another card."
            ),
            status=402,
        )
    return bad(
        _("The payment did not go through, and nothing was changed."),
        _("Choose Manage in Stripe and update the card."),
        status=402,
    )
