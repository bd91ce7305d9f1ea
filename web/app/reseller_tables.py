"""Resellers as a table: a row for each, and each product and tier that it may order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import astuple

from projections.lists.resellers import AllowanceView, ResellerView

_OF_ALLOWANCE: Final = AllowanceView.__struct_fields__
RESELLER_COLUMNS: Final = (
    "reseller", "status", "keys_suspended", *_OF_ALLOWANCE, "max_count", "max_seats", "max_months",
    "approval_above", "issued", "open", "redeemed", "revoked", "lapsed", "ending", "not_renewed",
)  # fmt: skip


def reseller_rows(one: ResellerView) -> Iterator[list[Any]]:
    """Yield a reseller's rows, in the order of the columns.

    What is so of it as a whole is in its first row alone, so that sums over a column are right. One
    that may order nothing has a row all the same.
    """
    # How many of those that are not told have been renewed, nobody looked.
    is_all = one.ending_count == len(one.ending)
    not_renewed = sum(not ending.renewed for ending in one.ending) if is_all else None
    whole: list[Any] = [
        *(*astuple(one.order_max), one.approval_above, *astuple(one.keys)),
        *(one.ending_count, not_renewed),
    ]
    nothing: list[Any] = [None] * len(_OF_ALLOWANCE)
    for allowance in [list(astuple(each)) for each in one.allowances] or [nothing]:
        yield [one.reseller, one.status, one.keys_suspended, *allowance, *whole]
        whole = [None] * len(whole)
