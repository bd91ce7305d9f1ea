"""Discounts: a coupon given to a subscription or to one of its items."""

from __future__ import annotations

from typing import Any

from tests.stripe_server.errors import Json, invalid
from tests.stripe_server.money import discount_amounts
from tests.stripe_server.periods import after
from tests.stripe_server.world import World


def redeem(world: World, given: Any, *, subscription: str, item: str | None = None) -> list[str]:
    """Make discounts from coupons and promotion codes, or keep those named; return their ids."""
    return [_redeem(world, one, subscription, item) for one in given or []]


def _redeem(world: World, given: Json, subscription: str, item: str | None) -> str:
    if "discount" in given:
        return str(world.get("discount", given["discount"], "discounts", 400)["id"])
    code = given.get("promotion_code")
    promotion = world.get("promotion_code", code, "promotion_code", 400) if code else None
    name = promotion["promotion"]["coupon"] if promotion else given.get("coupon")
    coupon = world.get("coupon", name, "coupon", 400)
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {name}", "coupon", "coupon_expired")
    for used in filter(None, (coupon, promotion)):
        used["times_redeemed"] += 1
    months = coupon["duration_in_months"]
    discount = world.add(
        {
            "id": world.new_id("di"),
            "object": "discount",
            "checkout_session": None,
            "customer": None,
            "customer_account": None,
            "end": after(world.clock, "month", months) if months else None,
            "invoice": None,
            "invoice_item": None,
            "promotion_code": code,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": world.clock,
            "subscription": subscription,
            "subscription_item": item,
        }
    )
    return str(discount["id"])


def coupon_of(world: World, discount: str) -> Json | None:
    """Return the coupon of a discount that still holds."""
    found = world.tables["discount"].get(discount)
    if found is None or (found["end"] is not None and found["end"] <= world.clock):
        return None
    return world.tables["coupon"].get(found["source"]["coupon"])


def apply(world: World, lines: list[Json], discounts: list[str]) -> None:
    """Set `discount_amounts` on drafted lines: an item's own first, then the subscription's."""
    for line in lines:
        line["left"] = line["amount"]
        line["taken"] = []
        for name, amount in line.get("itemized", []):
            _take(line, name, amount)
        for name in line["discounts"] if line["discountable"] else []:
            coupon = coupon_of(world, name)
            if coupon is not None:
                _take(line, name, discount_amounts([line], coupon)[0])
    for name in discounts:
        coupon = coupon_of(world, name)
        if coupon is not None:
            for line, amount in zip(lines, discount_amounts(lines, coupon), strict=True):
                _take(line, name, amount)


def _take(line: Json, discount: str, amount: int) -> None:
    if amount:
        line["left"] -= amount
        line["taken"].append({"amount": amount, "discount": discount})


def percent_parts(world: World, names: list[str], amount: int, product: str) -> list[Any]:
    """Return what each percentage takes off an amount: how prorations are reduced."""
    line = {"left": amount, "discountable": True, "product": product}
    parts = []
    for name in names:
        coupon = coupon_of(world, name)
        if coupon is not None and coupon["percent_off"] is not None:
            taken = discount_amounts([line], coupon)[0]
            line["left"] = int(str(line["left"])) - taken
            parts.append((name, taken))
    return parts


def spend_once(world: World, names: list[str]) -> list[str]:
    """Return the discounts that remain after an invoice: those for one invoice are spent."""
    kept = []
    for name in names:
        coupon = coupon_of(world, name)
        if coupon is not None and coupon["duration"] != "once":
            kept.append(name)
    return kept
