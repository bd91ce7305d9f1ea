"""Subscriptions: made, changed, cancelled.

A change is planned and priced, then allowed or refused by whether it could be paid, then made.
"""

from __future__ import annotations

from tests.stripe_server import discounts, invoices
from tests.stripe_server.blanks import blank, mirror_single_item, tax_rates
from tests.stripe_server.catalog import embedded, merged
from tests.stripe_server.errors import Json, declined, invalid, missing_parameter
from tests.stripe_server.payments import failure_of, may_go_on, settle
from tests.stripe_server.pending import invoice_pending, keep_lines, settle_and_follow
from tests.stripe_server.periods import after
from tests.stripe_server.prorations import lines_for, recurring_line, trial_line
from tests.stripe_server.subscription_items import plan_items
from tests.stripe_server.world import DAY, HOUR, World, copied, differences

LIVE = {"active", "trialing", "past_due", "unpaid", "incomplete", "paused"}


def create(world: World, params: Json) -> Json:
    """Start a subscription, with its first invoice.

    Raises:
        ApiError: resource_missing, parameter_missing; card_declined under `error_if_incomplete`

    """
    if "customer" not in params:
        raise missing_parameter("customer")
    customer = world.get("customer", params["customer"], "customer", 400)
    if not params.get("items"):
        raise missing_parameter("items")
    subscription = blank(world, params)
    subscription["currency"] = _currency(world, params)
    trial_end = _trial_end(world, params)
    if trial_end is not None:
        subscription |= {
            "status": "trialing",
            "trial_start": world.clock,
            "trial_end": trial_end,
            "billing_cycle_anchor": trial_end,
        }
    elif "billing_cycle_anchor" in params:
        subscription["billing_cycle_anchor"] = params["billing_cycle_anchor"]
    subscription["discounts"] = discounts.redeem(
        world, params.get("discounts"), subscription=subscription["id"]
    )
    items = plan_items(world, subscription, params["items"])
    subscription["items"] = embedded(items, subscription["id"])
    mirror_single_item(subscription)
    _plan_end(subscription, params, world)
    customer["currency"] = subscription["currency"]
    return _begin(world, subscription, params)


def _currency(world: World, params: Json) -> str:
    first = params["items"][0]
    if "price_data" in first:
        return str(first["price_data"]["currency"])
    price = world.tables["price"].get(first.get("price") or first.get("plan"))
    return str(price["currency"]) if price else "usd"


def _trial_end(world: World, params: Json) -> int | None:
    if params.get("trial_period_days"):
        return world.clock + int(params["trial_period_days"]) * DAY
    end = params.get("trial_end")
    return None if end in {None, "now"} else int(end)


def _begin(world: World, subscription: Json, params: Json) -> Json:
    """Invoice what begins, and say in which status it does."""
    items = subscription["items"]["data"]
    trialing = subscription["status"] == "trialing"
    if trialing:
        end = subscription["trial_end"]
        lines = [trial_line(item, start=world.clock, end=end) for item in items]
    else:
        lines = [recurring_line(world, item) for item in items]
    behaviour = params.get("payment_behavior", "allow_incomplete")
    failure = failure_of(world, subscription["customer"])
    doubtful = bool(failure) or behaviour == "default_incomplete"
    owing = doubtful and _due(world, subscription, lines) > 0
    automatic = subscription["collection_method"] == "charge_automatically"
    if automatic and owing and failure and behaviour == "error_if_incomplete":
        raise declined(failure)
    world.add(subscription)
    invoice = invoices.draft(world, subscription, lines, "subscription_create")
    subscription["latest_invoice"] = invoice["id"]
    incomplete = automatic and owing
    if incomplete:
        subscription["status"] = "incomplete"
        world.due(world.clock + 23 * HOUR, "incomplete", subscription["id"])
    world.emit("customer.subscription.created", subscription)
    if incomplete and behaviour == "default_incomplete":
        invoices.finalize(world, invoice)
    else:
        settle(world, invoice)
    spend_discounts(world, subscription)
    watch(world, subscription)
    return subscription


def _due(world: World, subscription: Json, lines: list[Json]) -> int:
    preview = invoices.draft(world, copied(subscription), copied(lines), "upcoming", keep=False)
    return int(preview["amount_due"])


