"""Invoices: drafted from lines, finalised, paid or not; and previews of what one would say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.stripe_server import discounts
from tests.stripe_server.answers import listed
from tests.stripe_server.errors import Json
from tests.stripe_server.money import rounded
from tests.stripe_server.world import World, copied, page

# So many lines come with an invoice; the rest is listed.
EMBEDDED_MAX = 10


def draft(
    world: World,
    subscription: Json,
    lines: list[Json],
    reason: str,
    *,
    period: tuple[int, int] | None = None,
    keep: bool = True,
) -> Json:
    """Make an invoice of drafted lines; with `keep` False it is only a preview."""
    customer = world.tables["customer"].get(subscription["customer"]) or {}
    name = world.new_id("in") if keep else world.new_id("upcoming_in")
    discounts.apply(world, lines, subscription["discounts"])
    taxes = [_taxes(world, line, subscription) for line in lines]
    items = [
        _line_item(world, name, subscription, line, tax)
        for line, tax in zip(lines, taxes, strict=True)
    ]
    start, end = period or (world.clock, world.clock)
    invoice = _blank(world, name, customer, subscription)
    invoice |= {
        "billing_reason": reason,
        "discounts": list(subscription["discounts"]),
        "lines": page(items, f"/v1/invoices/{name}/lines"),
        "period_end": end,
        "period_start": start,
        **_totals(items, taxes),
    }
    _balance(invoice, customer)
    if keep:
        world.add(invoice)
        _remember_debits(world, lines, items, name)
        world.emit("invoice.created", invoice)
    return invoice


def _remember_debits(world: World, lines: list[Json], items: list[Json], name: str) -> None:
    for line, item in zip(lines, items, strict=True):
        if line["item"] is not None and line["amount"] >= 0 and "Unused" not in line["description"]:
            world.debits[line["item"]] = {
                "quantity": line["quantity"],
                "invoice": name,
                "line": item["id"],
            }


def _taxes(world: World, line: Json, subscription: Json) -> list[Json]:
    taxes = []
    for rate in subscription["default_tax_rates"] or []:
        percent = Fraction(str(rate["percentage"]))
        base = line["left"]
        taxed = base * percent / (100 + percent) if rate["inclusive"] else base * percent / 100
        taxes.append(
            {
                "amount": rounded(Fraction(taxed)),
                "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
                "tax_rate_details": {"tax_rate": rate["id"]},
                "taxability_reason": "standard_rated",
                "taxable_amount": base,
                "type": "tax_rate_details",
            }
        )
    return taxes


def _line_item(
    world: World, invoice: str, subscription: Json, line: Json, taxes: list[Json]
) -> Json:
    price = line["price"]
    return {
        "id": world.new_id("il"),
        "object": "line_item",
        "amount": line["amount"],
        "currency": price["currency"],
        "description": line["description"],
        "discount_amounts": line["taken"],
        "discountable": line["discountable"],
        "discounts": list(line["discounts"]),
        "invoice": invoice,
        "livemode": world.settings.livemode,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": line.get("invoice_item"),
                "proration": line["proration"],
                "proration_details": {"credited_items": line["credited"]},
                "subscription": subscription["id"],
                "subscription_item": line["item"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": line["end"], "start": line["start"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": line["quantity"],
        "quantity_decimal": str(line["quantity"]),
        "subscription": subscription["id"],
        "subtotal": line["amount"],
        "taxes": taxes,
    }


def _totals(items: list[Json], taxes: list[list[Json]]) -> Json:
    subtotal = sum(item["amount"] for item in items)
    taken: dict[str, int] = {}
    for item in items:
        for one in item["discount_amounts"]:
            taken[one["discount"]] = taken.get(one["discount"], 0) + one["amount"]
    summed: dict[str, Json] = {}
    for tax in (one for line in taxes for one in line):
        known = summed.setdefault(
            tax["tax_rate_details"]["tax_rate"], {**tax, "amount": 0, "taxable_amount": 0}
        )
        known["amount"] += tax["amount"]
        known["taxable_amount"] += tax["taxable_amount"]
    discounted = subtotal - sum(taken.values())
    added = sum(tax["amount"] for tax in summed.values() if tax["tax_behavior"] == "exclusive")
    included = sum(tax["amount"] for tax in summed.values() if tax["tax_behavior"] == "inclusive")
    return {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - included,
        "total": discounted + added,
        "total_discount_amounts": [
            {"amount": amount, "discount": name} for name, amount in taken.items()
        ],
        "total_excluding_tax": discounted - included,
        "total_pretax_credit_amounts": [],
        "total_taxes": list(summed.values()),
    }


def _balance(invoice: Json, customer: Json) -> None:
    """Set what is due: a customer's credit is used up first, and a credit note adds to it."""
    starting = customer.get("balance", 0)
    invoice["starting_balance"] = starting
    invoice["amount_due"] = max(0, invoice["total"] + starting)
    invoice["amount_remaining"] = invoice["amount_due"]


