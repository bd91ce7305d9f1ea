"""What Stripe reported, as sentences (`projections.text.event_descriptions`)."""

from __future__ import annotations

from typing import Final

from ledger.catalog import Catalog
from ledger.events import Fact
from ledger.money import written
from ledger.streams.stripe_customer import StripeSubscriptionAssigned
from ledger.streams.stripe_event import StripeEventReceived
from ledger.streams.stripe_object import (
    StripeObjectClaimed,
    StripeObjectOwned,
    StripeObjectReleased,
    StripeReportWaits,
)
from ledger.stripe import facts as reported
from ledger.stripe import requests
from projections.text.formatting import counted, day, seats

_OUTCOMES: Final = {
    "reported": "recorded on account {account}",
    "waiting": "waits until its customer is linked to an account",
    "ownerless": "names nobody whose it could be",
    "repeated": "says what was known already",
    "ignored": "is of a kind that is none of ours",
    "not_understood": "could not be understood",
}


_KNOWN_BY: Final = {
    "call": "somebody said so",
    "record": "it was recorded there before",
    "created": "it named the account when it was made",
    "checkout": "the account's Checkout sold it",
    "customer": "its customer is the account's",
    "metadata": "it names the account",
}

_ANSWERS: Final = {
    "done": "has the seats that were asked for",
    "refused": "does not get the seats that were asked for",
    "given_up": "was asked for seats in vain",
}

_AT_ONCE: Final = {
    "raise": ", billed at once",
    "restore": ", which are paid for",
    "lower": ", from the next period on",
    "adjust": ", from the end of the trial on",
}


def stripe_sentence(fact: Fact, catalog: Catalog) -> str:
    """Return what Stripe reported; the name of a fact that nobody has a sentence for."""
    match fact:
        case reported.StripeSubscriptionReported():
            return _subscription(fact, catalog)
        case reported.StripeInvoiceReported():
            number = f" {fact.number}" if fact.number else ""
            total = written(fact.total, fact.currency)
            return (
                f"Invoice{number} {fact.invoice} is {fact.status or 'of unknown status'}: {total}"
            )
        case reported.StripeCheckoutReported():
            paid = f", {fact.payment_status}" if fact.payment_status else ""
            total = written(fact.amount_total, fact.currency)
            return (
                f"Checkout {fact.checkout} is {fact.status or 'of unknown status'}{paid}: {total}"
            )
        case reported.StripeChargeReported():
            return _charge(fact)
        case reported.StripeCustomerDeleted(customer=customer):
            return f"Stripe holds nothing more about customer {customer}"
        case reported.StripePricesMapped(meanings=meanings):
            prices = ", ".join(sorted(meanings))
            return f"{counted(len(meanings), 'price')} given a meaning: {prices}"
        case StripeEventReceived():
            outcome = _OUTCOMES[fact.outcome].format(account=fact.account or "?")
            return f"Event {fact.stripe_event} ({fact.type}) received: {outcome}"
    return _whose(fact) or _asked_for(fact, catalog)


def _whose(fact: Fact) -> str | None:
    """Return a sentence on whose something is at Stripe; None for a fact about something else."""
    match fact:
        case reported.StripeCustomerLinked():
            return f"Stripe customer {fact.customer} linked to account {fact.account}"
        case StripeSubscriptionAssigned():
            return (
                f"Stripe subscription {fact.stripe_subscription} belongs to account {fact.account}"
            )
        case reported.StripeCustomerUnlinked():
            return f"Stripe customer {fact.customer} unlinked from account {fact.account}"
        case reported.StripeSubscriptionGivenUp():
            to = f"account {fact.account}" if fact.account else "nobody, until it is known whose"
            return f"Stripe subscription {fact.stripe_subscription} given up: it is of {to}"
        case StripeObjectOwned():
            why = _KNOWN_BY[fact.by]
            return f"Stripe's {fact.object} belongs to account {fact.account}: {why}"
        case StripeObjectReleased():
            return f"Stripe's {fact.object} belongs to account {fact.account} no more"
        case StripeObjectClaimed():
            return f"Stripe's {fact.object} names account {fact.account}, which it is not of"
        case StripeReportWaits():
            return "A report waits to be told whose it is"
        case reported.StripeReportsTaken(versions=versions, account=account):
            reports = counted(len(versions), "report")
            return f"{reports} that had waited recorded on account {account}"
    return None


def _asked_for(fact: Fact, catalog: Catalog) -> str:
    """Return what Stripe was asked for, and what became of it."""
    match fact:
        case requests.StripeCheckoutStarted():
            what = seats(catalog, fact.seats, fact.product, fact.tier)
            return f"Checkout {fact.checkout} started: {what}, paid every {fact.interval}"
        case requests.StripeSeatsAsked(stripe_subscription=id):
            what = seats(catalog, fact.seats, fact.product, fact.tier)
            return f"Stripe is asked for more on subscription {id}: {what}"
        case requests.StripeSeatsAnswered(stripe_subscription=id):
            return f"Stripe subscription {id} {_ANSWERS[fact.outcome]}{_because(fact.reason)}"
        case requests.SeatSyncStarted(stripe_subscription=id):
            change = f"{fact.wanted} instead of {fact.quantity} further seats"
            taken = counted(fact.holders, "holder")
            return f"Stripe is told {change} on subscription {id}, for {taken}{_AT_ONCE[fact.step]}"
        case requests.SeatsSynced(stripe_subscription=id):
            invoice = f", invoice {fact.invoice} {fact.invoice_status}" if fact.invoice else ""
            return f"Stripe bills {fact.quantity} further seats on subscription {id}{invoice}"
        case requests.SeatSyncFailed(stripe_subscription=id):
            return f"Stripe was not told of the seats on subscription {id}: {fact.code}"
    return type(fact).__name__


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _subscription(fact: reported.StripeSubscriptionReported, catalog: Catalog) -> str:
    text = f"Stripe subscription {fact.stripe_subscription} is {fact.status or 'of unknown status'}"
    items = ", ".join(_item(item, catalog) for item in fact.items or ())
    if items:
        text += f": {items}"
    ends = [item.period_end for item in fact.items or () if item.period_end]
    if fact.is_end:
        ended = fact.ended_at or fact.canceled_at or fact.created
        return f"{text}; it ended on {day(ended)}"
    if fact.cancel_at is not None:
        return f"{text}; it ends on {day(fact.cancel_at)}"
    if ends:
        return f"{text}; {'ends' if fact.cancel_at_period_end else 'renews'} on {day(min(ends))}"
    return text


def _item(item: reported.StripeItem, catalog: Catalog) -> str:
    meaning = item.meaning
    if meaning is None:
        return f"{item.quantity or 0} of price {item.price}, which means nothing here"
    given = meaning.included + meaning.per_unit * (item.quantity or 0)
    return seats(catalog, given, meaning.product, meaning.tier)


def _charge(fact: reported.StripeChargeReported) -> str:
    amount = written(fact.amount, fact.currency)
    if fact.kind == "dispute":
        return f"Charge {fact.charge} of {amount} disputed: {fact.status or 'of unknown status'}"
    whole = "wholly" if fact.refunded else "partly"
    back = written(fact.amount_refunded, fact.currency)
    return f"Charge {fact.id} of {amount} {whole} refunded: {back}"