def spend_discounts(world: World, subscription: Json) -> None:
    """Drop the discounts that were for one invoice."""
    subscription["discounts"] = discounts.spend_once(world, subscription["discounts"])
    for item in subscription["items"]["data"]:
        item["discounts"] = discounts.spend_once(world, item["discounts"])


def watch(world: World, subscription: Json) -> None:
    """Have a subscription looked at whenever something of it falls due."""
    name = subscription["id"]
    if subscription["status"] == "trialing":
        world.due(max(world.clock, subscription["trial_end"] - 3 * DAY), "trial_will_end", name)
        world.due(subscription["trial_end"], "subscription", name)
    for item in subscription["items"]["data"]:
        world.due(item["current_period_end"], "subscription", name)
    world.due(subscription["cancel_at"], "subscription", name)
    pause = subscription["pause_collection"]
    world.due(pause["resumes_at"] if pause else None, "subscription", name)


def _plan_end(subscription: Json, params: Json, world: World) -> None:
    if "cancel_at_period_end" in params:
        ends = bool(params["cancel_at_period_end"])
        subscription["cancel_at_period_end"] = ends
        end = max(item["current_period_end"] for item in subscription["items"]["data"])
        _set_end(subscription, end if ends else None, world)
    elif "cancel_at" in params:
        at = params["cancel_at"]
        ends_at = [item["current_period_end"] for item in subscription["items"]["data"]]
        named = {"min_period_end": min(ends_at), "max_period_end": max(ends_at), "": None}
        subscription["cancel_at_period_end"] = False
        _set_end(subscription, named.get(at, at), world)


def _set_end(subscription: Json, at: int | None, world: World) -> None:
    subscription["cancel_at"] = at
    subscription["canceled_at"] = None if at is None else world.clock
    reason = None if at is None else "cancellation_requested"
    subscription["cancellation_details"]["reason"] = reason


def update(world: World, params: Json, name: str) -> Json:
    """Change a subscription.

    Raises:
        ApiError: resource_missing; a refusal for one that has ended; card_declined

    """
    subscription = world.get("subscription", name)
    if subscription["status"] in {"canceled", "incomplete_expired"}:
        raise invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
        )
    before = copied(subscription)
    planned = plan_items(world, subscription, params.get("items") or [])
    ends_trial = params.get("trial_end") == "now" and subscription["status"] == "trialing"
    if ends_trial and not may_go_on(world, subscription):
        subscription["trial_end"] = world.clock
        world.due(world.clock, "subscription", name)
        return subscription
    reset = _resets(subscription, planned, params) or ends_trial
    lines = _priced(world, subscription, planned, params, reset=reset)
    invoiced = reset or params.get("proration_behavior") == "always_invoice"
    if _refused(world, subscription, lines, params, invoiced=invoiced):
        if params.get("payment_behavior") == "error_if_incomplete":
            raise declined(failure_of(world, subscription["customer"]) or "card_declined")
        return _hold(world, subscription, planned, lines)
    _set_plain_fields(world, subscription, params)
    set_items(world, subscription, planned, reset=reset)
    _plan_end(subscription, params, world)
    _bill_change(world, subscription, lines, before, invoiced=invoiced, reset=reset)
    watch(world, subscription)
    return subscription


def _resets(subscription: Json, planned: list[Json], params: Json) -> bool:
    """Say whether the periods start afresh: asked for, or one price is for another interval."""
    if params.get("billing_cycle_anchor") == "now":
        return True
    old = {item["id"]: item["price"]["recurring"] for item in subscription["items"]["data"]}
    changed = any(
        item["id"] in old and old[item["id"]] != item["price"]["recurring"] for item in planned
    )
    return changed and subscription["status"] != "trialing"


def _priced(
    world: World, subscription: Json, planned: list[Json], params: Json, *, reset: bool
) -> list[Json]:
    lines: list[Json] = []
    if params.get("proration_behavior", "create_prorations") != "none":
        moment = params.get("proration_date", world.clock)
        lines = lines_for(world, subscription, planned, moment, reset=reset)
    if reset:
        fresh = copied(planned)
        restart(world, subscription, fresh)
        lines += [recurring_line(world, item) for item in fresh]
    return lines


def restart(world: World, subscription: Json, items: list[Json]) -> None:
    """Let the periods of items begin now."""
    for item in items:
        recurring = item["price"]["recurring"]
        item["current_period_start"] = world.clock
        item["current_period_end"] = after(
            world.clock, recurring["interval"], recurring["interval_count"]
        )


