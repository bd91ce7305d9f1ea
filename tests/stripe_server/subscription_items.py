"""The items of a subscription: planned first, so that a change can be priced before it is made."""

from __future__ import annotations

from typing import Any

from tests.stripe_server import discounts
from tests.stripe_server.catalog import create_price, merged, plan_of
from tests.stripe_server.errors import Json, invalid, missing_parameter
from tests.stripe_server.periods import period_at
from tests.stripe_server.world import World, copied


def plan_items(world: World, subscription: Json, given: list[Json]) -> list[Json]:
    """Return the items a subscription would have after the changes asked for."""
    planned = {item["id"]: copied(item) for item in subscription["items"]["data"]}
    for place, one in enumerate(given):
        name = one.get("id")
        if name is None:
            item = new_item(world, subscription, one, place)
            planned[item["id"]] = item
        elif name not in planned:
            raise invalid(f"Invalid subscription item id: {name}", f"items[{place}][id]")
        elif one.get("deleted"):
            del planned[name]
        else:
            _change(world, subscription, planned[name], one, place)
    if not planned:
        raise invalid("A subscription must have at least one active plan.", "items")
    _refuse_twins(planned.values())
    return list(planned.values())


def _refuse_twins(items: Any) -> None:
    prices = [item["price"]["id"] for item in items]
    if len(set(prices)) < len(prices):
        raise invalid("Cannot add multiple subscription items with the same plan", "items")


def _price_of(world: World, given: Json, place: int) -> Json:
    param = f"items[{place}][price]"
    if "price_data" in given:
        price = create_price(world, given["price_data"])
    else:
        name = given.get("price") or given.get("plan")
        if name is None:
            raise missing_parameter(param)
        price = world.get("price", name, param, 400)
    if price["recurring"] is None:
        raise invalid("The price specified is set to `type=one_time`", param)
    if not price["active"]:
        raise invalid("The price specified is inactive.", param)
    return price


def _quantity(price: Json, given: Json, old: int | None = 1) -> int | None:
    if price["recurring"]["usage_type"] == "metered":
        return None
    quantity = given.get("quantity", 1 if old is None else old)
    if quantity < 0:
        raise invalid("This value must be greater than or equal to 0.", "quantity")
    return int(quantity)


def new_item(world: World, subscription: Json, given: Json, place: int = 0) -> Json:
    """Draft a new item; its period follows the subscription's anchor."""
    price = _price_of(world, given, place)
    if price["currency"] != subscription["currency"]:
        raise invalid("All prices on a subscription must have the same currency.", "items")
    name = world.new_id("si")
    world.owners[name] = subscription["id"]
    start, end = period_of(world, subscription, price)
    return {
        "id": name,
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.clock,
        "current_period_end": end,
        "current_period_start": start,
        "discounts": discounts.redeem(
            world, given.get("discounts"), subscription=subscription["id"], item=name
        ),
        "metadata": given.get("metadata") or {},
        "plan": plan_of(price),
        "price": price,
        "quantity": _quantity(price, given),
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def period_of(world: World, subscription: Json, price: Json) -> tuple[int, int]:
    """Return the period of a price now: a trial is a period of its own."""
    if subscription["status"] == "trialing":
        return subscription["trial_start"], subscription["trial_end"]
    return period_at(subscription["billing_cycle_anchor"], price["recurring"], world.clock)


def _change(world: World, subscription: Json, item: Json, given: Json, place: int) -> None:
    if "price" in given or "plan" in given or "price_data" in given:
        price = _price_of(world, given, place)
        fresh = price["recurring"] != item["price"]["recurring"]
        item["price"], item["plan"] = price, plan_of(price)
        if fresh:
            start, end = period_of(world, subscription, price)
            item["current_period_start"], item["current_period_end"] = start, end
    item["quantity"] = _quantity(item["price"], given, item["quantity"])
    if "metadata" in given:
        item["metadata"] = merged(item["metadata"], given["metadata"])
    if "discounts" in given:
        item["discounts"] = discounts.redeem(
            world, given["discounts"], subscription=subscription["id"], item=item["id"]
        )


def item_with(world: World, name: str) -> tuple[Json, Json]:
    """Return the subscription that has an item, and the item."""
    subscription = world.tables["subscription"].get(world.owners.get(name, ""))
    for item in subscription["items"]["data"] if subscription else ():
        if item["id"] == name:
            assert subscription is not None
            return subscription, item
    raise invalid(f"Invalid subscription_item id: {name}", "id", "resource_missing")
