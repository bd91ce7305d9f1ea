"""The calls for one item: each is a change of its subscription."""

from __future__ import annotations

from tests.stripe_server import subscriptions
from tests.stripe_server.errors import Json
from tests.stripe_server.subscription_items import item_with
from tests.stripe_server.world import World


def create_item(world: World, params: Json) -> Json:
    """Add an item to a subscription."""
    own = {
        name: params[name]
        for name in ("price", "price_data", "quantity", "metadata", "discounts")
        if name in params
    }
    subscription = world.get("subscription", params["subscription"], "subscription", 400)
    known = {item["id"] for item in subscription["items"]["data"]}
    subscriptions.update(world, {**_manner(params), "items": [own]}, params["subscription"])
    return next(one for one in subscription["items"]["data"] if one["id"] not in known)


def update_item(world: World, params: Json, name: str) -> Json:
    """Change an item: what it is for, how many."""
    subscription, _ = item_with(world, name)
    own = {
        field: params[field]
        for field in ("price", "price_data", "quantity", "metadata", "discounts")
        if field in params
    }
    subscriptions.update(
        world, {**_manner(params), "items": [{"id": name, **own}]}, subscription["id"]
    )
    return item_with(world, name)[1]


def delete_item(world: World, params: Json, name: str) -> Json:
    """Take an item off its subscription."""
    subscription, _ = item_with(world, name)
    subscriptions.update(
        world, {**_manner(params), "items": [{"id": name, "deleted": True}]}, subscription["id"]
    )
    return {"id": name, "object": "subscription_item", "deleted": True}


def _manner(params: Json) -> Json:
    names = ("proration_behavior", "proration_date", "payment_behavior")
    return {name: params[name] for name in names if name in params}