def _blank(world: World, name: str, customer: Json, subscription: Json) -> Json:
    return {
        "id": name,
        "object": "invoice",
        "account_country": "US",
        "account_name": None,
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": dict(subscription["automatic_tax"], provider=None, status=None),
        "automatically_finalizes_at": None,
        "collection_method": subscription["collection_method"],
        "created": world.clock,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": subscription["customer"],
        "customer_address": customer.get("address"),
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_phone": customer.get("phone"),
        "customer_shipping": customer.get("shipping"),
        "customer_tax_exempt": customer.get("tax_exempt", "none"),
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": list(subscription["default_tax_rates"] or []),
        "description": None,
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "livemode": world.settings.livemode,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": None,
        "webhooks_delivered_at": None,
    }


def finalize(world: World, invoice: Json) -> None:
    """Give a draft its number and make it owed; what is owed nothing is paid at once."""
    customer = world.tables["customer"].get(invoice["customer"]) or {"next_invoice_sequence": 1}
    number = customer["next_invoice_sequence"]
    customer["next_invoice_sequence"] = number + 1
    _balance(invoice, customer)
    total, starting = invoice["total"], invoice["starting_balance"]
    ending = min(0, total + starting) if starting <= 0 else 0
    customer["balance"] = ending
    invoice |= {
        "status": "open",
        "number": f"{customer.get('invoice_prefix', 'GONE')}-{number:04d}",
        "effective_at": world.clock,
        "automatically_finalizes_at": None,
        "ending_balance": ending,
        "hosted_invoice_url": f"https://invoice.stripe.com/i/{invoice['id']}",
        "invoice_pdf": f"https://pay.stripe.com/invoice/{invoice['id']}/pdf",
    }
    invoice["status_transitions"]["finalized_at"] = world.clock
    world.emit("invoice.finalized", invoice)


def mark(world: World, invoice: Json, status: str) -> Json:
    """Void an invoice, or call it uncollectible."""
    invoice["status"] = status
    invoice["next_payment_attempt"] = None
    word = {"void": "voided", "uncollectible": "marked_uncollectible"}[status]
    invoice["status_transitions"][f"{word}_at"] = world.clock
    invoice["auto_advance"] = False
    world.emit(f"invoice.{word}", invoice)
    return invoice


def subscription_of(world: World, invoice: Json) -> Json | None:
    """Return the subscription an invoice is for."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return world.tables["subscription"].get(details["subscription"]) if details else None


def answer_preview(world: World, subscription: Json, lines: list[Json], at: int) -> Any:
    """Return a preview, as it would be made at a time."""
    shown, now = copied(subscription), world.clock
    world.clock = at  # a discount may be over by then
    invoice = draft(world, shown, copied(lines), "upcoming", period=(now, at), keep=False)
    world.clock = now
    invoice |= {"created": at, "next_payment_attempt": at, "auto_advance": True}
    for line in invoice["lines"]["data"]:
        line["invoice"] = invoice["id"]
    world.lines[invoice["id"]] = invoice["lines"]["data"]
    more = len(invoice["lines"]["data"]) > EMBEDDED_MAX
    whole = invoice["lines"]
    invoice["lines"] = {**whole, "data": whole["data"][:EMBEDDED_MAX], "has_more": more}
    return invoice


def list_lines(world: World, params: Json, name: str) -> Json:
    """Return one page of an invoice's lines, in their order; of a preview as well."""
    known = world.lines.get(name)
    lines = known if known is not None else world.get("invoice", name)["lines"]["data"]
    return listed(list(reversed(lines)), params, f"/v1/invoices/{name}/lines")
