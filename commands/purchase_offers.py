"""What an account can buy: each tier and interval that would not be refused, and what it costs.

Whether it would be is decided by what decides a purchase, on what is known without asking Stripe.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

from commands.gateways.stripe import StripeGateway
from commands.gateways.stripe_billing import FAULTS, in_time
from ledger.catalog import Interval, Price, Product
from ledger.refusals import Refusal, SeatsFollowHolders
from ledger.streams.account import purchases
from ledger.streams.account.purchases import Priced, Wanted
from ledger.streams.account.state import Account
from ledger.stripe.facts import StripeItem

PRICES_WITHIN_S: Final = 3.0
PRICES_KEPT_S: Final = 60.0


class UnitPrice(NamedTuple):
    """What one unit costs each interval, in minor units."""

    amount: int
    currency: str
    interval: str | None = None


class Offer(NamedTuple):
    """A tier, or the whole of a product without tiers, paid every `interval`.

    Attributes:
        per_unit: seats are sold in multiples of so many.
        has: how many seats the subscription has of it that these are added to.
        adds: whether they are added to a subscription that there is, and paid at once.
        item: of that subscription, whose own price is paid; None where the catalog's is.
        price: of the catalog.
        base: what a product with billed seats begins with; None for any other.
    """

    tier: str | None
    interval: Interval
    per_unit: int
    has: int
    adds: bool
    item: StripeItem | None
    price: Price | None
    base: Price | None = None


class Offers(NamedTuple):
    """What is for sale; and, where that is nothing, why not, if it was refused."""

    offers: list[Offer]
    refusal: Refusal | None = None


def offers_for(account: Account, product: Product, now: datetime) -> Offers:
    """Return what an account can buy of a product, in the catalog's order."""
    found: list[Offer] = []
    refusals: list[Refusal] = []
    for tier in product.tier_ids:
        for interval in _intervals(product, tier):
            try:
                found.append(_offer(account, product, tier, interval, now))
            except Refusal as refusal:
                refusals.append(refusal)
    return Offers(found, refusals[0] if refusals and not found else None)


def _intervals(product: Product, tier: str | None) -> list[Interval]:
    """Return how often a tier can be paid; of a billed product, how often its base plan can."""
    base = any(price.base for price in product.prices_of(tier))
    its = {one.interval for one in product.prices_of(tier) if one.base is base and one.interval}
    return [one for one in ("month", "year") if one in its]


def _offer(
    account: Account, product: Product, tier: str | None, interval: Interval, now: datetime
) -> Offer:
    prices = [one for one in product.prices_of(tier) if one.interval == interval]
    price = next((one for one in prices if not one.base), None)
    base = next((one for one in prices if one.base), None)
    per_unit = price.seats if price else 1
    side = account.stripe
    wanted = Wanted(product.id, tier, per_unit, interval, fingerprint="")
    subscriptions = side.subscriptions.values()
    target = purchases.find_seat_target(subscriptions, side.mapped, wanted, now)
    if target is None or target.item is None:
        purchases.refuse_beside_lost(subscriptions, side.mapped, wanted, now)
    if target is None:
        return Offer(tier, interval, per_unit, 0, False, None, price, base)
    has = 0
    if target.item is not None and target.meaning is not None:
        per_unit = max(target.meaning.per_unit, 1)
        has = per_unit * (target.item.quantity or 0)
    purchases.ask(target, wanted._replace(seats=per_unit), Priced("", per_unit), now)
    return Offer(tier, interval, per_unit, has, True, target.item, price)


def follows_holders(account: Account, product: Product, now: datetime) -> bool:
    """Return whether an account's seats of a product are billed as they are taken, and not bought
    beforehand: it has the plan that they come on top of.
    """
    return product.billed and isinstance(
        offers_for(account, product, now).refusal, SeatsFollowHolders
    )


def further_seat(account: Account, product: Product, now: datetime) -> Price | StripeItem | None:
    """Return what bills one more holder: an item of the account, else a price of the catalog."""
    side = account.stripe
    for subscription in side.subscriptions.values():
        if subscription.has_ended(now):
            continue
        for item, means in subscription.meanings(side.mapped):
            if means and means.product == product.id and means.billed and means.per_unit:
                return item
    every = {
        item.interval
        for one in side.subscriptions.values()
        if not one.has_ended(now)
        for item, means in one.meanings(side.mapped)
        if means and means.product == product.id
    }
    prices = [one for one in product.prices if not one.base and one.interval]
    return next((one for one in prices if not every or one.interval in every), None)


def unit_prices(
    stripe: StripeGateway, wanted: Sequence[Price | StripeItem | None]
) -> list[UnitPrice | None]:
    """Return what one unit of each costs; None where no one figure says that, or is known in time.

    Args:
        wanted: prices of the catalog, which are asked of Stripe; items have theirs on record.
    """
    asked = [one for one in wanted if isinstance(one, Price)]
    found: dict[Price, UnitPrice | None] = {}
    try:
        its = in_time([partial(_known, stripe, one) for one in asked], PRICES_WITHIN_S)
        found = dict(zip(asked, its, strict=True))
    except FAULTS:
        pass
    return [
        found.get(one) if isinstance(one, Price) else _of_item(one) if one else None
        for one in wanted
    ]


def _known(stripe: StripeGateway, price: Price) -> UnitPrice | None:
    """Return what a price is at Stripe, or was up to a minute ago."""
    kept: tuple[float, UnitPrice | None] | None = stripe.shown_prices.get(price)
    if kept is not None and time.monotonic() - kept[0] < PRICES_KEPT_S:
        return kept[1]
    object = stripe.find_price(price, stripe.interactive)
    found = _of_object(object) if object else None
    stripe.shown_prices[price] = time.monotonic(), found
    return found


def _of_object(price: dict[str, Any]) -> UnitPrice | None:
    amount, currency = price.get("unit_amount"), price.get("currency")
    if price.get("billing_scheme") != "per_unit" or price.get("transform_quantity"):
        return None
    if (price.get("recurring") or {}).get("interval_count") != 1:
        return None
    every = (price.get("recurring") or {}).get("interval")
    return UnitPrice(amount, currency, every) if isinstance(amount, int) and currency else None


def _of_item(item: StripeItem) -> UnitPrice | None:
    terms, amount = item.terms, item.unit_amount
    if terms is None or terms.scheme != "per_unit" or terms.divide_by is not None:
        return None
    if item.usage_type == "metered" or (item.interval_count or 1) != 1:
        return None
    if amount is None or item.currency is None or not amount.isdigit():
        return None
    return UnitPrice(int(amount), item.currency, item.interval)
