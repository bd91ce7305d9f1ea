"""Stripe's objects as our facts: what is taken from them, and nothing else.

A fact is built from the list of what may be kept; nothing is ever deleted from what Stripe sent.
The shapes of all API versions since 2017 are read, by what is there and not by the version's name,
since an event keeps the shape that it was made with. docs/stripe.md lists every field that is kept.

Source: Stripe's API reference and its changelog; docs/stripe.md, "Shapes".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from ledger.catalog import Catalog
from ledger.limits import ACCOUNT_ID, QUANTITY_MAX, SEATS_MAX
from ledger.stripe.facts import (
    Meaning,
    StripeChargeReported,
    StripeCheckoutReported,
    StripeCustomerDeleted,
    StripeDiscount,
    StripeInvoiceLine,
    StripeInvoiceReported,
    StripeItem,
    StripeReport,
    StripeSubscriptionReported,
    StripeTax,
    StripeTerms,
)
from ledger.stripe.reader import API_VERSION, CURRENCY, EVENT_TYPE, ID, INVOICE_NUMBER, Told

ACCOUNT_FIELD: Final = "keyfold_account"
# That are kept of an invoice; and one more, by which it is known that there are others.
LINES_MAX: Final = 100
LINES_ASKED: Final = LINES_MAX + 1
# In days; Stripe bills every three years at the least.
INTERVAL_COUNT_MAX: Final = 3 * 366
_PACKAGES: Final = "transform_usage"  # of a plan
_ACCOUNT: Final = re.compile(ACCOUNT_ID)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9_/]{1,255}")
_SEATS: Final = re.compile(r"[1-9][0-9]{0,5}")

# Of what is said twice, one is taken; a preview of an invoice has no id yet.
_PASSED_OVER: Final = frozenset(
    {"invoice.payment_succeeded", "invoice.upcoming", "invoice.deleted", "invoice.will_be_due"}
)


class NotAnEvent(ValueError):
    """This is no event of Stripe's; the message names the field that is missing or does not fit."""


class StripeEvent(NamedTuple):
    """An event's envelope, and its object as Stripe sent it, which must not be kept.

    Attributes:
        connected: the Stripe account that it names; None where only the key's own can be meant.
    """

    id: str
    type: str
    created: datetime
    livemode: bool
    api_version: str | None
    connected: str | None
    object: str | None
    object_kind: str | None
    data: dict[str, Any]


class Origin(NamedTuple):
    """Where a report comes from.

    Attributes:
        source: the event's type, or `retrieved`.
        created: by Stripe's clock.
        retrieved_at: by ours, when it was asked for.
    """

    source: str
    created: datetime
    stripe_event: str | None = None
    retrieved_at: datetime | None = None


class Read(NamedTuple):
    """What was read of an object.

    Attributes:
        report: None for an object that is not reported, or that has not even an id.
        account: that the object's metadata name.
        wanted: whether it is of a type that is reported.
        claimed: a Checkout session's `client_reference_id`: a browser can set it to any account's.
        payments: ids of the charge and the payment intent of an invoice or a session; of a refund
            or a dispute that of the subscription that was paid, if that is known.
        invoice: that the payments are of, where nothing else is told: no report, but they belong
            together.
    """

    report: StripeReport | None
    account: str | None
    problems: tuple[str, ...]
    wanted: bool = True
    claimed: str | None = None
    payments: tuple[str, ...] = ()
    invoice: str | None = None


def read_event(payload: object) -> StripeEvent:
    """Read the envelope of an event.

    Raises:
        NotAnEvent: something of it is missing or not what it should be.
    """
    if not isinstance(payload, dict):
        raise NotAnEvent("the body must be a JSON object")
    told = Told(payload)
    if payload.get("object") != "event":
        raise NotAnEvent("`object` must be `event`")
    id, type = told.text("id", ID), told.text("type", EVENT_TYPE)
    created, livemode = told.time("created"), told.flag("livemode")
    data = payload.get("data")
    held = data.get("object") if isinstance(data, dict) else None
    for name, value in (("id", id), ("type", type), ("created", created), ("livemode", livemode)):
        if value is None:
            raise NotAnEvent(f"`{name}` is missing or not what an event has")
    if not isinstance(held, dict):
        raise NotAnEvent("`data.object` must be an object")
    assert id is not None
    assert type is not None
    assert created is not None
    object = Told(held)
    return StripeEvent(
        id,
        type,
        created,
        livemode is True,
        told.text("api_version", API_VERSION),
        told.text("account", ID) or told.text("context", _CONTEXT),
        object.text("id", ID),
        object.text("object", re.compile(r"[a-z_.]{1,64}")),
        held,
    )


