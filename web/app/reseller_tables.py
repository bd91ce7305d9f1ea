"""Resellers as a table: a row each, with the sums of what they may order."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import astuple

from projections.lists.resellers import ResellerView

_SUMS: Final = ("granted", "spent", "left")
RESELLER_COLUMNS: Final = (
    "reseller", "status", "keys_suspended", *_SUMS, "max_count", "max_seats", "max_months",
    "approval_above", "issued", "open", "redeemed", "revoked", "lapsed", "ending", "not_renewed",
)  # fmt: skip


def reseller_row(one: ResellerView) -> list[Any]:
    """Return a reseller's row, in the order of the columns."""
    sums = [sum(getattr(allowance, name) for allowance in one.allowances) for name in _SUMS]
    not_renewed = sum(not ending.renewed for ending in one.ending)
    return [
        *(one.reseller, one.status, one.keys_suspended, *sums, *astuple(one.order_max)),
        *(one.approval_above, *astuple(one.keys), len(one.ending), not_renewed),
    ]
