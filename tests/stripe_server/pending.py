"""Lines that wait for an invoice: prorations, as pending invoice items."""

from __future__ import annotations

from tests.stripe_server import invoices
from tests.stripe_server.errors import Json
from tests.stripe_server.payments import follow, settle
from tests.stripe_server.world import World


def settle_and_follow(world: World, invoice: Json) -> None:
    """Collect, and let the subscription's status follow."""
    settle(world, invoice)
    follow(world, invoice)


def invoice_pending(
    world: World, subscription: Json, reason: str, lines: list[Json] | None = None
) -> Json:
    """Draft an invoice of what is pending and of further lines."""
    pending = world.pending_lines.pop(subscription["id"], [])
    invoice = invoices.draft(world, subscription, [*pending, *(lines or [])], reason)
    subscription["latest_invoice"] = invoice["id"]
    for line in pending:
        if line.get("invoice_item"):
            world.tables["invoiceitem"][line["invoice_item"]]["invoice"] = invoice["id"]
    return invoice


def keep_lines(world: World, subscription: Json, lines: list[Json]) -> None:
    """Keep prorations as pending invoice items."""
    for line in lines:
        if line["proration"]:
            line["invoice_item"] = _invoice_item(world, subscription, line)["id"]
        world.pending_lines[subscription["id"]].append(line)


def _invoice_item(world: World, subscription: Json, line: Json) -> Json:
    price = line["price"]
    item = world.add(
        {
            "id": world.new_id("ii"),
            "object": "invoiceitem",
            "amount": line["amount"],
            "currency": price["currency"],
            "customer": subscription["customer"],
            "customer_account": None,
            "date": world.clock,
            "description": line["description"],
            "discountable": False,
            "discounts": [],
            "invoice": None,
            "livemode": world.settings.livemode,
            "metadata": subscription["metadata"],
            "net_amount": line["amount"] - sum(taken for _, taken in line.get("itemized", [])),
            "parent": {
                "subscription_details": {
                    "subscription": subscription["id"],
                    "subscription_item": line["item"],
                },
                "type": "subscription_details",
            },
            "period": {"end": line["end"], "start": line["start"]},
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]},
                "type": "price_details",
                "unit_amount_decimal": price["unit_amount_decimal"],
            },
            "proration": True,
            "quantity": line["quantity"],
            "quantity_decimal": str(line["quantity"]),
            "tax_rates": [],
            "test_clock": None,
        }
    )
    world.emit("invoiceitem.created", item)
    return item
