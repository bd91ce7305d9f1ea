"""What the console says of a refusal: the sentence that it bears, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger import refusals
from ledger.refusals import AllowanceExceeded, AllowanceSpent, InvalidRequest, Refusal
from projections.text.formatting import counted
from web.app.errors import REFUSED
from web.html.flash import FlashMessage, bad

_ADVICE: Final[dict[type[Refusal], str]] = {
    refusals.KeyAlreadyRedeemed: "Terminate the subscription that it gave, on its account's page.",
    refusals.KeyAlreadyRevoked: "Where another code took its place, reissue the key of that one.",
    refusals.KeyLapsed: "Issue another key.",
    refusals.ResellerSuspended: "Ask the vendor.",
    refusals.OrderDecided: "Somebody was faster.",
    refusals.CodesNotDerivable: "Whoever issued them has them.",
    refusals.SeatNotOccupied: "Somebody may have given it back meanwhile.",
    refusals.SubscriptionEnded: "There is nothing left of it.",
    refusals.SubscriptionElsewhere: "Look at it on the account that has it now.",
    refusals.SubscriptionNotStarted: "Start it first, or terminate it.",
    refusals.SubscriptionIsSuspended: "It has begun: resume it.",
    refusals.ManagedInStripe: "Cancel it in Stripe's dashboard.",
    refusals.CustomerLinkedElsewhere: "Look for the customer to see whose it is.",
    refusals.CustomerNotLinked: "Somebody may have unlinked it meanwhile.",
    refusals.StripeSubscriptionElsewhere: "Look whose it is, and name that account as well.",
    refusals.StripeSubscriptionNotFound: "Look at its id in Stripe's dashboard.",
    refusals.IdempotencyKeyReused: "This form was sent before with other values: open it anew.",
}


def refusal_message(refusal: Refusal) -> FlashMessage:
    """Return a message for a refusal; nothing was changed."""
    advice: Sequence[str]
    if isinstance(refusal, InvalidRequest):
        advice = [f"{_label(one.pointer)} {one.detail}." for one in refusal.errors]
    elif isinstance(refusal, AllowanceExceeded | AllowanceSpent):
        advice = [f"Left: {counted(refusal.left, 'seat')}."]
    else:
        known = _ADVICE.get(type(refusal))
        advice = [known] if known else []
    return bad(f"{refusal.title}. Nothing was changed.", *advice, status=REFUSED[type(refusal)])


def _label(pointer: str) -> str:
    # An order keeps its reason as its note.
    name = "reason" if pointer == "/note" else pointer.strip("/")
    return name.replace("_", " ").capitalize()
