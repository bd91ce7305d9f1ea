"""Stripe's objects as our facts: what is taken from them, and nothing else.

A fact is built from the list of what may be kept; nothing is ever deleted from what Stripe sent.
The shapes of all API versions since 2017 are read, by what is there and not by the version's name,
since an event keeps the shape that it was made with. docs/stripe.md lists every field that is kept.

Source: Stripe's API reference and its changelog; docs/stripe.md, "Shapes".
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from ledger.catalog import Catalog
from ledger.limits import QUANTITY_MAX, SEATS_MAX
from ledger.stripe import reader
from ledger.stripe.facts import (
    Meaning,
    StripeCustomerDeleted,
    StripeItem,
    StripeSubscriptionReported,
    StripeTerms,
)
from ledger.stripe.invoices import read_charge, read_checkout, read_invoice, read_invoice_payment
from ledger.stripe.reader import (
    API_VERSION,
    CURRENCY,
    EVENT_TYPE,
    ID,
    FieldReader,
    Origin,
    Read,
    StripeObjectReader,
)

# In days; Stripe bills every three years at the least.
INTERVAL_COUNT_MAX: Final = 3 * 366
_PACKAGES: Final = "transform_usage"  # of a plan
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KIND: Final = re.compile(r"[a-z_.]{1,64}")
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


_ENVELOPE: Final[dict[str, FieldReader]] = {
    "id": reader.text(ID),
    "type": reader.text(EVENT_TYPE),
    "created": reader.time,
    "livemode": reader.flag,
    "api_version": reader.text(API_VERSION),
    "connected": reader.either(
        reader.at("account", read=reader.text(ID)), reader.at("context", read=reader.text(_CONTEXT))
    ),
}
_HELD: Final[dict[str, FieldReader]] = {
    "object": reader.at("id", read=reader.text(ID)),
    "object_kind": reader.at("object", read=reader.text(_KIND)),
}


def read_event(payload: object) -> StripeEvent:
    """Read the envelope of an event, and return it with the object as it was sent.

    Raises:
        NotAnEvent: something of it is missing or not what it should be.
    """
    if not isinstance(payload, dict):
        raise NotAnEvent("the body must be a JSON object")
    if payload.get("object") != "event":
        raise NotAnEvent("`object` must be `event`")
    envelope = StripeObjectReader(payload).read(_ENVELOPE)
    data = payload.get("data")
    held = data.get("object") if isinstance(data, dict) else None
    for name in ("id", "type", "created", "livemode"):
        if envelope[name] is None:
            raise NotAnEvent(f"`{name}` is missing or not what an event has")
    if not isinstance(held, dict):
        raise NotAnEvent("`data.object` must be an object")
    return StripeEvent(**envelope, **StripeObjectReader(held).read(_HELD), data=held)


def read_report(event: StripeEvent, catalog: Catalog) -> Read:
    """Return what an event reports, as our fact."""
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
            return read_invoice_payment(event.data)
        case "checkout", "checkout.session":
            return read_checkout(event.data, origin)
        case "charge", "charge" if rest == "refunded":
            return read_charge(event.data, origin, "charge")
        case "charge", "dispute":
            return read_charge(event.data, origin, "dispute")
        case "customer", "customer" if rest == "deleted" and event.object:
            return Read(StripeCustomerDeleted(
                customer=event.object, created=event.created, stripe_event=event.id
            ), None, ())  # fmt: skip
    wanted = event.type.startswith("customer.subscription.")
    return Read(None, None, ("object",) if wanted else (), wanted)


# Subscriptions


_SUBSCRIPTION: Final[dict[str, FieldReader]] = {
    "customer": reader.id_of,
    "status": reader.required(reader.word),
    "started_at": reader.first(reader.time, "start_date", "start", "created"),
    "trial_end": reader.time,
    "cancel_at": reader.time,
    "canceled_at": reader.time,
    "ended_at": reader.time,
    "cancellation_reason": reader.at("cancellation_details", "reason", read=reader.word),
    "currency": reader.text(CURRENCY),
    "collection_method": reader.first(reader.word, "collection_method", "billing"),
    "billing_mode": reader.at("billing_mode", "type", read=reader.word),
    "pause_behavior": reader.at("pause_collection", "behavior", read=reader.word),
    "pause_resumes_at": reader.at("pause_collection", "resumes_at", read=reader.time),
    "schedule": reader.id_of,
    "latest_invoice": reader.id_of,
    "discounts": reader.discount_ids,
}


def read_subscription(data: dict[str, Any], origin: Origin, catalog: Catalog) -> Read:
    """Return a subscription as our fact."""
    subscription = StripeObjectReader(data)
    id, named = subscription.text("id", ID), subscription.account_named()
    if id is None:
        return Read(None, named, (*subscription.problems, "id"))
    report = StripeSubscriptionReported(
        stripe_subscription=id,
        **origin._asdict(),
        items=_items(subscription, catalog),
        **subscription.read(_SUBSCRIPTION),
        cancel_at_period_end=subscription.flag("cancel_at_period_end") or False,
        problems=subscription.found_problems,  # last: by now everything has been read
    )
    return Read(report, named, report.problems)


def _items(subscription: StripeObjectReader, catalog: Catalog) -> tuple[StripeItem, ...] | None:
    """Return the items; None when they are not there, or not all of them."""
    listed = subscription.part("items")
    if "data" not in listed:
        if "plan" in subscription:  # before 2017 a subscription had one plan, and was its own item
            return (_item(subscription, subscription, catalog),)
        subscription.misfit("items")
        return None
    if listed.flag("has_more"):
        listed.misfit("has_more")
        return None
    return tuple(_item(item, subscription, catalog) for item in listed.parts("data"))


_PRICE: Final[dict[str, FieldReader]] = {
    "lookup_key": reader.text(ID),
    "stripe_product": reader.at("product", read=reader.id_of),
    "usage_type": reader.either(
        reader.at("recurring", "usage_type", read=reader.word), reader.word
    ),
    "currency": reader.text(CURRENCY),
    "unit_amount": reader.either(
        reader.decimal("unit_amount_decimal", "unit_amount"),
        reader.decimal("amount_decimal", "amount"),
    ),
}


_ITEM: Final[dict[str, FieldReader]] = {
    "id": reader.text(ID),
    "period_start": reader.at("current_period_start", read=reader.time),
    "period_end": reader.at("current_period_end", read=reader.time),
    "discounts": reader.discount_ids,
}


def _item(
    item: StripeObjectReader, subscription: StripeObjectReader, catalog: Catalog
) -> StripeItem:
    field = "price" if "price" in item else "plan"
    id, price = item.id(field), item.part_if_object(field)
    of_price = price.read(_PRICE)
    recurring = price.part("recurring")
    quantity = item.count("quantity", at_most=QUANTITY_MAX)
    if "quantity" not in item and of_price["usage_type"] != "metered":
        quantity = 1  # as in a subscription of one plan; one that does not fit is not known
    interval, interval_count = _interval(recurring if "interval" in recurring else price)
    of_item = item.read(_ITEM)
    if item is subscription:
        of_item.update(id=None, discounts=())
    for end in ("period_start", "period_end"):
        of_item[end] = of_item[end] or subscription.time(f"current_{end}")
    return StripeItem(
        price=id,
        **of_item,
        **of_price,
        quantity=quantity,
        interval=interval,
        interval_count=interval_count,
        meaning=meaning_of(
            catalog,
            id,
            of_price["lookup_key"],
            of_price["stripe_product"],
            price.part("metadata"),
        ),
        terms=_terms(price, item, subscription) if "id" in price else None,
    )


def _interval(price: StripeObjectReader) -> tuple[str | None, int | None]:
    """Return how often a price is paid: no interval at all where its count does not fit."""
    interval = price.word("interval")
    count = price.count("interval_count", at_least=1, at_most=INTERVAL_COUNT_MAX)
    return (interval if count is not None or "interval_count" not in price else None), count


def _terms(
    price: StripeObjectReader, item: StripeObjectReader, subscription: StripeObjectReader
) -> StripeTerms:
    """Return what an item's amount depends on; a scheme that is not named is from before tiers."""
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
    item: StripeObjectReader, subscription: StripeObjectReader
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
    is_said = "default_tax_rates" in subscription or "automatic_tax" in subscription
    return "none" if is_said else None, ()


