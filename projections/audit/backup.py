"""The ledger, with what is kept beside it, as one file: see `ledger.backup_format`.

What is not made of the events is read in one transaction, and with it where the ledger ends. That
takes moments, and holds nobody up. The events up to there are then read page by page: they never
change, so that no transaction has to last until the last of them is written; one that did would
keep SQLite's log from being emptied, and be broken off on a standby.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from ledger.backup_format import (
    CHECKPOINTS,
    FORMAT,
    SIDE_TABLES,
    BackupHeader,
    SideTable,
    header_line,
    row_line,
    seal_line,
)
from ledger.book import Book
from ledger.events import RequestContext
from ledger.proof.cloud_events import ExportHeader
from ledger.proof.merkle import EMPTY_ROOT, Frontier, leaf_hash
from ledger.store.holes import holes
from projections.audit.export import Counted, LedgerChanged, blocks, pages
from projections.lists.stores import ReadTransaction, Tables
from projections.lists.stores.tables import Params, Row

PAGE_ROWS: Final = 1_000
BLOCK_BYTES: Final = 256 * 1024

Write = Callable[[bytes], object]


class LedgerDamaged(Exception):
    """The ledger is not what it was, so that nothing could be restored; the message says how."""


class BackedUp(NamedTuple):
    """What a backup holds.

    Attributes:
        root: base64, of the tree over all events.
        checkpoint: how many events the last checkpoint is of that was signed; None if none was.
        signed_at: when that was.
        rows: how many rows there are of each table that is not made of the events.
        sha256: of all bytes but those of the last line, before they are compressed.
    """

    events: int
    root: str
    checkpoint: int | None
    signed_at: str | None
    rows: dict[str, int]
    sha256: str


class _Signed(NamedTuple):
    size: int
    root: bytes
    signed_at: str


class _Beside(NamedTuple):
    """What was read in one transaction: where the ledger ends, and what was signed of it."""

    head: int
    signed: list[_Signed]
    rows: dict[str, int]


def write_backup(
    book: Book,
    tables: Tables,
    write: Write,
    context: RequestContext,
    *,
    secret: str,
    version: str,
    on_events: Callable[[int, int], object] = lambda _events, _total: None,
) -> BackedUp:
    """Write a backup, in blocks of whole lines, and return what it holds.

    Args:
        secret: the name of the ledger's secret.
        version: of this program.
        on_events: called with how many events were read since it was called last, and of how many.

    Raises:
        LedgerDamaged: events are missing, or are not those of a checkpoint that was signed.
        LedgerChanged: they were changed meanwhile.
        PersistenceError: a fault of the database.
    """
    digest = hashlib.sha256()

    def put(block: bytes) -> None:
        digest.update(block)
        write(block)

    beside = _write_beside(book, tables, put, context, secret, version)

    def count(events: int) -> None:
        on_events(events, 2 * beside.head)

    if missing := [one for one in holes(book.store) if one.position <= beside.head]:
        raise LedgerDamaged(f"position {missing[0].position}: {missing[0].sentence}")
    root = base64.b64encode(_root(book, beside, count)).decode()
    export = ExportHeader(keyfold_export=1, first=1, last=beside.head, root=root, secret=secret)
    for block in blocks(book, export, on_events=count):
        put(block)
    sealed = digest.hexdigest()
    write(seal_line(sealed))
    last = max(beside.signed, default=None)
    return BackedUp(
        beside.head,
        root,
        last.size if last else None,
        last.signed_at if last else None,
        beside.rows,
        sealed,
    )


def _root(book: Book, beside: _Beside, on_events: Counted) -> bytes:
    """Return the root of all events, held against every checkpoint that was signed of them."""
    tree = Frontier()
    signed = {one.size: one.root for one in beside.signed}
    if (last := max(signed, default=0)) > beside.head:
        raise LedgerDamaged(
            f"it ends at position {beside.head}, but a checkpoint of {last} events was signed"
        )
    for rows in pages(book, 0, beside.head):
        for row in rows:
            tree.append(leaf_hash(row.stream, row.version, row.name, row.state))
            _hold(tree, signed)
        on_events(len(rows))
    if tree.size != beside.head:
        raise LedgerChanged
    return tree.root() if tree.size else EMPTY_ROOT


def _hold(tree: Frontier, signed: Mapping[int, bytes]) -> None:
    if tree.size in signed and signed[tree.size] != tree.root():
        raise LedgerDamaged(
            f"its first {tree.size} events are not those of the checkpoint that was signed of them"
        )


# What is kept beside the events


def _write_beside(
    book: Book, tables: Tables, put: Write, context: RequestContext, secret: str, version: str
) -> _Beside:
    signed: list[_Signed] = []
    counts: dict[str, int] = {}
    with tables.snapshot() as reading:
        head = _head(book, tables, reading)
        put(header_line(BackupHeader(FORMAT, version, head, secret, context.now)))
        for table in SIDE_TABLES:
            counts[table.name] = 0
            for page in _pages(reading, table):
                put(b"".join([row_line(table, row) for row in page]))
                counts[table.name] += len(page)
                if table is CHECKPOINTS:
                    signed += [_Signed(row[0], bytes(row[2]), row[4]) for row in page]
    return _Beside(head, signed, counts)


def _head(book: Book, tables: Tables, reading: ReadTransaction) -> int:
    column = tables.position_column
    if column is None:
        return book.head()
    ((head,),) = reading.execute(f"SELECT coalesce(max({column}), 0) FROM keyfold_events", {})  # noqa: S608
    position: int = head
    return position


def _pages(reading: ReadTransaction, table: SideTable) -> Iterator[list[Row]]:
    """Return all rows of a table that are meant, in order of its key."""
    keys = table.columns[: table.keys]
    after = f"({', '.join(keys)}) > ({', '.join(f':{key}' for key in keys)})"
    params: Params = {}
    while True:
        conditions = " AND ".join(filter(None, [table.condition, after if params else ""]))
        page = reading.execute(
            f"SELECT {', '.join(table.columns)} FROM {table.name}"  # noqa: S608 - all of it is ours
            f"{' WHERE ' + conditions if conditions else ''}"
            f" ORDER BY {', '.join(keys)} LIMIT {PAGE_ROWS}",
            params,
        )
        if not page:
            return
        yield page
        params = dict(zip(keys, page[-1], strict=False))
