"""The ledger, with what is kept beside it, as one file: see `ledger.backup_format`.

What is not made of the events is read in one transaction, and with it where the ledger ends. That
takes moments, and holds nobody up. The events up to there are then read page by page: they never
change, so that no transaction has to last until the last of them is written; one that did would
keep SQLite's log from being emptied, and be broken off on a standby.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from msgspec import UNSET

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
from ledger.proof.cloud_events import ExportHeader, Fork
from ledger.store.holes import holes
from ledger.store.signed_checkpoints import SignedCheckpoint
from projections.audit.export import LedgerChanged, blocks, hashed
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
        fork: what was signed that the events are not of; None when they are what was signed.
    """

    events: int
    root: str
    checkpoint: int | None
    signed_at: str | None
    rows: dict[str, int]
    sha256: str
    fork: Fork | None = None


class _Beside(NamedTuple):
    """What was read in one transaction: where the ledger ends, and what was signed of it."""

    head: int
    signed: list[SignedCheckpoint]
    rows: dict[str, int]


def write_backup(
    book: Book,
    tables: Tables,
    write: Write,
    context: RequestContext,
    *,
    secret: str,
    version: str,
    accept_loss: bool = False,
    on_events: Callable[[int, int], object] = lambda _events, _total: None,
) -> BackedUp:
    """Write a backup, in blocks of whole lines, and return what it holds.

    Args:
        secret: the name of the ledger's secret.
        version: of this program.
        accept_loss: whether to write it although the events are not what was signed; it says so
            then, and is restored only where that is accepted as well.
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

    # Of a ledger that is not what was signed nothing is signed any more: this is found again below.
    fork = (
        hashed(book, book.head(), book.store.signed_checkpoints.all(), lambda _: None)[1]
        if accept_loss
        else None
    )
    beside = _write_beside(book, tables, put, context, secret, version, fork)

    def count(events: int) -> None:
        on_events(events, 2 * beside.head)

    if missing := [one for one in holes(book.store) if one.position <= beside.head]:
        raise LedgerDamaged(f"position {missing[0].position}: {missing[0].sentence}")
    tree, found = hashed(book, beside.head, beside.signed, count)
    if found is not None and found != fork:
        raise LedgerDamaged(found.against(beside.head))
    if tree.size != beside.head:
        raise LedgerChanged
    root = base64.b64encode(tree.root()).decode()
    export = ExportHeader(
        keyfold_export=1,
        first=1,
        last=beside.head,
        root=root,
        secret=secret,
        fork=UNSET if found is None else found,
    )
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
        found,
    )


# What is kept beside the events


def _write_beside(
    book: Book,
    tables: Tables,
    put: Write,
    context: RequestContext,
    secret: str,
    version: str,
    fork: Fork | None,
) -> _Beside:
    signed: list[SignedCheckpoint] = []
    counts: dict[str, int] = {}
    with tables.snapshot() as reading:
        head = _head(book, tables, reading)
        header = BackupHeader(FORMAT, version, head, secret, context.now, fork or UNSET)
        put(header_line(header))
        for table in SIDE_TABLES:
            counts[table.name] = 0
            for page in _pages(reading, table):
                put(b"".join([row_line(table, row) for row in page]))
                counts[table.name] += len(page)
                if table is CHECKPOINTS:
                    signed += map(_as_signed, page)
    return _Beside(head, signed, counts)


def _as_signed(row: Row) -> SignedCheckpoint:
    size, signers, root, note, signed_at = row
    return SignedCheckpoint(size, signers, bytes(root), note, signed_at)


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
