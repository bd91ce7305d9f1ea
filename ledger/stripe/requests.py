"""What Stripe was asked to change, and what it answered, as facts.

Facts:     SeatSyncStarted, SeatsSynced, SeatSyncFailed: seats billed by their holders;
           StripeCheckoutStarted, StripeSeatsAsked, StripeSeatsAnswered: seats that are bought
Source:    docs/adr/0012-asked-before-it-is-asked.md

They are recorded in the account's stream: what is asked before Stripe is called, and what came of
it afterwards.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from ledger.events import Fact

SeatStep = Literal["raise", "restore", "lower", "adjust"]


class SeatSyncStarted(Fact, frozen=True):
    """Stripe is about to be told how many seats of a product to bill.

    Recorded before the call is made, so that whoever finds no answer to it can make it again.

    Attributes:
        item: None where there is none for further seats yet: one of `price` is added.
        period_start: of the billing period that this was decided in.
        step: `raise` is invoiced at once; the others move no money: `restore` goes back to what is
            billed already, `lower` below it, and `adjust` is for a trial.
        quantity, wanted: what Stripe has, and what it is to have.
        billed: the most that was billed in the period.
        holders: who sat on the product's seats.
        idempotency_key: what the call carries, however often it is made.
    """

    product: str
    stripe_subscription: str
    item: str | None
    price: str | None
    period_start: datetime
    step: SeatStep
    quantity: int
    wanted: int
    billed: int
    holders: int
    idempotency_key: str


class SeatsSynced(Fact, frozen=True):
    """Stripe has as many seats as it was to have.

    Attributes:
        quantity: that it has now; None where Stripe did not list the item with its answer.
        invoice, invoice_status: of what was billed by it; None when nothing was.
        outcome: whether Stripe answered so, or was found to have done it.
        idempotency_key: of the start that this answers.
    """

    product: str
    stripe_subscription: str
    item: str | None
    quantity: int | None
    invoice: str | None
    invoice_status: str | None
    outcome: Literal["answered", "found"]
    idempotency_key: str


class SeatSyncFailed(Fact, frozen=True):
    """Stripe did not do it, and nothing was billed.

    Attributes:
        code: Stripe's own; or ours, when it was given up before Stripe did it.
        card: whether it was the customer's card that was refused.
        idempotency_key: of the start that this answers.
    """

    product: str
    stripe_subscription: str
    code: str
    card: bool
    idempotency_key: str


SEAT_SYNCS: Final[dict[str, type[Fact]]] = {
    "stripe.seat_sync_started@1": SeatSyncStarted,
    "stripe.seats_synced@1": SeatsSynced,
    "stripe.seat_sync_failed@1": SeatSyncFailed,
}


PurchaseOutcome = Literal["done", "refused", "given_up"]


class StripeCheckoutStarted(Fact, frozen=True):
    """A customer was sent to Stripe Checkout to buy seats.

    Attributes:
        checkout: Stripe's id of it.
        fingerprint: keyed digest of what was asked for, to know a repetition.
        request: keyed digest of the request's Idempotency-Key, if it had one.
    """

    checkout: str
    product: str
    tier: str | None
    seats: int
    interval: str
    fingerprint: str
    request: str | None = None


class StripeSeatsAsked(Fact, frozen=True):
    """Stripe is about to be asked for more seats on a subscription that there is.

    Attributes:
        item: whose quantity is raised; None to add one.
        price: of the item to add; None where one is raised.
        quantity_before: 0 for an item that is to be added.
        quantity: that the item is to have.
        seats: that were asked for.
        seats_after: that the subscription then has of the product and tier.
        fingerprint, request: as StripeCheckoutStarted has them.
        prorated_at: from when on Stripe is to charge for them, as it was shown to who agreed to the
            amount; None for when Stripe is asked.
    """

    stripe_subscription: str
    item: str | None
    price: str | None
    product: str
    tier: str | None
    quantity_before: int
    quantity: int
    seats: int
    seats_after: int
    fingerprint: str
    request: str | None = None
    prorated_at: datetime | None = None


class StripeSeatsAnswered(Fact, frozen=True):
    """What became of seats that Stripe was asked for.

    Attributes:
        asked: version of the StripeSeatsAsked that it answers.
        outcome: `given_up` when Stripe was not heard from, and did not make the change.
        reason: Stripe's code for why it refused.
    """

    stripe_subscription: str
    asked: int
    outcome: PurchaseOutcome
    reason: str | None = None


PURCHASES: Final[dict[str, type[Fact]]] = {
    "stripe.checkout_started@1": StripeCheckoutStarted,
    "stripe.seats_asked@2": StripeSeatsAsked,
    "stripe.seats_answered@1": StripeSeatsAnswered,
}
