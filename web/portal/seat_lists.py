"""The seats of a product as its page lists them: by tier, with what each holder is known by."""

from __future__ import annotations

from typing import NamedTuple

from ledger.catalog import Catalog, Product
from ledger.sealing import Texts
from projections.views import seats as seated
from projections.views.account_at import AccountAt
from projections.views.seats import PoolTotal, SeatView
from web.portal.certificates import HolderLabel, read_label
from web.portal.texts import CERTIFICATE


class SeatHolder(NamedTuple):
    """One who sits on a seat, and what the seat's label says, if it has one."""

    seat: SeatView
    label: HolderLabel | None


class TierSeats(NamedTuple):
    """One tier, or the whole of a product without tiers."""

    name: str | None
    limits: dict[str, int | str | bool]
    total: PoolTotal
    holders: list[SeatHolder]


def by_tier(found: AccountAt, catalog: Catalog, texts: Texts, product: Product) -> list[TierSeats]:
    """Return the tiers of a product, with who sits where."""
    view = seated.seats(found, catalog, product.id)
    read = read_label if product.seat == CERTIFICATE else HolderLabel
    labels = texts.open_all(one.label for one in view.items)
    holders = [
        SeatHolder(seat, None if label is None else read(label))
        for seat, label in zip(view.items, labels, strict=True)
    ]
    return [
        TierSeats(
            product.tier_name(total.tier),
            product.limits_of(total.tier),
            total,
            [one for one in holders if one.seat.tier == total.tier],
        )
        for total in view.totals
    ]
