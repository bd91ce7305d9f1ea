"""Which key another one was given for: not for a reseller to see where that was somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ledger.book import Book
from ledger.streams.key import KEY, stream_id
from projections.lists.keys import KeyView


def as_seen(book: Book, keys: Sequence[KeyView], reseller: str | None) -> list[KeyView]:
    """Return keys as a reseller may see them; the vendor (None) sees what each was given for."""
    if reseller is None:
        return list(keys)
    replaced = {key.id: stream_id(key.replaces) for key in keys if key.replaces is not None}
    loaded = book.load_many(KEY, sorted(set(replaced.values()))) if replaced else {}
    others = {
        id
        for id, old in replaced.items()
        if (state := loaded[old].state) is None or not state.belongs_to(reseller)
    }
    return [replace(key, replaces=None) if key.id in others else key for key in keys]
