"""Put a backup into an empty database: all of it, proved, or nothing.

Everything happens in one transaction, with all that an import proves (`commands.import_ledger`).
While it goes on, and after one that was killed or failed in the middle, the database takes nothing
else (`ledger.store.unfinished_restore`):

    the file         is what its last line has the digest of
    the checkpoints  that the ledger had signed, that the database remembers, and that were given,
                     have the roots of the events
    beside them      what is not made of the events comes in with them

A checkpoint of more events than the backup has says that events are lost. Then nothing is restored,
unless that is accepted: the checkpoint is then remembered as one that was signed, so that none is
signed any more that contradicts it. The backup of such a ledger says what it is, and is restored
only where that is accepted once more: its events are held against what was signed up to there.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from commands.import_ledger import (
    Contradicted,
    Insert,
    fill,
    header_of,
    read_pages,
    remember,
    roots_of,
)
from commands.services import Services
from commands.sign_checkpoint import CannotSign, Signing, hold_to_note
from ledger.backup_format import (
    CHECKPOINTS,
    SIDE_TABLES,
    BackupHeader,
    BadBackup,
    SideTable,
    Value,
    is_row,
    read_row,
)
from ledger.proof.cloud_events import ExportHeader, Fork
from ledger.proof.merkle import Frontier, leaf_hash
from ledger.store.bulk_load import Filling, LedgerNotEmpty, filling
from ledger.store.eventsourcing_adapter import IntegrityError
from ledger.store.signed_checkpoints import SignedCheckpoint

ROWS_AT_ONCE: Final = 1_000


class EventsLost(Exception):
    """A checkpoint is of more events than the backup has.

    Attributes:
        size: of how many events the checkpoint is.
        events: how many the backup has.
    """

    def __init__(self, size: int, events: int) -> None:
        super().__init__(size, events)
        self.size = size
        self.events = events


class Forked(Exception):
    """The backup says itself that its events are not what was signed of the ledger."""

    def __init__(self, fork: Fork, events: int) -> None:
        super().__init__(
            f"{fork.against(events)}; they agree with what was signed up to position {fork.agreed}"
        )


class Restored(NamedTuple):
    """What is in the ledger now.

    Attributes:
        root: base64, of the tree over all events.
        proved_up_to: how many events the last checkpoint is of that agrees; 0 if there is none.
        checkpoints: how many agree.
        lost_after: the last position that is there, where a checkpoint is of more events.
        fork: what the backup says of what was signed that its events are not of; None for nothing.
        rows: how many rows came in of each table that is not made of the events.
    """

    events: int
    streams: int
    root: str
    proved_up_to: int
    checkpoints: int
    lost_after: int | None
    rows: dict[str, int]
    fork: Fork | None


def restore_ledger(
    services: Services,
    signing: Signing,
    header: BackupHeader,
    lines: Iterator[bytes],
    given: Sequence[SignedCheckpoint],
    *,
    accept_loss: bool,
    begin: Callable[[], object],
    on_events: Callable[[int, int], object],
) -> Restored:
    """Take in a backup, and return what is in the ledger now.

    Args:
        lines: of the backup, without its header and its last one.
        given: checkpoints of this ledger that were kept elsewhere.
        accept_loss: whether to go on when a checkpoint is of more events than the backup has, or
            it says that it is not what was signed.
        begin: called before anything is changed, and when nothing is against it by then; marks the
            database until the restore has ended.

    Raises:
        BadBackup, BadExport: the file does not fit; nothing was changed.
        LedgerNotEmpty: the database holds events, or something beside them.
        Forked, EventsLost, Contradicted, NotProved: as they say; nothing was changed.
        PersistenceError: a fault of the database.
    """
    remembered = list(services.book.store.signed_checkpoints.all())
    kept = [*signing.signed.all(), *given]
    beyond = max((one for one in kept if one.size > header.events), default=None)
    fork = header.fork or None
    if fork is not None and not accept_loss:
        raise Forked(fork, header.events)
    if beyond is not None and not accept_loss:
        raise EventsLost(beyond.size, header.events)
    if services.book.head():
        raise LedgerNotEmpty
    lines = _with_a_first_line(lines)
    with filling(services.book.store) as filled:
        _refuse_what_is_beside(filled)
    begin()
    with filling(services.book.store) as filled:
        filled.end_restore()
        _refuse_what_is_beside(filled)
        counts, signed, export_line = _read_beside(filled.insert, lines, remembered)
        export = header_of(export_line)
        _hold_together(header, export)
        for one in signed:
            _hold_to_its_signature(signing, one, header)
        upto = export.last if fork is None else fork.agreed
        held = [one for one in [*kept, *signed] if one.size <= upto]
        streams = fill(filled, export, lines, on_events, roots_of(held))
        remember(filled.insert, kept, [*remembered, *signed])
    proved = max((one.size for one in held), default=0)
    agreeing = len({(one.size, one.signers) for one in held})
    lost_after = header.events if beyond is not None else None
    root = export.root or ""
    return Restored(export.last, streams, root, proved, agreeing, lost_after, counts, fork)


class CheckedBackup(NamedTuple):
    """What a backup holds.

    Attributes:
        root: base64, of the tree over all events.
        rows: how many there are of each table that is not made of the events.
    """

    root: str
    rows: dict[str, int]


def check_backup(
    header: BackupHeader, lines: Iterator[bytes], on_events: Callable[[int, int], object]
) -> CheckedBackup:
    """Read a backup to its end without a database, and return what it holds.

    Raises:
        BadBackup, BadExport, Contradicted: as `restore_ledger` does.
    """
    rows, signed, export_line = _read_beside(lambda *_: None, lines, [])
    export = header_of(export_line)
    _hold_together(header, export)
    fork = header.fork or None
    upto = export.last if fork is None else fork.agreed
    tree, roots = Frontier(), roots_of([one for one in signed if one.size <= upto])
    for page in read_pages(export, lines):
        for row in page:
            tree.append(leaf_hash(row.stream, row.version, row.name, row.state))
            if tree.size in roots and roots[tree.size] != tree.root():
                raise Contradicted(tree.size)
        on_events(len(page), header.events)
    if base64.b64encode(tree.root()).decode() != export.root:
        raise BadBackup("its events do not give the root in its header")
    return CheckedBackup(export.root, rows)


def _hold_together(header: BackupHeader, export: ExportHeader) -> None:
    if export.last != header.events:
        raise BadBackup("its two headers differ in how many events it holds")
    if export.fork != header.fork:
        raise BadBackup("its two headers differ in what was signed of it")


def _with_a_first_line(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same lines, of which the first can be read."""
    first = next(lines, b"")
    _ = read_row(first) if is_row(first) else header_of(first)
    return chain([first], lines)


