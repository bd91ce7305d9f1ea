"""What Stripe reported, as sentences (`projections.text.event_descriptions`)."""

from __future__ import annotations

from typing import Final

from ledger.catalog import Catalog
from ledger.events import Fact
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
from ledger.translation import gettext as _
from ledger.translation import noted as _n
from projections.text.formatting import amount_of, counted, day, seats
from projections.text.words import word

_OUTCOMES: Final = {
    "reported": _n("recorded on account %(account)s"),
    "waiting": _n("waits until its customer is linked to an account"),
    "ownerless": _n("names nobody whose it could be"),
    "repeated": _n("says what was known already"),
    "ignored": _n("is of a kind that is none of ours"),
    "not_understood": _n("could not be understood"),
}

_KNOWN_BY: Final = {
    "call": _n("somebody said so"),
    "record": _n("it was recorded there before"),
    "created": _n("it named the account when it was made"),
    "checkout": _n("the account's Checkout sold it"),
    "customer": _n("its customer is the account's"),
    "metadata": _n("it names the account"),
}

_ANSWERS: Final = {
    "done": _n("Stripe subscription %(subscription)s has the seats that were asked for"),
    "refused": _n(
        "Stripe subscription %(subscription)s does not get the seats that were asked for"
    ),
    "given_up": _n("Stripe subscription %(subscription)s was asked for seats in vain"),
}

_AT_ONCE: Final = {
    "raise": _n("billed at once"),
    "restore": _n("which are paid for"),
    "lower": _n("from the next period on"),
    "adjust": _n("from the end of the trial on"),
}


def stripe_sentence(fact: Fact, catalog: Catalog) -> str:
    """Return what Stripe reported; the name of a fact that nobody has a sentence for."""
    match fact:
        case reported.StripeSubscriptionReported():
            return _subscription(fact, catalog)
        case reported.StripeInvoiceReported():
            return _(
                "Invoice %(invoice)s is %(status)s: %(total)s",
                invoice=f"{fact.number} {fact.invoice}" if fact.number else fact.invoice,
                status=_status(fact.status),
                total=amount_of(fact.total, fact.currency),
            )
        case reported.StripeCheckoutReported():
            paid = f", {_status(fact.payment_status)}" if fact.payment_status else ""
            return _(
                "Checkout %(checkout)s is %(status)s: %(total)s",
                checkout=fact.checkout,
                status=_status(fact.status) + paid,
                total=amount_of(fact.amount_total, fact.currency),
            )
        case reported.StripeChargeReported():
            return _charge(fact)
        case reported.StripeCustomerDeleted(customer=customer):
            return _("Stripe holds nothing more about customer %(customer)s", customer=customer)
        case reported.StripePricesMapped(meanings=meanings):
            return _(
                "%(number)s given a meaning: %(prices)s",
                number=counted(len(meanings), "price"),
                prices=", ".join(sorted(meanings)),
            )
        case StripeEventReceived():
            outcome = _(_OUTCOMES[fact.outcome], account=fact.account or "?")
            return _(
                "Event %(event)s (%(type)s) received: %(outcome)s",
                event=fact.stripe_event,
                type=fact.type,
                outcome=outcome,
            )
    return _whose(fact) or _asked_for(fact, catalog)


def _status(status: str | None) -> str:
    """Return Stripe's word as people read it."""
    return word(status) if status else _("of unknown status")


def _whose(fact: Fact) -> str | None:
    """Return a sentence on whose something is at Stripe; None for a fact about something else."""
    match fact:
        case reported.StripeCustomerLinked():
            return _(
                "Stripe customer %(customer)s linked to account %(account)s",
                customer=fact.customer,
                account=fact.account,
            )
        case StripeSubscriptionAssigned():
            return _(
                "Stripe subscription %(subscription)s belongs to account %(account)s",
                subscription=fact.stripe_subscription,
                account=fact.account,
            )
        case reported.StripeCustomerUnlinked():
            return _(
                "Stripe customer %(customer)s unlinked from account %(account)s",
                customer=fact.customer,
                account=fact.account,
            )
        case reported.StripeSubscriptionGivenUp(stripe_subscription=id, account=str(account)):
            return _(
                "Stripe subscription %(subscription)s given up: it is of account %(account)s",
                subscription=id,
                account=account,
            )
        case reported.StripeSubscriptionGivenUp(stripe_subscription=id):
            return _(
                "Stripe subscription %(subscription)s given up: it is of nobody,"
                " until it is known whose",
                subscription=id,
            )
        case StripeReportWaits():
            return _("A report waits to be told whose it is")
        case reported.StripeReportsTaken(versions=versions, account=account):
            return _(
                "%(reports)s that had waited recorded on account %(account)s",
                reports=counted(len(versions), "report"),
                account=account,
            )
    return _owner(fact)


