"""Subscription schedules: phases to come. Made from a subscription, changed, released."""

from __future__ import annotations

from typing import Any

from tests.stripe_server import subscriptions
from tests.stripe_server.errors import Json, invalid, missing_parameter
from tests.stripe_server.periods import after
from tests.stripe_server.world import World, copied, differences


def routes(route: Any, retrieve: Any) -> list[Any]:
    """Return the calls of this module."""
    base = "/v1/subscription_schedules"
    return [
        route("POST", base, "subscription_schedule_create", create),
        route(
            "GET", f"{base}/*", "subscription_schedule_retrieve", retrieve("subscription_schedule")
        ),
        route("POST", f"{base}/*", "subscription_schedule_update", update),
        route("POST", f"{base}/*/release", "subscription_schedule_release", release),
    ]


def create(world: World, params: Json) -> Json:
    """Make a schedule from a subscription: one phase, its present period."""
    if "from_subscription" not in params:
        raise missing_parameter("from_subscription")
    subscription = world.get("subscription", params["from_subscription"], "from_subscription", 400)
    if subscription["schedule"] is not None:
        raise invalid("The subscription is already attached to a schedule.", "from_subscription")
    items = subscription["items"]["data"]
    phase = _phase(
        world,
        {"items": [{"price": one["price"]["id"], "quantity": one["quantity"]} for one in items]},
        min(one["current_period_start"] for one in items),
        min(one["current_period_end"] for one in items),
        subscription["currency"],
    )
    schedule = world.add(
        {
            "id": world.new_id("sub_sched"),
            "object": "subscription_schedule",
            "application": None,
            "billing_mode": copied(subscription["billing_mode"]),
            "canceled_at": None,
            "completed_at": None,
            "created": world.clock,
            "current_phase": {"end_date": phase["end_date"], "start_date": phase["start_date"]},
            "customer": subscription["customer"],
            "customer_account": None,
            "default_settings": {
                "billing_cycle_anchor": "automatic",
                "invoice_settings": {"issuer": {"type": "self"}},
            },
            "end_behavior": "release",
            "livemode": world.settings.livemode,
            "metadata": params.get("metadata") or {},
            "pause_schedules": [],
            "phases": [phase],
            "released_at": None,
            "released_subscription": None,
            "status": "active",
            "subscription": subscription["id"],
            "test_clock": None,
        }
    )
    before = copied(subscription)
    subscription["schedule"] = schedule["id"]
    world.emit("subscription_schedule.created", schedule)
    world.emit("customer.subscription.updated", subscription, differences(before, subscription))
    world.due(phase["end_date"], "schedule", str(schedule["id"]))
    return schedule


def _phase(world: World, given: Json, start: int, end: int, currency: str) -> Json:
    items = []
    for place, one in enumerate(given["items"]):
        price = world.get("price", one.get("price"), f"phases[0][items][{place}][price]", 400)
        items.append(
            {
                "billing_thresholds": None,
                "discounts": [],
                "metadata": one.get("metadata") or {},
                "plan": price["id"],
                "price": price["id"],
                "quantity": one.get("quantity", 1),
                "tax_rates": [],
            }
        )
    return {
        "add_invoice_items": [],
        "currency": currency,
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": given.get("metadata") or {},
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": start,
    }


def update(world: World, params: Json, name: str) -> Json:
    """Set the phases of a schedule."""
    schedule = _open(world, name)
    before = copied(schedule)
    if "phases" in params:
        start = schedule["phases"][0]["start_date"]
        phases = []
        for given in params["phases"]:
            begun = given.get("start_date", start)
            begun = world.clock if begun == "now" else begun
            end = _end_of(world, given, begun)
            phases.append(_phase(world, given, begun, end, schedule["phases"][0]["currency"]))
            start = end
            world.due(end, "schedule", name)
        schedule["phases"] = phases
    if "end_behavior" in params:
        schedule["end_behavior"] = params["end_behavior"]
    if "metadata" in params:
        schedule["metadata"] |= params["metadata"]
    _set_current(world, schedule)
    world.emit("subscription_schedule.updated", schedule, differences(before, schedule))
    return schedule


def _end_of(world: World, given: Json, start: int) -> int:
    if "end_date" in given:
        return world.clock if given["end_date"] == "now" else int(given["end_date"])
    duration = given.get("duration")
    if duration is None:
        price = world.get("price", given["items"][0]["price"], "phases", 400)
        duration = price["recurring"]
    return after(start, duration["interval"], duration.get("interval_count") or 1)


def _set_current(world: World, schedule: Json) -> Json | None:
    for phase in schedule["phases"]:
        if phase["start_date"] <= world.clock < phase["end_date"]:
            span = {"end_date": phase["end_date"], "start_date": phase["start_date"]}
            schedule["current_phase"] = span
            found: Json = phase
            return found
    return None


def _open(world: World, name: str) -> Json:
    schedule = world.get("subscription_schedule", name)
    if schedule["status"] not in {"active", "not_started"}:
        raise invalid(f"The schedule is {schedule['status']}.")
    return schedule


def release(world: World, params: Json, name: str) -> Json:
    """Let go of the subscription: it goes on as it is."""
    schedule = _open(world, name)
    subscription = world.get("subscription", schedule["subscription"])
    before = copied(subscription)
    subscription["schedule"] = None
    schedule |= {
        "status": "released",
        "released_at": world.clock,
        "released_subscription": subscription["id"],
        "subscription": None,
        "current_phase": None,
    }
    world.emit("subscription_schedule.released", schedule)
    world.emit("customer.subscription.updated", subscription, differences(before, subscription))
    return schedule


def step(world: World, name: str) -> None:
    """Go into the next phase, or release or cancel after the last."""
    schedule = world.tables["subscription_schedule"][name]
    if schedule["status"] != "active":
        return
    subscription = world.tables["subscription"][schedule["subscription"]]
    if subscription["status"] == "canceled":
        return
    before = copied(schedule)
    phase = _set_current(world, schedule)
    if phase is None and world.clock < schedule["phases"][-1]["end_date"]:
        return
    if phase is None:
        if schedule["end_behavior"] == "cancel":
            subscriptions.end(world, subscription)
            schedule |= {"status": "completed", "completed_at": world.clock, "current_phase": None}
            world.emit("subscription_schedule.completed", schedule)
        else:
            release(world, {}, name)
        return
    subscriptions.update(
        world,
        {
            "items": _changes(subscription, phase),
            "proration_behavior": phase["proration_behavior"],
        },
        subscription["id"],
    )
    world.emit("subscription_schedule.updated", schedule, differences(before, schedule))


def _changes(subscription: Json, phase: Json) -> list[Json]:
    known = {one["price"]["id"]: one["id"] for one in subscription["items"]["data"]}
    changes = []
    for one in phase["items"]:
        own = {"id": known.pop(one["price"])} if one["price"] in known else {"price": one["price"]}
        changes.append({**own, "quantity": one["quantity"]})
    return [*changes, *({"id": name, "deleted": True} for name in known.values())]
