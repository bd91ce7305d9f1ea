"""Invoices that belong to no subscription: made of invoice items by hand."""

from __future__ import annotations

from typing import Any

from tests.stripe_server import invoices
from tests.stripe_server.blanks import blank
from tests.stripe_server.errors import Json, invalid
from tests.stripe_server.prorations import amount_of
from tests.stripe_server.world import World


def routes(route: Any) -> list[Any]:
    """Return the calls of this module."""
    return [
        route("POST", "/v1/invoiceitems", "invoice_item_create", create_item),
        route("POST", "/v1/invoices", "invoice_create", create_invoice),
        route("POST", "/v1/invoices/*/finalize", "invoice_finalize_invoice", finalize),
    ]


def create_item(world: World, params: Json) -> Json:
    """Make an item for a customer's next invoice."""
    customer = world.get("customer", params.get("customer"), "customer", 400)
    named = (params.get("pricing") or {}).get("price")
    quantity = params.get("quantity", 1)
    price = world.get("price", named, "pricing[price]", 400) if named else None
    amount = amount_of(world, price, quantity) if price else params.get("amount", 0)
    item = world.add(
        {
            "id": world.new_id("ii"),
            "object": "invoiceitem",
            "amount": amount,
            "currency": price["currency"] if price else params.get("currency", "usd"),
            "customer": customer["id"],
            "customer_account": None,
            "date": world.clock,
            "description": params.get("description"),
            "discountable": True,
            "discounts": [],
            "invoice": params.get("invoice"),
            "livemode": world.settings.livemode,
            "metadata": params.get("metadata") or {},
            "parent": None,
            "period": {"end": world.clock, "start": world.clock},
            "pricing": None,
            "proration": False,
            "quantity": quantity,
            "quantity_decimal": str(quantity),
            "tax_rates": [],
            "test_clock": None,
        }
    )
    world.emit("invoiceitem.created", item)
    if item["invoice"] is not None:
        _put(world, world.get("invoice", item["invoice"], "invoice", 400), [item])
    return item


def create_invoice(world: World, params: Json) -> Json:
    """Draft an invoice of a customer's waiting items."""
    customer = world.get("customer", params.get("customer"), "customer", 400)
    imagined = blank(world, {"customer": customer["id"]})
    imagined["collection_method"] = params.get("collection_method", "charge_automatically")
    invoice = invoices.draft(world, imagined, [], "manual")
    invoice |= {"parent": None, "auto_advance": params.get("auto_advance", False)}
    invoice["metadata"] = params.get("metadata") or {}
    # The event told of an invoice without lines and with a parent that never was.
    world.events[-1]["data"]["object"]["parent"] = None
    if params.get("pending_invoice_items_behavior") == "include":
        waiting = [
            one
            for one in world.all("invoiceitem")
            if one["customer"] == customer["id"] and one["invoice"] is None and not one["proration"]
        ]
        _put(world, invoice, waiting)
    return invoice


def _put(world: World, invoice: Json, items: list[Json]) -> None:
    if invoice["status"] != "draft":
        raise invalid("This invoice is no longer editable", code="invoice_not_editable")
    for item in items:
        item["invoice"] = invoice["id"]
        invoice["lines"]["data"].append(_line(world, invoice, item))
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    invoice["lines"]["total_count"] = len(invoice["lines"]["data"])
    figures = ("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax")
    invoice |= dict.fromkeys((*figures, "amount_due", "amount_remaining"), total)


def _line(world: World, invoice: Json, item: Json) -> Json:
    return {
        "id": world.new_id("il"),
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice["id"],
        "livemode": item["livemode"],
        "metadata": item["metadata"],
        "parent": {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": None,
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": item["quantity"],
        "quantity_decimal": item["quantity_decimal"],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": [],
    }


def finalize(world: World, params: Json, name: str) -> Json:
    """Finalise a draft."""
    invoice = world.get("invoice", name)
    if invoice["status"] != "draft":
        raise invalid("This invoice is already finalized.", code="invoice_not_editable")
    invoices.finalize(world, invoice)
    return invoice
