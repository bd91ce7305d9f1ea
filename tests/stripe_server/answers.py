"""How objects leave: lists in pages, and ids that were asked to be expanded.

Source: https://docs.stripe.com/api/pagination, https://docs.stripe.com/api/expanding_objects
"""

from __future__ import annotations

from typing import Any

from tests.stripe_server.errors import Json, invalid, no_such
from tests.stripe_server.world import World, copied, page

DEPTH_MAX = 4
# Of the items of a subscription, so many are sent along.
ITEMS_SENT = 10


def listed(objects: list[Json], params: Json, url: str) -> Json:
    """Return one page of objects, newest first.

    Raises:
        ApiError: resource_missing for a cursor that is none

    """
    newest = list(reversed(objects))
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("Invalid limit: must be between 1 and 100", "limit")
    names = [one["id"] for one in newest]
    begin, stop = 0, len(newest)
    if "starting_after" in params:
        begin = _place(names, params["starting_after"], "starting_after") + 1
    if "ending_before" in params:
        stop = _place(names, params["ending_before"], "ending_before")
        begin = max(begin, stop - limit)
        more = stop - limit > 0
    else:
        more = begin + limit < stop
    chosen = newest[begin : min(stop, begin + limit)]
    return {"object": "list", "data": chosen, "has_more": more, "url": url}


def _place(names: list[str], name: str, param: str) -> int:
    if name not in names:
        raise no_such("object", name, param, 400)
    return names.index(name)


def within(value: int, asked: Any) -> bool:
    """Say whether a time is in the range asked for."""
    if asked is None:
        return True
    if isinstance(asked, int):
        return value == asked
    tests = {
        "gt": lambda limit: value > limit,
        "gte": lambda limit: value >= limit,
        "lt": lambda limit: value < limit,
        "lte": lambda limit: value <= limit,
    }
    return all(tests[name](limit) for name, limit in asked.items())


def answer(world: World, obj: Json, expand: list[str]) -> Json:
    """Return a copy to send, with what was asked for expanded."""
    sent: Json = copied(obj)
    for path in expand:
        parts = path.split(".")
        if len(parts) - (parts[0] == "data") > DEPTH_MAX:
            raise invalid(f"You cannot expand more than {DEPTH_MAX} levels of a property", "expand")
        _expand(world, sent, parts, path)
    return sent


def _expand(world: World, value: Any, parts: list[str], path: str) -> None:
    if isinstance(value, list):
        for one in value:
            _expand(world, one, parts, path)
        return
    if not parts or not isinstance(value, dict):
        return
    name, *rest = parts
    _include(world, value, name)
    if name not in value:
        if value.get("object") == "list" or "id" not in value:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        return
    value[name] = _resolved(world, value[name])
    _expand(world, value[name], rest, path)


def _resolved(world: World, value: Any) -> Any:
    if isinstance(value, str):
        found = world.find(value)
        return copied(found) if found is not None else value
    if isinstance(value, list):
        return [_resolved(world, one) for one in value]
    return value


def _include(world: World, value: Json, name: str) -> None:
    """Add a field that is only sent when asked for."""
    kind, own = value.get("object"), value.get("id")
    if kind == "price" and name == "tiers" and own in world.tiers:
        value["tiers"] = copied(world.tiers[own])
    elif kind == "invoice" and name == "payments":
        payments = [one for one in world.all("invoice_payment") if one["invoice"] == own]
        value["payments"] = page(copied(payments), f"/v1/invoice_payments?invoice={own}")
    elif kind == "checkout.session" and name == "line_items":
        items = copied(world.plans[f"{own}/line_items"]["data"])
        value["line_items"] = page(items, f"/v1/checkout/sessions/{own}/line_items")
    elif kind == "customer" and name == "subscriptions":
        own_ones = [one for one in world.all("subscription") if one["customer"] == own]
        live = [one for one in own_ones if one["status"] not in {"canceled", "incomplete_expired"}]
        value["subscriptions"] = page(copied(live), f"/v1/customers/{own}/subscriptions")
    elif kind == "charge" and name == "refunds":
        refunds = [one for one in world.all("refund") if one["charge"] == own]
        value["refunds"] = page(copied(refunds), f"/v1/charges/{own}/refunds")


def cut(value: Any) -> Any:
    """Cut the items of each subscription in what is sent, and return it."""
    if isinstance(value, list):
        for one in value:
            cut(one)
    elif isinstance(value, dict):
        for one in value.values():
            cut(one)
        if value.get("object") == "subscription" and len(value["items"]["data"]) > ITEMS_SENT:
            items = value["items"]
            value["items"] = {**items, "data": items["data"][:ITEMS_SENT], "has_more": True}
    return value
