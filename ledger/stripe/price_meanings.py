"""What the prices of a Stripe subscription mean: what the first report said that gave them any.

A lookup key moves to another price, a catalog changes, an event of an old shape tells no key. So
what a price means is no matter of the last report; and as it is the first by the reports' own
order, and not the first to arrive, it is a function of their set (ADR 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.stripe.facts import KnownPrice, Meaning, StripeItem, StripeSubscriptionReported


def with_prices_of(
    known: dict[str, KnownPrice], report: StripeSubscriptionReported
) -> dict[str, KnownPrice]:
    """Return what prices mean with one more report, whatever came before it."""
    found = dict(known)
    for price, before in (report.history.prices if report.history else {}).items():
        found[price] = min(found.get(price, before), before, key=lambda one: one.rank)
    for item in report.items or ():
        if item.meaning is None or item.price is None:
            continue
        said = KnownPrice(
            report.order, item.meaning, item.id or "", item.lookup_key, item.stripe_product
        )
        found[item.price] = min(found.get(item.price, said), said, key=lambda one: one.rank)
    return found if found != known else known


def has_lost(
    now: Sequence[tuple[StripeItem, Meaning | None]],
    prices: Mapping[str, KnownPrice],
    remapped: Mapping[str, Meaning],
    place: tuple[str, str | None],
    *,
    needs_base: bool,
) -> bool:
    """Return whether an item that means nothing stands where one of a product and tier was.

    Args:
        now: the items, each with what it means.
        prices, remapped: what prices of the subscription ever meant.
        place: the product and tier.
        needs_base: the product is sold on top of a base plan.
    """
    unknown = {item.id for item, meaning in now if meaning is None}
    if not unknown:
        return False
    ever = [*(one.meaning for one in prices.values()), *remapped.values()]
    had = {one.per_unit > 0 for one in ever if (one.product, one.tier) == place}
    if needs_base and had:
        had.add(False)
    has = {one.per_unit > 0 for _, one in now if one and (one.product, one.tier) == place}
    was_here = {one.item for one in prices.values() if one.meaning.product == place[0]}
    return bool(had - has) or bool(unknown & was_here)
