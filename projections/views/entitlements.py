"""Entitlements: what an account may use, per product and tier, and until when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from ledger.catalog import Catalog
from projections.answer import AccountAnswer, Answer, Count, Seats, Time, Used, doc
from projections.views.account_at import AccountAt
from projections.views.seats import pools


class Entitlement(Answer, frozen=True):
    """What the seats of one product and tier entitle to."""

    product: Annotated[str, doc(None, "integrations")]
    name: Annotated[str, doc(None, "Integrations")]
    tier: Annotated[str | None, doc(None, "growth")]
    tier_name: Annotated[str | None, doc(None, "Growth")]
    seats: Seats
    used: Used
    over: Annotated[Count, doc(None, 0)]
    limits: Annotated[
        dict[str, int | str | bool],
        doc(
            "As the catalog has them.",
            {"invoices_per_month": 3000, "sync": "Near real-time + auto retry"},
        ),
    ]
    until: Annotated[
        Time | None,
        doc(
            "When the last of its seats ends, with what is to begin by then; null when they renew."
        ),
    ]
    renews: bool


class EntitlementsView(AccountAnswer, frozen=True):
    """Every product and tier that the account has seats or holders of."""

    entitlements: list[Entitlement]


def entitlements(state: AccountAt, catalog: Catalog) -> EntitlementsView:
    """Return every pool of the account that has seats or holders at the moment asked about."""
    found = (_entitlement(state, catalog, *pool) for pool in pools(state.account, catalog))
    return EntitlementsView(
        *state.header, entitlements=[one for one in found if one.seats or one.used]
    )


def _entitlement(
    state: AccountAt, catalog: Catalog, product_id: str, tier: str | None
) -> Entitlement:
    product = catalog.product(product_id)
    filled = state.account.pool(product_id, tier, state.moment.at)
    renews = any(row.renews for row, _ in filled.rows)
    ends = [row.expires_at for row, _ in filled.rows if row.expires_at is not None]
    return Entitlement(
        product=product_id,
        name=product.name if product else product_id,
        tier=tier,
        tier_name=product.tier_name(tier) if product else tier,
        seats=filled.seats,
        used=filled.used,
        over=filled.over,
        limits=product.limits_of(tier) if product else {},
        until=None if renews else _with_followers(state, product_id, tier, ends),
        renews=renews,
    )


def _with_followers(
    state: AccountAt, product: str, tier: str | None, ends: list[datetime]
) -> datetime | None:
    """Return when the last of some seats end, or of those that follow them without a gap."""
    until = max(ends, default=None)
    if until is None:
        return None
    at = state.moment.at
    for one in sorted(state.account.subscriptions.values(), key=lambda one: one.started_at):
        is_same = (one.product, one.tier) == (product, tier) and one.suspended_at is None
        if is_same and one.status(at) == "scheduled" and one.started_at <= until:
            until = max(until, one.expires_at)
    return until
