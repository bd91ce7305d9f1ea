"""What an invoice would say: the next one, or the one of every period to come."""

from __future__ import annotations

from tests.stripe_server import discounts
from tests.stripe_server.blanks import blank
from tests.stripe_server.catalog import embedded
from tests.stripe_server.errors import Json, invalid
from tests.stripe_server.invoices import answer_preview
from tests.stripe_server.periods import after, period_at
from tests.stripe_server.prorations import lines_for, recurring_line
from tests.stripe_server.subscription_items import plan_items
from tests.stripe_server.world import World, copied


def create_preview(world: World, params: Json) -> Json:
    """Return what an invoice would say, and keep nothing of it."""
    details = params.get("subscription_details") or {}
    if "subscription" in params:
        subscription = copied(
            world.get("subscription", params["subscription"], "subscription", 400)
        )
        if subscription["status"] in {"canceled", "incomplete_expired"}:
            raise invalid(
                "Cannot preview an invoice of a canceled subscription.",
                code="invoice_upcoming_none",
            )
    elif details.get("items"):
        subscription = _imagined(world, params, details)
    else:
        raise invalid("No upcoming invoices for customer", code="invoice_upcoming_none")
    if "discounts" in params:
        subscription["discounts"] = discounts.redeem(
            world, params["discounts"], subscription=subscription["id"]
        )
    planned = plan_items(world, subscription, details.get("items") or [])
    moment = details.get("proration_date", world.clock)
    behaviour = details.get("proration_behavior", "create_prorations")
    lines = lines_for(world, subscription, planned, moment) if behaviour != "none" else []
    recurring = params.get("preview_mode") == "recurring"
    if behaviour == "always_invoice" and not recurring and lines:
        pending = copied(world.pending_lines.get(subscription["id"], []))
        return _sent(world, subscription, [*pending, *lines], world.clock)
    subscription["items"] = embedded(planned, subscription["id"])
    at = min(item["current_period_end"] for item in planned)
    if recurring:
        return _sent(world, subscription, [recurring_line(world, one) for one in planned], at)
    pending = copied(world.pending_lines.get(subscription["id"], []))
    ends = subscription["cancel_at"] is not None and subscription["cancel_at"] <= at
    following = (
        []
        if ends
        else [_next(world, subscription, one) for one in planned if one["current_period_end"] == at]
    )
    if ends and not (pending or lines):
        raise invalid("No upcoming invoices for customer", code="invoice_upcoming_none")
    return _sent(world, subscription, [*pending, *lines, *following], at)


def _imagined(world: World, params: Json, details: Json) -> Json:
    customer = params.get("customer")
    subscription = blank(world, {"customer": customer})
    first = details["items"][0]
    if first.get("price"):
        price = world.get("price", first["price"], "price", 400)
        subscription["currency"] = price["currency"]
    return subscription


def _next(world: World, subscription: Json, item: Json) -> Json:
    later = copied(item)
    recurring = item["price"]["recurring"]
    start, end = period_at(
        subscription["billing_cycle_anchor"], recurring, item["current_period_end"]
    )
    if end <= start:
        end = after(start, recurring["interval"], recurring["interval_count"])
    later["current_period_start"], later["current_period_end"] = start, end
    return recurring_line(world, later)


def _sent(world: World, subscription: Json, lines: list[Json], at: int) -> Json:
    invoice: Json = answer_preview(world, subscription, lines, at)
    return invoice