def _owner(fact: Fact) -> str | None:
    match fact:
        case StripeObjectOwned():
            return _(
                "Stripe's %(object)s belongs to account %(account)s: %(why)s",
                object=fact.object,
                account=fact.account,
                why=_(_KNOWN_BY[fact.by]),
            )
        case StripeObjectReleased():
            return _(
                "Stripe's %(object)s belongs to account %(account)s no more",
                object=fact.object,
                account=fact.account,
            )
        case StripeObjectClaimed():
            return _(
                "Stripe's %(object)s names account %(account)s, which it is not of",
                object=fact.object,
                account=fact.account,
            )
    return None


def _asked_for(fact: Fact, catalog: Catalog) -> str:
    """Return what Stripe was asked for, and what became of it."""
    match fact:
        case requests.StripeCheckoutStarted(checkout=checkout):
            what = seats(catalog, fact.seats, fact.product, fact.tier)
            if fact.interval == "month":
                return _(
                    "Checkout %(checkout)s started: %(seats)s, paid every month",
                    checkout=checkout,
                    seats=what,
                )
            return _(
                "Checkout %(checkout)s started: %(seats)s, paid every year",
                checkout=checkout,
                seats=what,
            )
        case requests.StripeSeatsAsked(stripe_subscription=id):
            return _(
                "Stripe is asked for more on subscription %(subscription)s: %(seats)s",
                subscription=id,
                seats=seats(catalog, fact.seats, fact.product, fact.tier),
            )
        case requests.StripeSeatsAnswered(stripe_subscription=id):
            return _(_ANSWERS[fact.outcome], subscription=id) + _because(fact.reason)
        case requests.SeatSyncStarted(stripe_subscription=id):
            return _(
                "Stripe is told %(wanted)s instead of %(had)s further seats on subscription"
                " %(subscription)s, for %(holders)s, %(when)s",
                wanted=fact.wanted,
                had=fact.quantity,
                subscription=id,
                holders=counted(fact.holders, "holder"),
                when=_(_AT_ONCE[fact.step]),
            )
        case requests.SeatsSynced(stripe_subscription=id):
            text = _(
                "Stripe bills %(seats)s further seats on subscription %(subscription)s",
                seats=fact.quantity,
                subscription=id,
            )
            if not fact.invoice:
                return text
            return _(
                "%(text)s, invoice %(invoice)s %(status)s",
                text=text,
                invoice=fact.invoice,
                status=_status(fact.invoice_status),
            )
        case requests.SeatSyncFailed(stripe_subscription=id):
            return _(
                "Stripe was not told of the seats on subscription %(subscription)s: %(code)s",
                subscription=id,
                code=fact.code,
            )
    return type(fact).__name__


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _subscription(fact: reported.StripeSubscriptionReported, catalog: Catalog) -> str:
    text = _(
        "Stripe subscription %(subscription)s is %(status)s",
        subscription=fact.stripe_subscription,
        status=_status(fact.status),
    )
    items = ", ".join(_item(item, catalog) for item in fact.items or ())
    if items:
        text += f": {items}"
    ends = [item.period_end for item in fact.items or () if item.period_end]
    if fact.is_end:
        ended = fact.ended_at or fact.canceled_at or fact.created
        return _("%(text)s; it ended on %(day)s", text=text, day=day(ended))
    if fact.cancel_at is not None:
        return _("%(text)s; it ends on %(day)s", text=text, day=day(fact.cancel_at))
    if ends and fact.cancel_at_period_end:
        return _("%(text)s; ends on %(day)s", text=text, day=day(min(ends)))
    if ends:
        return _("%(text)s; renews on %(day)s", text=text, day=day(min(ends)))
    return text


def _item(item: reported.StripeItem, catalog: Catalog) -> str:
    meaning = item.meaning
    if meaning is None:
        return _(
            "%(number)s of price %(price)s, which means nothing here",
            number=item.quantity or 0,
            price=item.price,
        )
    given = meaning.included + meaning.per_unit * (item.quantity or 0)
    return seats(catalog, given, meaning.product, meaning.tier)


def _charge(fact: reported.StripeChargeReported) -> str:
    amount = amount_of(fact.amount, fact.currency)
    if fact.kind == "dispute":
        return _(
            "Charge %(charge)s of %(amount)s disputed: %(status)s",
            charge=fact.charge,
            amount=amount,
            status=_status(fact.status),
        )
    values = {
        "charge": fact.id,
        "amount": amount,
        "back": amount_of(fact.amount_refunded, fact.currency),
    }
    if fact.refunded:
        return _("Charge %(charge)s of %(amount)s wholly refunded: %(back)s", **values)
    return _("Charge %(charge)s of %(amount)s partly refunded: %(back)s", **values)
