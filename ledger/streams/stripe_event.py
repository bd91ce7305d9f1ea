"""One event of Stripe's.

Stream:    `stripe_event-<evt_…>`
Facts:     StripeEventReceived; what Stripe reported in it, when nobody can know whose it is
Invariant: an event counts once, however often it is delivered, by however many endpoints.
Source:    docs/stripe.md, "What may be relied on".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from ledger.events import AnyOccurrence, Fact, Stream
from ledger.stripe.facts import REPORTS

Outcome = Literal["reported", "waiting", "ownerless", "repeated", "ignored", "not_understood"]


# Facts


# In the problems of a Checkout session that names an account by nothing but what a browser can set.
UNPROVEN: Final = "client_reference_id: this ledger began no such Checkout for that account"


class StripeEventReceived(Fact, frozen=True):
    """Stripe sent an event, or had it in its list of events.

    Attributes:
        type: as Stripe names it, e.g. `customer.subscription.updated`.
        created: when Stripe made it.
        api_version: how its object was written; None in very old ones.
        object, object_kind: what it is about, e.g. `sub_…` and `subscription`.
        found_by: how it came: delivered to the webhook, read from a file, or found by reconciling.
        outcome: `reported` on an account; `waiting` until its customer is linked to one;
            `ownerless` when it names no customer either; `repeated` when it says what another one
            had said; `ignored` for a type that is none of ours; `not_understood`.
        account: on which it was reported.
        problems: what could not be understood, as paths into Stripe's object; never what was there.
    """

    stripe_event: str
    type: str
    created: datetime
    livemode: bool
    api_version: str | None
    object: str | None
    object_kind: str | None
    found_by: Literal["webhook", "file", "reconciling"]
    outcome: Outcome
    account: str | None = None
    problems: tuple[str, ...] = ()


# Fold


def fold(
    received: StripeEventReceived | None, events: Iterable[AnyOccurrence]
) -> StripeEventReceived | None:
    """Return the event as it was received; None before."""
    for event in events:
        if isinstance(event.fact, StripeEventReceived):
            received = event.fact
    return received


STRIPE_EVENT: Stream[StripeEventReceived | None] = Stream(
    kind="stripe_event",
    facts={"stripe_event.received@1": StripeEventReceived, **REPORTS},
    initial=None,
    fold=fold,
)
