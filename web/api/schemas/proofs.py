"""The queries of proofs."""

from __future__ import annotations

from typing import Any

from web.api.schemas.fields import NumberText, within
from web.api.schemas.requests import POSITION_MAX, ReadQuery


def _size(description: str, **options: Any) -> NumberText:
    return NumberText(
        validate=within(1, POSITION_MAX), **options, document={"description": description}
    )


class InclusionQuery(ReadQuery):
    position = _size("Of the event.", required=True)
    size = _size("How many events the tree has; as many as the ledger if left out.")


class ConsistencyQuery(ReadQuery):
    old = _size("How many events the smaller tree has.", data_key="from", required=True)
    new = _size(
        "How many events the larger tree has; as many as the ledger if left out.", data_key="to"
    )