def read_report(event: StripeEvent, catalog: Catalog) -> Read:
    """Answer what an event reports, as our fact."""
    origin = Origin(event.type, event.created, event.id)
    family, _, rest = event.type.partition(".")
    if event.type in _PASSED_OVER:
        return Read(None, None, (), wanted=False)
    match family, event.object_kind:
        case "customer", "subscription":
            return read_subscription(event.data, origin, catalog)
        case "invoice", "invoice":
            return read_invoice(event.data, origin)
        case "invoice_payment", "invoice_payment" if rest == "paid":
            return _invoice_payment(event.data)
        case "checkout", "checkout.session":
            return _checkout(event.data, origin)
        case "charge", "charge" if rest == "refunded":
            return _charge(event.data, origin, "charge")
        case "charge", "dispute":
            return _charge(event.data, origin, "dispute")
        case "customer", "customer" if rest == "deleted" and event.object:
            return Read(StripeCustomerDeleted(
                customer=event.object, created=event.created, stripe_event=event.id
            ), None, ())  # fmt: skip
    wanted = event.type.startswith("customer.subscription.")
    return Read(None, None, ("object",) if wanted else (), wanted)


# Subscriptions


def read_subscription(data: dict[str, Any], origin: Origin, catalog: Catalog) -> Read:
    """Answer a subscription as our fact."""
    told = Told(data)
    id, named = told.text("id", ID), _named(told)
    if id is None:
        return Read(None, named, (*told.problems, "id"))
    pause = told.part("pause_collection")
    report = StripeSubscriptionReported(
        stripe_subscription=id,
        customer=told.id("customer"),
        source=origin.source,
        created=origin.created,
        stripe_event=origin.stripe_event,
        retrieved_at=origin.retrieved_at,
        status=_required(told, "status"),
        items=_items(told, catalog),
        started_at=told.time("start_date") or told.time("start") or told.time("created"),
        trial_end=told.time("trial_end"),
        cancel_at=told.time("cancel_at"),
        cancel_at_period_end=told.flag("cancel_at_period_end") or False,
        canceled_at=told.time("canceled_at"),
        ended_at=told.time("ended_at"),
        cancellation_reason=told.part("cancellation_details").word("reason"),
        currency=told.text("currency", CURRENCY),
        collection_method=told.word("collection_method") or told.word("billing"),
        billing_mode=told.part("billing_mode").word("type"),
        pause_behavior=pause.word("behavior"),
        pause_resumes_at=pause.time("resumes_at"),
        schedule=told.id("schedule"),
        latest_invoice=told.id("latest_invoice"),
        discounts=_discounts(told),
        problems=tuple(dict.fromkeys(told.problems)),  # last: by now everything has been read
    )
    return Read(report, named, report.problems)


def _required(told: Told, name: str) -> str | None:
    if name not in told:
        told.misfit(name)
    return told.word(name)


def _items(told: Told, catalog: Catalog) -> tuple[StripeItem, ...] | None:
    """Answer the items; None when they are not there, or not all of them."""
    listed = told.part("items")
    if "data" not in listed:
        if "plan" in told:  # before 2017 a subscription had one plan, and was its own item
            return (_item(told, told, catalog),)
        told.misfit("items")
        return None
    if listed.flag("has_more"):
        listed.misfit("has_more")
        return None
    return tuple(_item(item, told, catalog) for item in listed.parts("data"))


def _item(item: Told, subscription: Told, catalog: Catalog) -> StripeItem:
    field = "price" if "price" in item else "plan"
    price, recurring = item.part_if_object(field), item.part_if_object(field).part("recurring")
    price_id, lookup_key = item.id(field), price.text("lookup_key", ID)
    stripe_product = price.id("product")
    usage_type = recurring.word("usage_type") or price.word("usage_type")
    quantity = item.count("quantity", at_most=QUANTITY_MAX)
    if "quantity" not in item and usage_type != "metered":
        quantity = 1  # as in a subscription of one plan; one that does not fit is not known
    interval, interval_count = _interval(recurring if "interval" in recurring else price)
    return StripeItem(
        id=None if item is subscription else item.text("id", ID),
        price=price_id,
        lookup_key=lookup_key,
        stripe_product=stripe_product,
        quantity=quantity,
        currency=price.text("currency", CURRENCY),
        unit_amount=price.decimal("unit_amount_decimal", "unit_amount")
        or price.decimal("amount_decimal", "amount"),
        interval=interval,
        interval_count=interval_count,
        usage_type=usage_type,
        period_start=_period(item, subscription, "current_period_start"),
        period_end=_period(item, subscription, "current_period_end"),
        discounts=() if item is subscription else _discounts(item),
        meaning=meaning_of(catalog, price_id, lookup_key, stripe_product, price.part("metadata")),
        terms=_terms(price, item, subscription) if "id" in price else None,
    )


def _interval(told: Told) -> tuple[str | None, int | None]:
    """Return how often a price is paid: no interval at all where its count does not fit."""
    interval = told.word("interval")
    count = told.count("interval_count", at_least=1, at_most=INTERVAL_COUNT_MAX)
    return (interval if count is not None or "interval_count" not in told else None), count


