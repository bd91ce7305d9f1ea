"""Keys with their codes as a table: what a reseller is sent, and what can be imported elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from commands.issue_keys import IssuedKey
from commands.services import Services
from ledger.streams import key
from ledger.streams.key import KEY

CODE_COLUMNS: Final = (
    "id", "code", "masked", "product", "tier", "seats", "months", "reseller", "redeem_by", "batch",
)  # fmt: skip


def code_rows(services: Services, keys: Sequence[IssuedKey]) -> Iterator[list[Any]]:
    """Yield a row for each key, in the order given."""
    found = services.book.load_many(KEY, [key.stream_id(one.id) for one in keys])
    for one in keys:
        state = found[key.stream_id(one.id)].state
        assert state is not None, "it was just read"
        row = {name: getattr(state.issued, name) for name in CODE_COLUMNS[3:]}
        yield [*one, *row.values()]
