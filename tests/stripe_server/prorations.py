"""What a change within a period costs: unused time given back, remaining time charged.

Source: https://docs.stripe.com/billing/subscriptions/prorations and, for flexible billing,
https://docs.stripe.com/billing/subscriptions/billing-mode/compare
"""

from __future__ import annotations

from tests.stripe_server.discounts import percent_parts
from tests.stripe_server.errors import Json
from tests.stripe_server.money import price_amount, share
from tests.stripe_server.world import World


def amount_of(world: World, price: Json, quantity: int | None) -> int:
    """Return what a price costs for a whole period."""
    if quantity is None:
        return 0
    return price_amount(price, quantity, world.tiers.get(price["id"]))


def recurring_line(world: World, item: Json) -> Json:
    """Draft the line for an item's whole period."""
    price, quantity = item["price"], item["quantity"]
    return {
        "item": item["id"],
        "price": price,
        "product": price["product"],
        "quantity": 0 if quantity is None else quantity,
        "amount": amount_of(world, price, quantity),
        "start": item["current_period_start"],
        "end": item["current_period_end"],
        "proration": False,
        "discountable": True,
        "discounts": item["discounts"],
        "description": f"{quantity} × {price['nickname'] or price['product']}",
        "credited": None,
    }


def trial_line(item: Json, *, start: int, end: int) -> Json:
    """Draft the line of a trial, which costs nothing."""
    return {
        "item": item["id"],
        "price": item["price"],
        "product": item["price"]["product"],
        "quantity": item["quantity"] or 0,
        "amount": 0,
        "start": start,
        "end": end,
        "proration": False,
        "discountable": True,
        "discounts": [],
        "description": f"Trial period for {item['price']['product']}",
        "credited": None,
    }


def lines_for(
    world: World, subscription: Json, planned: list[Json], moment: int, *, reset: bool = False
) -> list[Json]:
    """Draft the prorations of going from a subscription's items to those planned.

    With `reset` the periods start afresh: what is unused is given back and nothing else is drafted.
    """
    if subscription["status"] == "trialing":
        return []
    lines = []
    now = {item["id"]: item for item in planned}
    for old in subscription["items"]["data"]:
        new = now.pop(old["id"], None)
        if not reset and new is not None and _same(old, new):
            continue
        lines += _credit(world, subscription, old, moment)
        if new is not None and not reset:
            lines += _debit(world, subscription, new, moment)
    if not reset:
        for new in now.values():
            lines += _debit(world, subscription, new, moment)
    return lines


def _same(old: Json, new: Json) -> bool:
    return bool(old["price"]["id"] == new["price"]["id"] and old["quantity"] == new["quantity"])


def _credit(world: World, subscription: Json, item: Json, moment: int) -> list[Json]:
    quantity = item["quantity"]
    debit = world.debits.get(item["id"])
    flexible = subscription["billing_mode"]["type"] == "flexible"
    if flexible and debit and world.settings.flexible_credit == "debited_quantity":
        quantity = debit["quantity"]
    line = _line(world, subscription, item, quantity, moment, -1)
    if debit and line:
        for one in line:
            one["credited"] = {"invoice": debit["invoice"], "invoice_line_items": [debit["line"]]}
    return line


def _debit(world: World, subscription: Json, item: Json, moment: int) -> list[Json]:
    return _line(world, subscription, item, item["quantity"], moment, 1)


def _line(
    world: World, subscription: Json, item: Json, quantity: int | None, moment: int, sign: int
) -> list[Json]:
    start, end = item["current_period_start"], item["current_period_end"]
    moment = min(max(moment, start), end)
    if quantity is None or moment == end:
        return []
    price = item["price"]
    gross = amount_of(world, price, quantity)
    names = [*item["discounts"], *subscription["discounts"]]
    parts = percent_parts(world, names, gross, price["product"])
    net = gross - sum(taken for _, taken in parts)
    mode = subscription["billing_mode"].get("flexible") or {}
    itemized = mode.get("proration_discounts") == "itemized"
    part, whole = end - moment, end - start
    word = "Unused" if sign < 0 else "Remaining"
    return [
        {
            "item": item["id"],
            "price": price,
            "product": price["product"],
            "quantity": quantity,
            "amount": sign * share(gross if itemized else net, part, whole),
            "start": moment,
            "end": end,
            "proration": True,
            "discountable": False,
            "discounts": [],
            "itemized": [
                (name, sign * share(taken, part, whole)) for name, taken in parts if itemized
            ],
            "description": f"{word} time on {quantity} × {price['nickname'] or price['product']}",
            "credited": None,
        }
    ]