def _terms(price: Told, item: Told, subscription: Told) -> StripeTerms:
    """Return what an item's amount depends on; a scheme that is not told is from before tiers."""
    packages = price.part("transform_quantity" if "transform_quantity" in price else _PACKAGES)
    tax, rates = _tax_of(item, subscription)
    return StripeTerms(
        scheme=price.word("billing_scheme") or "per_unit",
        divide_by=packages.count("divide_by"),
        rounding=packages.word("round"),
        tax=tax,
        tax_rates=rates,
    )


def _tax_of(
    item: Told, subscription: Told
) -> tuple[Literal["none", "included", "added"] | None, tuple[str, ...]]:
    """Return whether tax is added to an item, and by which rates; an item's own go first."""
    if subscription.part("automatic_tax").flag("enabled"):
        return "added", ()
    holder = item if item is not subscription and item.values("tax_rates") else subscription
    name = "tax_rates" if holder is item else "default_tax_rates"
    rates = holder.ids(name)
    if rates:
        whole = [one for one in holder.values(name) if isinstance(one, dict)]
        included = len(whole) == len(rates) and all(one.get("inclusive") is True for one in whole)
        return "included" if included else "added", rates
    if subscription.says("tax_percent"):
        return "added", ()
    told = "default_tax_rates" in subscription or "automatic_tax" in subscription
    return "none" if told else None, ()


def _period(item: Told, subscription: Told, name: str) -> datetime | None:
    return item.time(name) or subscription.time(name)


def meaning_of(
    catalog: Catalog,
    price: str | None,
    lookup_key: str | None,
    stripe_product: str | None,
    metadata: Told | None = None,
) -> Meaning | None:
    """Answer what a price gives: as the catalog says, else as the price's own metadata say."""
    sold = catalog.sold_by(price, lookup_key, stripe_product)
    if sold is None:
        return _meaning_in(metadata, catalog) if metadata else None
    if sold.price.base:
        return Meaning(sold.product.id, sold.tier, 0, sold.product.included, billed=True)
    return Meaning(sold.product.id, sold.tier, sold.price.seats, billed=sold.product.billed)


def meaning_of_price(catalog: Catalog, id: str, data: dict[str, Any]) -> Meaning | None:
    """Return what a price gives, by the price as Stripe has it now."""
    price = Told(data)
    lookup_key, stripe_product = price.text("lookup_key", ID), price.id("product")
    return meaning_of(catalog, id, lookup_key, stripe_product, price.part("metadata"))


def _meaning_in(metadata: Told, catalog: Catalog) -> Meaning | None:
    product = catalog.product(metadata.text("keyfold_product", _NAME) or "")
    if product is None:
        return None
    tier = metadata.text("keyfold_tier", _NAME)
    if tier not in product.tier_ids:
        metadata.misfit("keyfold_tier")
        return None
    seats = int(metadata.text("keyfold_seats", _SEATS) or 1)
    return Meaning(product.id, tier, min(seats, SEATS_MAX), billed=product.billed)


def _discounts(told: Told) -> tuple[str, ...]:
    """Answer the ids of discounts, from a list of them or, in old shapes, from the only one."""
    one = told.id("discount") if "id" in told.part_if_object("discount") else None
    return tuple(dict.fromkeys(filter(None, (*told.ids("discounts"), one))))


def _named(told: Told) -> str | None:
    """Answer the account that an object's metadata name."""
    return told.part("metadata").text(ACCOUNT_FIELD, _ACCOUNT)


# Invoices


def read_invoice(data: dict[str, Any], origin: Origin) -> Read:
    """Answer an invoice as our fact."""
    told = Told(data)
    of_subscription = told.part("parent", "subscription_details")
    named = _named(of_subscription) or _named(told.part("subscription_details")) or _named(told)
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
    return (*taken, *(StripeDiscount(id, 0) for id in _discounts(told) if id not in known))


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


def _invoice_payment(data: dict[str, Any]) -> Read:
    """Read which payment an invoice was paid by; since 2025 nothing else that is sent tells it."""
    told = Told(data)
    invoice, payment = told.id("invoice"), told.part("payment")
    ids = tuple(filter(None, (payment.id("charge"), payment.id("payment_intent"))))
    if invoice is None or not ids:
        return Read(None, None, tuple(told.problems), wanted=False)
    return Read(None, None, (), payments=ids, invoice=invoice)


def _checkout(data: dict[str, Any], origin: Origin) -> Read:
    told = Told(data)
    named, claimed = _named(told), told.text("client_reference_id", _ACCOUNT)
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


def _charge(data: dict[str, Any], origin: Origin, kind: Literal["charge", "dispute"]) -> Read:
    told = Told(data)
    id = told.text("id", ID)
    if id is None:
        return Read(None, _named(told), (*told.problems, "id"))
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
    return Read(report, _named(told), report.problems)
