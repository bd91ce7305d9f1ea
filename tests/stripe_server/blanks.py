"""A subscription before it begins, and what is shown on top of it."""

from __future__ import annotations

from typing import Any

from tests.stripe_server.catalog import embedded
from tests.stripe_server.errors import Json
from tests.stripe_server.world import World


def mirror_single_item(subscription: Json) -> None:
    """Show `plan` and `quantity` on top where there is one item, as real answers still do."""
    items = subscription["items"]["data"]
    single = items[0] if len(items) == 1 else None
    subscription["plan"] = single["plan"] if single else None
    subscription["quantity"] = single["quantity"] if single else None


def tax_rates(world: World, params: Json) -> list[Any]:
    """Return the tax rates named in a request."""
    names = params.get("default_tax_rates") or []
    return [world.get("tax_rate", name, "default_tax_rates", 400) for name in names]


def blank(world: World, params: Json) -> Json:
    """Return a subscription without items, before it begins."""
    mode = params.get("billing_mode") or {"type": world.settings.billing_mode}
    flexible = {"proration_discounts": "included", **(mode.get("flexible") or {})}
    return {
        "id": world.new_id("sub"),
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": world.clock,
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": flexible if mode["type"] == "flexible" else None,
            "type": mode["type"],
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": params.get("collection_method", "charge_automatically"),
        "created": world.clock,
        "currency": "usd",
        "customer": params["customer"],
        "customer_account": None,
        "days_until_due": params.get("days_until_due"),
        "default_payment_method": params.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": tax_rates(world, params),
        "description": params.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": embedded([], ""),
        "latest_invoice": None,
        "livemode": world.settings.livemode,
        "metadata": params.get("metadata") or {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": world.clock,
        "status": "active",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {
            "end_behavior": {
                "missing_payment_method": "create_invoice",
                **((params.get("trial_settings") or {}).get("end_behavior") or {}),
            }
        },
        "trial_start": None,
    }