def _refuse_what_is_beside(filled: Filling) -> None:
    """Refuse a database with rows in tables that would be mixed with those of the backup."""
    for table in SIDE_TABLES:
        if table is not CHECKPOINTS and filled.count(table.name, table.condition):
            raise LedgerNotEmpty


def _hold_to_its_signature(signing: Signing, one: SignedCheckpoint, header: BackupHeader) -> None:
    try:
        hold_to_note(signing, one)
    except CannotSign:
        raise BadBackup(
            f"its checkpoint of {one.size} events is of another ledger, or was changed"
        ) from None
    if one.size > header.events and not header.fork:
        raise BadBackup(f"it has {header.events} events, and a checkpoint of {one.size}")


def _read_beside(
    insert: Insert, lines: Iterator[bytes], remembered: Sequence[SignedCheckpoint]
) -> tuple[dict[str, int], list[SignedCheckpoint], bytes]:
    """Read what is not made of the events, and add it.

    Returns:
        How many rows there are of each table, the checkpoints among them, and the first line after.
    """
    counts = {table.name: 0 for table in SIDE_TABLES}
    signed: list[SignedCheckpoint] = []
    known = {(one.size, one.signers) for one in remembered}
    page: list[tuple[Value, ...]] = []
    of: SideTable | None = None
    for line in chain(lines, [b""]):
        table, row = read_row(line) if is_row(line) else (None, ())
        if of is not None and (table is not of or len(page) == ROWS_AT_ONCE):
            _insert(insert, of, page)
            page = []
        if table is None:
            return counts, signed, line
        of = table
        counts[table.name] += 1
        if table is CHECKPOINTS:
            signed.append(_checkpoint(row))
            if signed[-1][:2] in known:
                continue
        page.append(row)
    raise AssertionError("the line after the last is none of a row")


def _checkpoint(row: tuple[Any, ...]) -> SignedCheckpoint:
    if list(map(type, row)) != [int, str, bytes, str, str]:
        raise BadBackup("a checkpoint in it cannot be read")
    return SignedCheckpoint._make(row)


def _insert(insert: Insert, table: SideTable, rows: Sequence[tuple[Value, ...]]) -> None:
    if not rows:
        return
    try:
        insert(table.name, table.columns, rows)
    except IntegrityError:
        raise BadBackup(
            f"it has a row of {table.name} twice, or one that lacks something"
        ) from None
