"""An event as an older endpoint gets it: fields where that version of the API had them.

`event.api_version` is fixed when an endpoint's event is made. What moved when is in Stripe's
changelog (https://docs.stripe.com/changelog): discounts beside the one discount in acacia, periods
to the items and an invoice's payments in 2025-03-31.basil, a discount's coupon in
2025-09-30.clover.
"""

from __future__ import annotations

from typing import Any

from tests.stripe_server.errors import Json
from tests.stripe_server.world import World, copied

BASIL = "2025-03-31"
ACACIA = "2024-09-30"
DAHLIA = "2026-03-25"
ENDIVE = "2026-09-30"
PRICES = "2020-08-27"


def rendered(world: World, event: Json, version: str, *, mixed: bool = False) -> Json:
    """Return an event as the API of that version has it.

    With `mixed` as endpoints send it that were made after 2025-03-31 and pinned to a version before
    it: the periods in both places, and `billing_mode`.
    """
    sent: Json = copied(event)
    sent["api_version"] = version
    date = version[:10]
    if date < ENDIVE:
        _render(world, sent["data"]["object"], date)
        previous = sent["data"].get("previous_attributes")
        if previous is not None:
            _render_previous(previous, sent["data"]["object"], date)
    if mixed and sent["data"]["object"]["object"] == "subscription":
        _put_back(sent["data"]["object"], event["data"]["object"])
    return sent


def _put_back(sent: Json, current: Json) -> None:
    sent["billing_mode"] = copied(current["billing_mode"])
    for item, whole in zip(sent["items"]["data"], current["items"]["data"], strict=True):
        for name in ("current_period_start", "current_period_end"):
            item[name] = whole[name]


def _render(world: World, obj: Json, date: str) -> None:
    old = {
        "subscription": _subscription,
        "invoice": _invoice,
        "charge": _charge,
        "checkout.session": _session,
    }.get(obj["object"])
    if old is not None:
        old(world, obj, date)


def _subscription(world: World, obj: Json, date: str) -> None:
    obj.pop("status_details", None)
    if date < DAHLIA:
        obj.pop("billing_schedules", None)
    items = obj["items"]["data"]
    if date >= BASIL:
        return
    obj["current_period_start"] = min(one["current_period_start"] for one in items)
    obj["current_period_end"] = min(one["current_period_end"] for one in items)
    names = obj["discounts"]
    obj["discount"] = _discount(world, names[-1]) if names else None
    obj.pop("billing_mode")
    for item in items:
        del item["current_period_start"], item["current_period_end"]
        item.pop("discounts") if date < ACACIA else None
    if date < ACACIA:
        del obj["discounts"]
    if date < PRICES:
        for item in items:
            del item["price"]
        obj["start"] = obj["start_date"]
        obj["billing"] = obj["collection_method"]


def _discount(world: World, name: str) -> Json | None:
    """Return a discount with its coupon in it, as it was before clover."""
    found = world.tables["discount"].get(name)
    if found is None:
        return None
    discount: Json = copied(found)
    discount["coupon"] = copied(world.tables["coupon"].get(discount.pop("source")["coupon"]))
    return discount


def _invoice(world: World, obj: Json, date: str) -> None:
    if date >= BASIL:
        return
    details = (obj.pop("parent") or {}).get("subscription_details") or {}
    obj["subscription"] = details.get("subscription")
    obj["subscription_details"] = {"metadata": details.get("metadata")}
    obj["paid"] = obj["status"] == "paid"
    obj["closed"] = obj["status"] in {"paid", "void"}
    names = world.payments.get(str(obj.get("id")), [])
    payment = world.tables["invoice_payment"][names[-1]]["payment"] if names else None
    intent = payment["payment_intent"] if payment else None
    obj["payment_intent"] = intent
    obj["charge"] = world.tables["payment_intent"][intent]["latest_charge"] if intent else None
    obj["tax"] = sum(one["amount"] for one in obj.pop("total_taxes") or []) or None
    obj["total_tax_amounts"] = []
    obj["discount"] = _discount(world, obj["discounts"][0]) if obj["discounts"] else None
    for line in obj["lines"]["data"]:
        _line(world, line, date)


def _line(world: World, line: Json, date: str) -> None:
    parent = (line.pop("parent") or {}).get("subscription_item_details") or {}
    details = (line.pop("pricing") or {}).get("price_details") or {}
    line["proration"] = parent.get("proration", False)
    line["subscription"] = parent.get("subscription")
    line["subscription_item"] = parent.get("subscription_item")
    line["type"] = "invoiceitem" if line["proration"] else "subscription"
    price = copied(world.tables["price"].get(str(details.get("price"))))
    if price is not None:
        from tests.stripe_server.catalog import plan_of

        line["plan"] = plan_of(price)
        if date >= PRICES:
            line["price"] = price
    for name in ("taxes", "subtotal", "quantity_decimal"):
        line.pop(name, None)


def _charge(world: World, obj: Json, date: str) -> None:
    if date < BASIL:
        obj["invoice"] = _invoice_of(world, obj["payment_intent"])


def _invoice_of(world: World, intent: Any) -> str | None:
    for payment in world.tables["invoice_payment"].values():
        if payment["payment"]["payment_intent"] == intent:
            return str(payment["invoice"])
    return None


def _session(world: World, obj: Json, date: str) -> None:
    if date >= DAHLIA:
        return
    obj["ui_mode"] = {"hosted_page": "hosted", "embedded_page": "embedded"}.get(
        obj["ui_mode"], "custom"
    )


def _render_previous(previous: Json, obj: Json, date: str) -> None:
    """Move what changed to where the old version had it."""
    if date >= BASIL or "items" not in previous:
        return
    items = previous["items"]["data"]
    for name in ("current_period_start", "current_period_end"):
        old = min(one.pop(name) for one in items)
        if obj.get(name) != old:
            previous[name] = old
