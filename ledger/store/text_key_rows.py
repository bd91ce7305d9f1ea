"""All keys of sealed text, for moving a ledger to another database.

`ledger.store.text_keys` asks for one owner's key at a time, as everybody does; only who moves a
ledger needs all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from ledger.store.contract import Recorder
from ledger.store.sqlite.datastore import SqliteDatastore

if TYPE_CHECKING:
    from ledger.store.postgres.datastore import PostgresDatastore

PAGE_ROWS: Final = 1_000

_SQLITE: LiteralString = """
    SELECT owner, wrapped_key, created_at FROM keyfold_text_keys
    WHERE owner > ? ORDER BY owner LIMIT ?
"""
_POSTGRES: LiteralString = """
    SELECT owner, wrapped_key, created_at FROM keyfold_text_keys
    WHERE owner > %b::text ORDER BY owner LIMIT %b::bigint
"""


class TextKey(NamedTuple):
    """A row of keyfold_text_keys; the key is wrapped under the ledger's secret."""

    owner: str
    wrapped: bytes
    created_at: str


def text_keys(store: Recorder) -> Iterator[TextKey]:
    """Answer every key of a ledger in a database, in order of the owners."""
    datastore: SqliteDatastore | PostgresDatastore = _datastore(store)
    after = ""
    while rows := _page(datastore, after):
        yield from rows
        after = rows[-1].owner


def _datastore(store: Any) -> Any:
    return store.datastore


def _page(datastore: SqliteDatastore | PostgresDatastore, after: str) -> list[TextKey]:
    if isinstance(datastore, SqliteDatastore):
        rows = datastore.read(_SQLITE, (after, PAGE_ROWS))
    else:
        rows = datastore.read(_POSTGRES, (after, PAGE_ROWS))
    return [TextKey(owner, bytes(wrapped), created_at) for owner, wrapped, created_at in rows]
