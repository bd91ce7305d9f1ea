"""A subscription laid to rest (`status` paused) and taken up again; not `pause_collection`."""

from __future__ import annotations

from tests.stripe_server.cycles import set_paused
from tests.stripe_server.errors import Json, invalid
from tests.stripe_server.pending import invoice_pending, keep_lines, settle_and_follow
from tests.stripe_server.prorations import lines_for, recurring_line
from tests.stripe_server.subscriptions import restart, watch
from tests.stripe_server.world import World, copied, differences


def pause(world: World, params: Json, name: str) -> Json:
    """Pause a subscription: no renewals, no access."""
    subscription = world.get("subscription", name)
    if subscription["status"] not in {"active", "trialing", "past_due"}:
        raise invalid(f"A subscription that is {subscription['status']} cannot be paused.")
    if subscription["schedule"] is not None:
        raise invalid("A subscription with a schedule cannot be paused.")
    unused = ((params.get("bill_for") or {}).get("unused_time_from") or {}).get("type", "none")
    if unused == "now":
        keep_lines(world, subscription, lines_for(world, subscription, [], world.clock, reset=True))
    set_paused(world, subscription, "pause_requested")
    return subscription


def resume(world: World, params: Json, name: str) -> Json:
    """Take a paused subscription up again; by default its periods begin now."""
    subscription = world.get("subscription", name)
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    before = copied(subscription)
    subscription["status"] = "active"
    subscription["status_details"] = None
    items = subscription["items"]["data"]
    anchor = (params.get("billing_cycle_anchor") or {"type": "now"})["type"]
    over = any(item["current_period_end"] <= world.clock for item in items)
    invoice = None
    if anchor == "now" or over:
        subscription["billing_cycle_anchor"] = world.clock
        restart(world, subscription, items)
        lines = [recurring_line(world, item) for item in items]
        invoice = invoice_pending(world, subscription, "subscription_update", lines)
    world.emit("customer.subscription.resumed", subscription)
    world.emit("customer.subscription.updated", subscription, differences(before, subscription))
    if invoice is not None:
        settle_and_follow(world, invoice)
    watch(world, subscription)
    return subscription
