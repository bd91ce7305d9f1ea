"""The seats of a product as its page lists them: by tier, with what each holder is known by."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

from ledger.catalog import Catalog, Product
from ledger.sealing import Texts
from projections.lists.names import plain
from projections.views import seats as seated
from projections.views.account_at import AccountAt
from projections.views.seats import PoolTotal, SeatView
from web.portal.certificates import HolderLabel, read_label
from web.portal.texts import CERTIFICATE

T = TypeVar("T")

PAGE: Final = 50


class SeatHolder(NamedTuple):
    """One who sits on a seat, and what the seat's label says, if it has one."""

    seat: SeatView
    label: HolderLabel | None


class HolderPage(NamedTuple):
    """Which holders are asked for.

    Attributes:
        query: a part of their name, or the beginning of their id; "" for all.
        page: from 1.
    """

    query: str = ""
    page: int = 1


class TierSeats(NamedTuple):
    """One tier, or the whole of a product without tiers.

    Attributes:
        holders: those of the page.
        found: how many there are on all pages.
        pages: how many; at least 1.
    """

    name: str | None
    limits: dict[str, int | str | bool]
    total: PoolTotal
    holders: list[SeatHolder]
    found: int
    pages: int


def by_tier(
    found: AccountAt,
    catalog: Catalog,
    texts: Texts,
    product: Product,
    listing: HolderPage,
) -> list[TierSeats]:
    """Return the tiers of a product, with who sits where; of many, a page of each tier's."""
    view = seated.seats(found, catalog, product.id)
    tiers = []
    for total in view.totals:
        its = [one for one in view.items if one.tier == total.tier]
        if listing.query:
            matching = [
                one for one in _opened(its, texts, product) if _matches(one, plain(listing.query))
            ]
            count, holders = len(matching), _page(matching, listing.page)
        else:
            # Texts are opened of those alone that are shown.
            count, holders = len(its), _opened(_page(its, listing.page), texts, product)
        name, limits = product.tier_name(total.tier), product.limits_of(total.tier)
        tiers.append(TierSeats(name, limits, total, holders, count, max(1, -(-count // PAGE))))
    return tiers


def _page(its: list[T], number: int) -> list[T]:
    last = max(1, -(-len(its) // PAGE))
    start = (min(number, last) - 1) * PAGE
    return its[start : start + PAGE]


def _opened(its: list[SeatView], texts: Texts, product: Product) -> list[SeatHolder]:
    read = read_label if product.seat == CERTIFICATE else HolderLabel
    labels = texts.open_all(one.label for one in its)
    return [
        SeatHolder(seat, None if label is None else read(label))
        for seat, label in zip(its, labels, strict=True)
    ]


def _matches(one: SeatHolder, query: str) -> bool:
    name = plain(one.label.name) if one.label else ""
    return query in name or plain(one.seat.holder).startswith(query)
