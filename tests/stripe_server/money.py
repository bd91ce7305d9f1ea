"""Amounts: whole minor units, rounded half away from zero as Stripe does.

Source: https://docs.stripe.com/billing/subscriptions/prorations
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from tests.stripe_server.errors import Json


def rounded(value: Decimal | Fraction | int) -> int:
    """Round half away from zero."""
    if isinstance(value, Fraction):
        sign = -1 if value < 0 else 1
        return sign * int(abs(value) + Fraction(1, 2))
    return int(Decimal(value).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def price_amount(price: Json, quantity: int, tiers: list[Json] | None) -> int:
    """Return what a quantity costs for one whole period."""
    if price["billing_scheme"] == "tiered":
        return _tiered(tiers or [], price["tiers_mode"], quantity)
    transform = price["transform_quantity"]
    if transform is not None:
        whole, rest = divmod(quantity, transform["divide_by"])
        quantity = whole + (1 if rest and transform["round"] == "up" else 0)
    if price["unit_amount"] is not None:
        return int(price["unit_amount"]) * quantity
    return rounded(Decimal(price["unit_amount_decimal"]) * quantity)


def _tiered(tiers: list[Json], mode: str, quantity: int) -> int:
    total = Decimal(0)
    below = 0
    for tier in tiers:
        top = tier["up_to"]
        reached = quantity if top is None else min(quantity, top)
        within = reached - below
        last = top is None or quantity <= top
        if mode == "volume":
            if last:
                return rounded(_unit(tier) * quantity + (tier["flat_amount"] or 0))
        elif within > 0 or (below == 0 and quantity == 0):
            total += _unit(tier) * within + (tier["flat_amount"] or 0)
        if last:
            break
        below = top
    return rounded(total)


def _unit(tier: Json) -> Decimal:
    return Decimal(tier["unit_amount_decimal"] or 0)


def share(amount: int, part: int, whole: int) -> int:
    """Return the share of an amount for a part of a period."""
    return rounded(Fraction(amount * part, whole)) if whole else 0


def split(total: int, weights: list[int]) -> list[int]:
    """Divide a total among weights, to the last unit: the largest remainders get one more."""
    whole = sum(weights)
    if whole == 0:
        return [0 for _ in weights]
    exact = [Fraction(total * weight, whole) for weight in weights]
    parts = [int(one) for one in exact]
    order = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in order[: total - sum(parts)]:
        parts[place] += 1
    return parts


def discount_amounts(lines: list[Json], coupon: Json) -> list[int]:
    """Return what a coupon takes off each line, given what is left of it.

    Each line: `left`, `discountable`, `product`.
    """
    products = (coupon.get("applies_to") or {}).get("products")
    bases = [
        line["left"]
        if line["discountable"]
        and line["left"] > 0
        and (products is None or line["product"] in products)
        else 0
        for line in lines
    ]
    if coupon["percent_off"] is not None:
        percent = Fraction(str(coupon["percent_off"])) / 100
        return [rounded(base * percent) for base in bases]
    return split(min(coupon["amount_off"], sum(bases)), bases)
