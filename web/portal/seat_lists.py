"""The seats of a product as its page lists them: by tier, with what each holder is known by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from ledger.catalog import Catalog, Product
from ledger.sealing import Texts
from projections.views import seats as seated
from projections.views.account_at import AccountAt
from projections.views.seats import PoolTotal, SeatView, Unlicensed
from web.portal.certificates import Known, known_as
from web.portal.texts import CERTIFICATE

Validity = Literal["expired", "not_yet_valid"]


class Holder(NamedTuple):
    """One who sits on a seat.

    Attributes:
        reason: why it is not licensed, if it is not.
        validity: what is the matter with its certificate, if anything.
    """

    id: str
    name: str | None
    ends_at: datetime | None
    occupied_at: datetime
    reason: Unlicensed | None
    validity: Validity | None


class Group(NamedTuple):
    """One tier, or the whole of a product without tiers."""

    tier: str | None
    tier_name: str | None
    limits: dict[str, int | str | bool]
    total: PoolTotal
    holders: list[Holder]


def groups(found: AccountAt, catalog: Catalog, texts: Texts, product: Product) -> list[Group]:
    """Return the tiers of a product, with who sits where."""
    view = seated.seats(found, catalog, product.id)
    labels = texts.open_all(one.label for one in view.items)
    sitting = list(zip(view.items, labels, strict=True))
    return [
        Group(
            total.tier,
            product.tier_name(total.tier),
            product.limits_of(total.tier),
            total,
            list(_holders(sitting, total, product, found.moment.at)),
        )
        for total in view.totals
    ]


def _holders(
    sitting: list[tuple[SeatView, str | None]], total: PoolTotal, product: Product, at: datetime
) -> Iterator[Holder]:
    for seat, label in sitting:
        if seat.tier == total.tier:
            known = _known(label, product)
            yield Holder(
                seat.holder,
                known.name if known else None,
                known.ends_at if known else None,
                seat.occupied_at,
                seat.reason,
                _validity(known, at),
            )


def _known(label: str | None, product: Product) -> Known | None:
    if label is None:
        return None
    return known_as(label) if product.seat == CERTIFICATE else Known(label)


def _validity(known: Known | None, at: datetime) -> Validity | None:
    if known is None or known.starts_at is None or known.ends_at is None:
        return None
    if at > known.ends_at:
        return "expired"
    return "not_yet_valid" if at < known.starts_at else None