def _refused(
    world: World, subscription: Json, lines: list[Json], params: Json, *, invoiced: bool
) -> bool:
    """Say whether a payment that the change asks for would fail, and the caller minds."""
    minds = params.get("payment_behavior") in {"error_if_incomplete", "pending_if_incomplete"}
    failing = failure_of(world, subscription["customer"]) is not None
    return bool(invoiced and minds and failing and lines) and _due(world, subscription, lines) > 0


def _hold(world: World, subscription: Json, planned: list[Json], lines: list[Json]) -> Json:
    """Keep a change back until its invoice is paid."""
    before = copied(subscription)
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "expires_at": world.clock + 23 * HOUR,
        "subscription_items": copied(planned),
        "trial_end": None,
        "trial_from_plan": None,
    }
    invoice = invoices.draft(world, subscription, lines, "subscription_update")
    subscription["latest_invoice"] = invoice["id"]
    settle(world, invoice)
    world.pending_updates[invoice["id"]] = {"items": planned, "subscription": subscription["id"]}
    world.due(subscription["pending_update"]["expires_at"], "pending_update", invoice["id"])
    world.emit("customer.subscription.updated", subscription, differences(before, subscription))
    return subscription


def set_items(
    world: World, subscription: Json, planned: list[Json], *, reset: bool = False
) -> None:
    """Put the planned items in place."""
    if reset:
        subscription["billing_cycle_anchor"] = world.clock
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
            subscription["trial_end"] = world.clock
        restart(world, subscription, planned)
    subscription["items"] = embedded(planned, subscription["id"])
    mirror_single_item(subscription)


def _set_plain_fields(world: World, subscription: Json, params: Json) -> None:
    if "metadata" in params:
        subscription["metadata"] = merged(subscription["metadata"], params["metadata"])
    if "pause_collection" in params:
        pause = params["pause_collection"]
        subscription["pause_collection"] = {"resumes_at": None, **pause} if pause else None
    if "discounts" in params:
        subscription["discounts"] = discounts.redeem(
            world, params["discounts"], subscription=subscription["id"]
        )
    if "default_tax_rates" in params:
        subscription["default_tax_rates"] = tax_rates(world, params)
    if "trial_end" in params and params["trial_end"] != "now":
        end = params["trial_end"]
        subscription |= {"status": "trialing", "trial_end": end, "billing_cycle_anchor": end}
        subscription["trial_start"] = subscription["trial_start"] or world.clock
    for name in ("collection_method", "days_until_due", "description", "default_payment_method"):
        if name in params:
            subscription[name] = params[name] or None
    if "cancellation_details" in params:
        subscription["cancellation_details"] |= params["cancellation_details"]


def _bill_change(
    world: World,
    subscription: Json,
    lines: list[Json],
    before: Json,
    *,
    invoiced: bool,
    reset: bool,
) -> None:
    keep_lines(world, subscription, lines)
    invoice = None
    if invoiced and world.pending_lines[subscription["id"]]:
        invoice = invoice_pending(world, subscription, "subscription_update")
    previous = differences(before, subscription)
    if previous:
        world.emit("customer.subscription.updated", subscription, previous)
    if invoice is not None:
        settle_and_follow(world, invoice)


def cancel(world: World, params: Json, name: str) -> Json:
    """End a subscription now."""
    subscription = world.get("subscription", name)
    if subscription["status"] in {"canceled", "incomplete_expired"}:
        raise invalid(f"No such subscription: '{name}'", "id", "resource_missing")
    if params.get("prorate"):
        keep_lines(world, subscription, lines_for(world, subscription, [], world.clock))
    details = params.get("cancellation_details") or {}
    subscription["cancellation_details"] |= {"reason": "cancellation_requested", **details}
    end(world, subscription)
    if params.get("invoice_now") and world.pending_lines.get(name):
        settle(world, invoice_pending(world, subscription, "subscription_update"))
    return subscription


def end(world: World, subscription: Json, reason: str | None = None) -> None:
    """Let a subscription be over."""
    subscription |= {"status": "canceled", "ended_at": world.clock, "pending_update": None}
    subscription["canceled_at"] = subscription["canceled_at"] or world.clock
    if reason is not None:
        subscription["cancellation_details"]["reason"] = reason
    world.emit("customer.subscription.deleted", subscription)
