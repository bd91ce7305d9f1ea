"""Stripe's invoices as our facts, and what pays them: Checkout sessions, charges, disputes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Literal

from ledger.stripe import reader
from ledger.stripe.facts import (
    StripeChargeReported,
    StripeCheckoutReported,
    StripeDiscount,
    StripeInvoiceLine,
    StripeInvoiceReported,
    StripeTax,
)
from ledger.stripe.reader import (
    ACCOUNT,
    CURRENCY,
    ID,
    INVOICE_NUMBER,
    FieldReader,
    Origin,
    Read,
    StripeObjectReader,
)

# That are kept of an invoice; and one more, by which it is known that there are others.
LINES_MAX: Final = 100
LINES_ASKED: Final = LINES_MAX + 1


_INVOICE: Final[dict[str, FieldReader]] = {
    "number": reader.text(INVOICE_NUMBER),
    "customer": reader.id_of,
    "stripe_subscription": reader.either(
        reader.at("parent", "subscription_details", "subscription", read=reader.id_of),
        reader.at("subscription", read=reader.id_of),
    ),
    "billing_reason": reader.word,
    "currency": reader.text(CURRENCY),
    "subtotal": reader.number,
    "total": reader.number,
    "amount_due": reader.number,
    "amount_paid": reader.number,
    "amount_remaining": reader.number,
    "invoiced_at": reader.first(reader.time, "created", "date"),
    "period_start": reader.time,
    "period_end": reader.time,
    "due_date": reader.time,
    "attempt_count": reader.count,
    "next_payment_attempt": reader.time,
}


def read_invoice(data: dict[str, Any], origin: Origin) -> Read:
    """Return an invoice as our fact."""
    invoice = StripeObjectReader(data)
    named = (
        invoice.part("parent", "subscription_details").account_named()
        or invoice.part("subscription_details").account_named()
        or invoice.account_named()
    )
    id = invoice.text("id", ID)
    if id is None:
        return Read(None, named, (*invoice.problems, "id"))
    report = StripeInvoiceReported(
        invoice=id,
        **origin._asdict(),
        **invoice.read(_INVOICE),
        status=_invoice_status(invoice),
        tax=_tax(invoice),
        discounts=_discounted(invoice),
        lines=tuple(_lines(invoice.part("lines"))),
        problems=invoice.found_problems,
    )
    return Read(report, named, report.problems, payments=_payments(invoice))


def _discounted(invoice: StripeObjectReader) -> tuple[StripeDiscount, ...]:
    """Return an invoice's discounts; a trial has them too, and they take nothing off it."""
    taken = _amounts_off(invoice, "total_discount_amounts")
    known = {one.discount for one in taken}
    return (
        *taken,
        *(StripeDiscount(id, 0) for id in reader.discount_ids(invoice) if id not in known),
    )


def _invoice_status(invoice: StripeObjectReader) -> str | None:
    if "status" in invoice:
        return invoice.word("status")
    return "paid" if invoice.flag("paid") else "open"


def _tax(invoice: StripeObjectReader) -> int | None:
    if "tax" in invoice:
        return invoice.number("tax")
    field = "total_taxes" if "total_taxes" in invoice else "total_tax_amounts"
    return (
        sum(one.number("amount") or 0 for one in invoice.parts(field)) if field in invoice else None
    )


def _lines(listed: StripeObjectReader) -> Iterator[StripeInvoiceLine]:
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


def _amounts_off(holder: StripeObjectReader, name: str) -> tuple[StripeDiscount, ...]:
    return tuple(
        StripeDiscount(one.id("discount"), one.number("amount") or 0) for one in holder.parts(name)
    )


def _taxes(line: StripeObjectReader) -> Iterator[StripeTax]:
    new = "taxes" in line
    for one in line.parts("taxes" if new else "tax_amounts"):
        rate = one.part("tax_rate_details").id("tax_rate") if new else one.id("tax_rate")
        included = one.word("tax_behavior") == "inclusive" or one.flag("inclusive") is True
        yield StripeTax(rate, one.number("amount") or 0, included)


# Purchases, refunds, disputes


def _payments(paid: StripeObjectReader) -> tuple[str, ...]:
    """Return the ids of what an object was paid by: at its top, or in its list of payments."""
    ids = [paid.id("charge"), paid.id("payment_intent")]
    for one in paid.part("payments").parts("data"):
        payment = one.part("payment")
        ids += [payment.id("charge"), payment.id("payment_intent")]
    return tuple(dict.fromkeys(filter(None, ids)))


def read_invoice_payment(data: dict[str, Any]) -> Read:
    """Return which payment an invoice was paid by; nothing else that is sent since 2025 tells.

    If the invoice or the payment is missing, what is read has neither, and is not `wanted`.
    """
    paid = StripeObjectReader(data)
    invoice, payment = paid.id("invoice"), paid.part("payment")
    ids = tuple(filter(None, (payment.id("charge"), payment.id("payment_intent"))))
    if invoice is None or not ids:
        return Read(None, None, tuple(paid.problems), wanted=False)
    return Read(None, None, (), payments=ids, invoice=invoice)


_CHECKOUT: Final[dict[str, FieldReader]] = {
    "customer": reader.id_of,
    "stripe_subscription": reader.at("subscription", read=reader.id_of),
    "invoice": reader.id_of,
    "mode": reader.word,
    "status": reader.word,
    "payment_status": reader.word,
    "currency": reader.text(CURRENCY),
    "amount_subtotal": reader.number,
    "amount_total": reader.number,
    "amount_discount": reader.at("total_details", "amount_discount", read=reader.number),
    "amount_tax": reader.at("total_details", "amount_tax", read=reader.number),
}


def read_checkout(data: dict[str, Any], origin: Origin) -> Read:
    """Return a Checkout session as our fact."""
    session = StripeObjectReader(data)
    named, claimed = session.account_named(), session.text("client_reference_id", ACCOUNT)
    id = session.text("id", ID)
    if id is None:
        return Read(None, named, (*session.problems, "id"))
    report = StripeCheckoutReported(
        checkout=id,
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        **session.read(_CHECKOUT),
        problems=session.found_problems,
    )
    return Read(report, named, report.problems, claimed=claimed, payments=_payments(session))


_CHARGE: Final[dict[str, FieldReader]] = {
    "payment_intent": reader.id_of,
    "amount": reader.number,
    "amount_refunded": reader.number,
    "refunded": reader.flag,
    "currency": reader.text(CURRENCY),
    "reason": reader.word,
    "status": reader.word,
}


def read_charge(data: dict[str, Any], origin: Origin, kind: Literal["charge", "dispute"]) -> Read:
    """Return a refunded charge, or a dispute, as our fact."""
    charge = StripeObjectReader(data)
    id, named = charge.text("id", ID), charge.account_named()
    if id is None:
        return Read(None, named, (*charge.problems, "id"))
    report = StripeChargeReported(
        kind=kind,
        id=id,
        charge=id if kind == "charge" else charge.id("charge"),
        customer=charge.id("customer") or charge.part_if_object("charge").id("customer"),
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        **charge.read(_CHARGE),
        problems=charge.found_problems,
    )
    return Read(report, named, report.problems)
