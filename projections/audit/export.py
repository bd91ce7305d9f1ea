"""The ledger as a file: a header, then one CloudEvent a line, exactly as stored (`cloud_events`).

    header = plan(book, last=1000)
    for block in blocks(book, header):       # bytes: whole lines, a page of events each
        file.write(block)

The same ledger gives the same bytes, whenever and from whichever database: nothing in an export
tells when it was made. Only of events that are not what was signed the header says so. Events are
read page by page, so a million take no more memory than a thousand. While the lines go out, their
root is computed once more and held against the header's: an export that was read from a ledger
which somebody changes meanwhile does not end well.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from ledger.book import Book
from ledger.proof.cloud_events import ExportHeader, Fork, header_line, line_of
from ledger.proof.merkle import Frontier, leaf_hash
from ledger.store.contract import Row
from ledger.store.signed_checkpoints import SignedCheckpoint

PAGE_EVENTS: Final = 2_000

Counted = Callable[[int], object]


class NoSuchRange(ValueError):
    """The ledger has no such events; the message says which it has."""


class LedgerChanged(Exception):
    """The ledger's events are no longer those that its root was computed over: it was tampered
    with while it was read.
    """


class OtherExport(Exception):
    """What was begun is an export of another ledger, of other events, or was damaged."""


def plan(
    book: Book,
    *,
    first: int = 1,
    last: int | None = None,
    secret: str | None = None,
    signed: Iterable[SignedCheckpoint] = (),
    on_events: Counted = lambda _: None,
) -> ExportHeader:
    """Return the header of an export: which events, and the root that they give.

    Args:
        last: the ledger's head, if left out.
        secret: the name of the ledger's secret.
        signed: what was ever signed of it.
        on_events: called with how many events were read since it was called last.

    Raises:
        NoSuchRange: the ledger ends before `last`, or the range begins after its end.
    """
    head = book.head()
    last = head if last is None else last
    if last > head:
        raise NoSuchRange(f"the ledger has {head} events, and none at position {last}")
    if first < 1 or last < first - 1:
        raise NoSuchRange(f"there is no event from position {first} to {last}")
    header = ExportHeader(keyfold_export=1, first=first, last=last, root=None, secret=secret)
    if first > 1:
        return header
    tree, fork = hashed(book, last, signed, on_events)
    root = base64.b64encode(tree.root()).decode()
    return replace(header, root=root, fork=UNSET if fork is None else fork)


def blocks(
    book: Book, header: ExportHeader, *, on_events: Counted = lambda _: None
) -> Iterator[bytes]:
    """Return the lines of an export, the header's among them, as blocks of whole lines.

    Args:
        on_events: as for `plan`.

    Raises:
        LedgerChanged: after the last block, if its events do not give the header's root.
    """
    yield header_line(header)
    tree = Frontier()
    for rows in pages(book, header.first - 1, header.last):
        _grow(tree, rows)
        yield b"".join(map(line_of, rows))
        on_events(len(rows))
    if header.root and base64.b64encode(tree.root()).decode() != header.root:
        raise LedgerChanged


def blocks_after(lines: Iterator[bytes], length: int, digest: bytes) -> Iterator[bytes]:
    """Yield what there is not yet of an export.

    Args:
        lines: of the whole export, as `blocks` answers them.
        length, digest: of what there is: so many bytes, with this SHA-256.

    Raises:
        OtherExport: what there is is not the beginning of this export.
    """
    seen, left = hashlib.sha256(), length
    for block in lines:
        known, new = block[:left], block[left:]
        seen.update(known)
        left -= len(known)
        if known and not left and seen.digest() != digest:
            raise OtherExport
        if new:
            yield new
    if left:
        raise OtherExport


def hashed(
    book: Book, upto: int, signed: Iterable[SignedCheckpoint], on_events: Counted
) -> tuple[Frontier, Fork | None]:
    """Return the tree of the first events, and what was signed that they are not of, if anything.

    Where there are fewer of them than was asked for, the tree is as small.
    """
    tree, by_size = Frontier(), defaultdict[int, list[SignedCheckpoint]](list)
    for one in signed:
        by_size[one.size].append(one)
    against = [one for size in by_size for one in by_size[size] if size > upto]
    agreed = 0
    for rows in pages(book, 0, upto):
        for row in rows:
            tree.append(leaf_hash(row.stream, row.version, row.name, row.state))
            if here := by_size.get(tree.size):
                others = [one for one in here if one.root != tree.root()]
                against += others
                if not others and not any(one.size <= tree.size for one in against):
                    agreed = tree.size
        on_events(len(rows))
    if not against:
        return tree, None
    newest = max(against)
    return tree, Fork(newest.size, agreed, newest.note)


def _grow(tree: Frontier, rows: list[Row]) -> None:
    for row in rows:
        tree.append(leaf_hash(row.stream, row.version, row.name, row.state))


def pages(book: Book, after: int, upto: int) -> Iterator[list[Row]]:
    """Return the events after a position, up to another, page by page."""
    while after < upto and (rows := book.store.read_from(after, PAGE_EVENTS, upto)):
        yield rows
        after = rows[-1].position
