"""What the console says of a refusal: the sentence that it bears, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ledger import refusals
from ledger.refusals import AllowanceExceeded, AllowanceSpent, InvalidRequest, Refusal
from projections.text.formatting import counted
from projections.text.words import word
from web.app.errors import REFUSED
from web.html.flash import FlashMessage, bad
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l

_ADVICE: Final[dict[type[Refusal], object]] = {
    refusals.KeyAlreadyRedeemed: _l(
        "Terminate the subscription that it gave, on its account's page."
    ),
    refusals.KeyAlreadyRevoked: _l(
        "Where another code took its place, reissue the key of that one."
    ),
    refusals.KeyLapsed: _l("Issue another key."),
    refusals.ResellerSuspended: _l("Ask the vendor."),
    refusals.OrderDecided: _l("Somebody was faster."),
    refusals.CodesNotDerivable: _l("Whoever issued them has them."),
    refusals.SeatNotOccupied: _l("Somebody may have given it back meanwhile."),
    refusals.SubscriptionEnded: _l("There is nothing left of it."),
    refusals.SubscriptionElsewhere: _l("Look at it on the account that has it now."),
    refusals.SubscriptionNotStarted: _l("Start it first, or terminate it."),
    refusals.SubscriptionIsSuspended: _l("It has begun: resume it."),
    refusals.ManagedInStripe: _l("Cancel it in Stripe's dashboard."),
    refusals.CustomerLinkedElsewhere: _l("Look for the customer to see whose it is."),
    refusals.CustomerNotLinked: _l("Somebody may have unlinked it meanwhile."),
    refusals.StripeSubscriptionElsewhere: _l("Look whose it is, and name that account as well."),
    refusals.StripeSubscriptionNotFound: _l("Look at its id in Stripe's dashboard."),
    refusals.IdempotencyKeyReused: _l("This form was sent before with other values: open it anew."),
}


def refusal_message(refusal: Refusal) -> FlashMessage:
    """Return a message for a refusal; nothing was changed."""
    advice: Sequence[object]
    if isinstance(refusal, InvalidRequest):
        advice = invalid_fields(refusal)
    elif isinstance(refusal, AllowanceExceeded | AllowanceSpent):
        advice = [_("Left: %(seats)s.", seats=counted(refusal.left, "seat"))]
    else:
        known = _ADVICE.get(type(refusal))
        advice = [known] if known else []
    title = _("%(refusal)s. Nothing was changed.", refusal=refusal.title)
    return bad(title, *advice, status=REFUSED[type(refusal)])


def invalid_fields(refusal: InvalidRequest) -> list[str]:
    """Return what is wrong with each field, as a sentence."""
    return [
        _("%(field)s %(detail)s.", field=_label(one.pointer), detail=one.detail)
        for one in refusal.errors
    ]


def _label(pointer: str) -> str:
    # An order keeps its reason as its note.
    name = "reason" if pointer == "/note" else pointer.strip("/")
    shown = word(name)
    return shown[:1].upper() + shown[1:]
