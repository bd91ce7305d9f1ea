"""Stripe's invoices as our facts, and what pays them: Checkout sessions, charges, disputes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Literal

from ledger.stripe.facts import (
    StripeChargeReported,
    StripeCheckoutReported,
    StripeDiscount,
    StripeInvoiceLine,
    StripeInvoiceReported,
    StripeTax,
)
from ledger.stripe.reader import ACCOUNT, CURRENCY, ID, INVOICE_NUMBER, Origin, Read, Told

# That are kept of an invoice; and one more, by which it is known that there are others.
LINES_MAX: Final = 100
LINES_ASKED: Final = LINES_MAX + 1


def read_invoice(data: dict[str, Any], origin: Origin) -> Read:
    """Answer an invoice as our fact."""
    told = Told(data)
    of_subscription = told.part("parent", "subscription_details")
    named = (
        of_subscription.account_named()
        or told.part("subscription_details").account_named()
        or told.account_named()
    )
    id = told.text("id", ID)
    if id is None:
        return Read(None, named, (*told.problems, "id"))
    report = StripeInvoiceReported(
        invoice=id,
        number=told.text("number", INVOICE_NUMBER),
        customer=told.id("customer"),
        stripe_subscription=of_subscription.id("subscription") or told.id("subscription"),
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        retrieved_at=origin.retrieved_at,
        status=_invoice_status(told),
        billing_reason=told.word("billing_reason"),
        currency=told.text("currency", CURRENCY),
        subtotal=told.number("subtotal"),
        total=told.number("total"),
        tax=_tax(told),
        amount_due=told.number("amount_due"),
        amount_paid=told.number("amount_paid"),
        amount_remaining=told.number("amount_remaining"),
        invoiced_at=told.time("created") or told.time("date"),
        period_start=told.time("period_start"),
        period_end=told.time("period_end"),
        due_date=told.time("due_date"),
        attempt_count=told.count("attempt_count"),
        next_payment_attempt=told.time("next_payment_attempt"),
        discounts=_discounted(told),
        lines=tuple(_lines(told.part("lines"))),
        problems=tuple(dict.fromkeys(told.problems)),
    )
    return Read(report, named, report.problems, payments=_payments(told))


def _discounted(told: Told) -> tuple[StripeDiscount, ...]:
    """Return an invoice's discounts; a trial has them too, and they take nothing off it."""
    taken = _amounts_off(told, "total_discount_amounts")
    known = {one.discount for one in taken}
    return (*taken, *(StripeDiscount(id, 0) for id in told.discount_ids() if id not in known))


def _invoice_status(told: Told) -> str | None:
    if "status" in told:
        return told.word("status")
    return "paid" if told.flag("paid") else "open"


def _tax(told: Told) -> int | None:
    if "tax" in told:
        return told.number("tax")
    field = "total_taxes" if "total_taxes" in told else "total_tax_amounts"
    return sum(one.number("amount") or 0 for one in told.parts(field)) if field in told else None


def _lines(listed: Told) -> Iterator[StripeInvoiceLine]:
    if len(listed.values("data")) > LINES_MAX:
        listed.misfit("data")  # asking for the others would not help
    elif listed.flag("has_more"):
        listed.misfit("has_more")
    for line in islice(listed.parts("data"), LINES_MAX):
        price = line.part("pricing", "price_details")
        old = line.part_if_object("price" if "price" in line else "plan")
        of_item = line.part("parent", "subscription_item_details")
        other = line.part("parent", "invoice_item_details")
        period = line.part("period")
        yield StripeInvoiceLine(
            id=line.text("id", ID),
            amount=line.number("amount"),
            quantity=line.count("quantity"),
            price=price.id("price") or old.text("id", ID),
            stripe_product=price.id("product") or old.id("product"),
            item=of_item.id("subscription_item") or line.id("subscription_item"),
            proration=(
                of_item.flag("proration") or other.flag("proration") or line.flag("proration")
            )
            is True,
            period_start=period.time("start"),
            period_end=period.time("end"),
            discounts=_amounts_off(line, "discount_amounts"),
            taxes=tuple(_taxes(line)),
        )


def _amounts_off(told: Told, name: str) -> tuple[StripeDiscount, ...]:
    return tuple(
        StripeDiscount(one.id("discount"), one.number("amount") or 0) for one in told.parts(name)
    )


def _taxes(line: Told) -> Iterator[StripeTax]:
    new = "taxes" in line
    for one in line.parts("taxes" if new else "tax_amounts"):
        rate = one.part("tax_rate_details").id("tax_rate") if new else one.id("tax_rate")
        included = one.word("tax_behavior") == "inclusive" or one.flag("inclusive") is True
        yield StripeTax(rate, one.number("amount") or 0, included)


# Purchases, refunds, disputes


def _payments(told: Told) -> tuple[str, ...]:
    """Return the ids of what an object was paid by: at its top, or in its list of payments."""
    ids = [told.id("charge"), told.id("payment_intent")]
    for one in told.part("payments").parts("data"):
        payment = one.part("payment")
        ids += [payment.id("charge"), payment.id("payment_intent")]
    return tuple(dict.fromkeys(filter(None, ids)))


def read_invoice_payment(data: dict[str, Any]) -> Read:
    """Read which payment an invoice was paid by; since 2025 nothing else that is sent tells it."""
    told = Told(data)
    invoice, payment = told.id("invoice"), told.part("payment")
    ids = tuple(filter(None, (payment.id("charge"), payment.id("payment_intent"))))
    if invoice is None or not ids:
        return Read(None, None, tuple(told.problems), wanted=False)
    return Read(None, None, (), payments=ids, invoice=invoice)


def read_checkout(data: dict[str, Any], origin: Origin) -> Read:
    told = Told(data)
    named, claimed = told.account_named(), told.text("client_reference_id", ACCOUNT)
    id, details = told.text("id", ID), told.part("total_details")
    if id is None:
        return Read(None, named, (*told.problems, "id"))
    report = StripeCheckoutReported(
        checkout=id,
        customer=told.id("customer"),
        stripe_subscription=told.id("subscription"),
        invoice=told.id("invoice"),
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        mode=told.word("mode"),
        status=told.word("status"),
        payment_status=told.word("payment_status"),
        currency=told.text("currency", CURRENCY),
        amount_subtotal=told.number("amount_subtotal"),
        amount_total=told.number("amount_total"),
        amount_discount=details.number("amount_discount"),
        amount_tax=details.number("amount_tax"),
        problems=tuple(dict.fromkeys(told.problems)),
    )
    return Read(report, named, report.problems, claimed=claimed, payments=_payments(told))


def read_charge(data: dict[str, Any], origin: Origin, kind: Literal["charge", "dispute"]) -> Read:
    told = Told(data)
    id = told.text("id", ID)
    if id is None:
        return Read(None, told.account_named(), (*told.problems, "id"))
    report = StripeChargeReported(
        kind=kind,
        id=id,
        charge=id if kind == "charge" else told.id("charge"),
        payment_intent=told.id("payment_intent"),
        customer=told.id("customer") or told.part_if_object("charge").id("customer"),
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        amount=told.number("amount"),
        amount_refunded=told.number("amount_refunded"),
        refunded=told.flag("refunded"),
        currency=told.text("currency", CURRENCY),
        reason=told.word("reason"),
        status=told.word("status"),
        problems=tuple(dict.fromkeys(told.problems)),
    )
    return Read(report, told.account_named(), report.problems)