def meaning_of(
    catalog: Catalog,
    price: str | None,
    lookup_key: str | None,
    stripe_product: str | None,
    metadata: StripeObjectReader | None = None,
) -> Meaning | None:
    """Return what a price gives: as the catalog says, else as the price's own metadata say."""
    sold = catalog.sold_by(price, lookup_key, stripe_product)
    if sold is None:
        return _meaning_in(metadata, catalog) if metadata else None
    if sold.price.base:
        return Meaning(sold.product.id, sold.tier, 0, sold.product.included, billed=True)
    return Meaning(sold.product.id, sold.tier, sold.price.seats, billed=sold.product.billed)


def meaning_of_price(catalog: Catalog, id: str, data: dict[str, Any]) -> Meaning | None:
    """Return what a price gives, by the price as Stripe has it now."""
    price = StripeObjectReader(data)
    lookup_key, stripe_product = price.text("lookup_key", ID), price.id("product")
    return meaning_of(catalog, id, lookup_key, stripe_product, price.part("metadata"))


def _meaning_in(metadata: StripeObjectReader, catalog: Catalog) -> Meaning | None:
    product = catalog.product(metadata.text("keyfold_product", _NAME) or "")
    if product is None:
        return None
    tier = metadata.text("keyfold_tier", _NAME)
    if tier not in product.tier_ids:
        metadata.misfit("keyfold_tier")
        return None
    seats = int(metadata.text("keyfold_seats", _SEATS) or 1)
    return Meaning(product.id, tier, min(seats, SEATS_MAX), billed=product.billed)
