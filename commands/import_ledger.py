"""Take an export of another ledger into an empty one: all of it, or nothing.

Everything happens in one transaction, which ends well only when all of this holds:

    every line   is the next position; its name is a fact of its stream's kind, and its state reads
    the last     is the one that the header promised
    by position  what the database then holds gives the header's root
    by stream    the same events are found by the streams' names, as every question finds them; each
                 stream's versions are 1, 2, 3 …, and it folds

A fold is a function of its stream's events and of nothing else, so with the same events under the
same root every answer is the same. Until the transaction is over nobody else can append, and the
process may die at any point: the ledger is as empty as before, and the import can be begun again.

Under the same secret the ledger goes on signing in the same name. So events that are not what was
signed, as the export says itself or a checkpoint that was kept elsewhere does, are refused, unless
that is accepted: those checkpoints are then remembered as signed, and none is signed any more.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, LiteralString, NamedTuple

import msgspec

from commands.services import Services
from ledger import codec
from ledger.backup_format import CHECKPOINTS
from ledger.codec import UnknownEvent
from ledger.events import AnyEvent, Stream
from ledger.proof import notes
from ledger.proof.cloud_events import (
    ExportHeader,
    Fork,
    NotAnExport,
    read_header,
    row_of,
    secret_name,
)
from ledger.proof.merkle import HASH_BYTES, Frontier, leaf_hash
from ledger.proof.notes import NoteInvalid
from ledger.store.bulk_load import Filling, VersionOutOfTurn, filling
from ledger.store.contract import Row
from ledger.store.eventsourcing_adapter import DataError, IntegrityError
from ledger.store.signed_checkpoints import SignedCheckpoint

PAGE_EVENTS: Final = 2_000
STREAMS_AT_ONCE: Final = 200

Counted = Callable[[int], object]
Insert = Callable[[LiteralString, Sequence[LiteralString], Sequence[Sequence[Any]]], object]

_KINDS: Final = {stream.kind: stream for stream in codec.STREAMS}
_STREAM = re.compile(r"(?P<kind>[a-z_]+)-[\x21-\x7e]{1,250}")


class BadExport(Exception):
    """The export cannot be taken in; the message says where and why."""


class NotProved(Exception):
    """The database does not give back what was put into it."""


class Contradicted(Exception):
    """The events are not those of a checkpoint.

    Attributes:
        size: of how many events the checkpoint is.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"its first {size} events are not those of the checkpoint of them")
        self.size = size


class SignedOtherwise(Exception):
    """What was signed under this secret was not signed of these events; the message says how."""


class ImportedLedger(NamedTuple):
    """What is in the ledger now.

    Attributes:
        root: base64, of the tree over all of it; the same as in the export.
        streams: how many there are.
        same_secret: whether this ledger's secret is the exported one's, so that its codes, tokens
            and sealed texts work here; None if the export does not tell.
        fork: what was signed that the events are not of; None for nothing that is known.
        proved_up_to: how many events the last checkpoint is of that agrees; 0 if none was given.
    """

    events: int
    streams: int
    root: str
    same_secret: bool | None
    fork: Fork | None = None
    proved_up_to: int = 0


def import_ledger(
    services: Services,
    lines: Iterable[bytes],
    *,
    now: datetime,
    kept: Sequence[SignedCheckpoint] = (),
    accept_loss: bool = False,
    on_events: Callable[[int, int], object],
) -> ImportedLedger:
    """Take in an export, and return what is in the ledger now.

    Args:
        lines: of the export, with their ends.
        kept: checkpoints that were signed under this secret, and kept outside the database.
        accept_loss: whether to go on when the events are not what was signed.
        on_events: called with the number of events done since the last call, and of how many: each
            is counted once when it is taken in, and once when it is proved.

    Raises:
        BadExport: in the first place that does not fit; nothing was changed.
        LedgerNotEmpty: the ledger holds events; nothing was changed.
        SignedOtherwise: a checkpoint is of more events, or of others; nothing was changed.
        NotProved: the database does not hold what was put into it; nothing was changed.
        PersistenceError: a fault of the database.
    """
    numbered = iter(lines)
    header = header_of(next(numbered, b""))
    same_secret = header.secret == secret_name(services.request_key) if header.secret else None
    # Under another secret it is a ledger of another name, which nothing was signed of.
    fork = None if same_secret is False else header.fork or None
    known = [*kept, *([_signed(fork, now)] if fork else [])]
    beyond = max((one for one in known if one.size > header.last), default=None)
    if fork is None and beyond is not None:
        fork = Fork(beyond.size, max(_sizes(known, header.last), default=0), beyond.note)
    if fork is not None and not accept_loss:
        raise SignedOtherwise(fork.against(header.last))
    upto = header.last if fork is None else fork.agreed
    held = [one for one in known if one.size <= upto]
    there = list(services.book.store.signed_checkpoints.all())
    with filling(services.book.store) as filled:
        try:
            streams = fill(filled, header, numbered, on_events, roots_of(held))
        except Contradicted as error:
            raise SignedOtherwise(str(error)) from None
        remember(filled.insert, known, there)
    proved = max(_sizes(held, upto), default=0)
    return ImportedLedger(header.last, streams, header.root or "", same_secret, fork, proved)


def _sizes(signed: Iterable[SignedCheckpoint], upto: int) -> Iterator[int]:
    return (one.size for one in signed if one.size <= upto)


def _signed(fork: Fork, now: datetime) -> SignedCheckpoint:
    """Return the checkpoint that an export names as one that was signed."""
    try:
        note, checkpoint = notes.parse_checkpoint(fork.checkpoint.encode())
    except NoteInvalid as error:
        raise BadExport(f"its header has a checkpoint that is none: {error}") from None
    if checkpoint.size != fork.size:
        raise BadExport("its header has a checkpoint of another size than it says")
    ids = ",".join(one.id.hex() for one in note.signatures)
    return SignedCheckpoint(fork.size, ids, checkpoint.root, fork.checkpoint, now.isoformat())


def fill(
    filled: Filling,
    header: ExportHeader,
    lines: Iterable[bytes],
    on_events: Callable[[int, int], object],
    signed: Mapping[int, bytes] | None = None,
) -> int:
    """Add an export's events, prove that they are there, and return how many streams there are.

    Args:
        lines: of the export, without its header.
        signed: roots of the tree over the first so many events.

    Raises:
        BadExport, NotProved: as `import_ledger` does.
        Contradicted: the events have another root than one of `signed`.
    """
    count = _counting(header, on_events)
    for rows in read_pages(header, iter(lines)):
        _add(filled, rows)
        count(len(rows))
    return _prove(filled, header, count, signed or {})


def roots_of(signed: Sequence[SignedCheckpoint]) -> Mapping[int, bytes]:
    """Return the roots of checkpoints by their sizes.

    Raises:
        Contradicted: two of one size have different ones.
    """
    roots: dict[int, bytes] = {}
    for one in signed:
        if roots.setdefault(one.size, one.root) != one.root:
            raise Contradicted(one.size)
    return roots


def remember(
    insert: Insert, kept: Sequence[SignedCheckpoint], there: Sequence[SignedCheckpoint]
) -> None:
    """Keep checkpoints that were kept elsewhere, as far as none of their size and keys is there."""
    known = {(one.size, one.signers) for one in there}
    new = {(one.size, one.signers): one for one in kept}
    rows = [tuple(one) for place, one in sorted(new.items()) if place not in known]
    if rows:
        insert(CHECKPOINTS.name, CHECKPOINTS.columns, rows)


def _counting(header: ExportHeader, on_events: Callable[[int, int], object]) -> Counted:
    return lambda events: on_events(events, 2 * header.last)


# Reading


def header_of(line: bytes) -> ExportHeader:
    """Return the header of an export that can be taken in.

    Raises:
        BadExport: it is none, is cut off, or is of a part of a ledger.
    """
    if not line:
        raise BadExport("it is empty")
    try:
        header = read_header(line)
    except NotAnExport as error:
        raise BadExport(str(error)) from None
    if not line.endswith(b"\n"):
        raise BadExport("it is cut off in its header")
    if header.first != 1:
        raise BadExport(
            f"it begins at position {header.first}, and an import needs all events from 1 on"
        )
    if len(_expected_root(header)) != HASH_BYTES:
        raise BadExport("its header has no root")
    return header


def _expected_root(header: ExportHeader) -> bytes:
    try:
        return base64.b64decode(header.root or "", validate=True)
    except ValueError:
        return b""


def read_pages(header: ExportHeader, lines: Iterator[bytes]) -> Iterator[list[Row]]:
    """Return the rows of an export's lines, page by page; each can be read by this release.

    Raises:
        BadExport: in the first place that does not fit.
    """
    rows = _rows(header, lines)
    while page := list(islice(rows, PAGE_EVENTS)):
        yield page


def _rows(header: ExportHeader, lines: Iterator[bytes]) -> Iterator[Row]:
    """Return the rows of the lines, each of which is the next and can be read by this release."""
    position, marked = 0, None
    for position, line in enumerate(lines, start=1):
        if position > header.last:
            raise BadExport(
                f"it goes on after position {header.last}, where its header says it ends"
            )
        row = _row(line, position)
        event = _decoded(row)
        if marked not in (None, event.test_clock):
            raise BadExport(f"position {position} is on another clock than those before it")
        marked = event.test_clock
        yield row
    if position < header.last:
        raise BadExport(
            f"it is cut off: it ends after position {position},"
            f" and its header says it has {header.last} events"
        )


def _row(line: bytes, position: int) -> Row:
    if not line.endswith(b"\n"):
        raise BadExport(f"it is cut off in the line of position {position}")
    try:
        row = row_of(line)
    except NotAnExport as error:
        raise BadExport(f"the line where position {position} belongs {error}") from None
    if row.position != position:
        raise BadExport(f"position {row.position} is where position {position} belongs")
    return row


def _decoded(row: Row) -> AnyEvent:
    stream = _stream_of(row)
    if stream is None:
        raise BadExport(f"position {row.position} is of an unknown kind of stream: {row.stream!r}")
    try:
        event = codec.decode(row)
    except UnknownEvent:
        raise BadExport(
            f"position {row.position} holds {row.name!r}, which this Keyfold does not know:"
            " was it exported by a later one?"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadExport(f"position {row.position} has a state that is none: {error}") from None
    if type(event.fact) not in stream.facts.values():
        raise BadExport(f"position {row.position} has {row.name!r} in {row.stream!r}")
    return event


def _stream_of(row: Row) -> Stream[Any] | None:
    named = _STREAM.fullmatch(row.stream)
    return _KINDS.get(named["kind"]) if named else None


# Adding and proving


def _add(filled: Filling, rows: list[Row]) -> None:
    try:
        filled.add(rows)
    except DataError:
        raise _between(rows, "is a name that no database can hold") from None
    except VersionOutOfTurn:
        raise _first_out_of_turn(filled, rows) from None
    except IntegrityError:
        raise _there_already(rows) from None


def _first_out_of_turn(filled: Filling, rows: list[Row]) -> BadExport:
    """Return what does not follow in its stream; some of the rows may have been added."""
    versions = {
        row.stream: row.version
        for row in filled.read_streams(sorted({row.stream for row in rows}))
        if row.position < rows[0].position
    }
    for row in rows:
        belongs = versions.get(row.stream, 0) + 1
        if row.version > belongs:
            return _out_of_turn(row, belongs)
        if row.version < belongs:
            break
        versions[row.stream] = row.version
    return _there_already(rows)


def _there_already(rows: list[Row]) -> BadExport:
    return _between(rows, "is a version of a stream that is there already")


def _between(rows: list[Row], what: str) -> BadExport:
    return BadExport(f"between positions {rows[0].position} and {rows[-1].position} {what}")


def _prove(
    filled: Filling, header: ExportHeader, count: Counted, signed: Mapping[int, bytes]
) -> int:
    """Read back what was added, by position and by stream; answer how many streams there are.

    Every stream begins at one position, with its version 1, and is read whole when the reading by
    position comes there. That both readings meet the same events shows in the sums of their leaves.

    Raises:
        BadExport: the header has another root, or a stream's versions do not follow on each other.
        Contradicted: a checkpoint has another root.
        NotProved: the two readings differ.
    """
    tree = Frontier()
    by_position = by_stream = streams = after = 0
    while rows := filled.read_from(after, PAGE_EVENTS):
        leaves = [leaf_hash(row.stream, row.version, row.name, row.state) for row in rows]
        for leaf in leaves:
            tree.append(leaf)
            if tree.size in signed and signed[tree.size] != tree.root():
                raise Contradicted(tree.size)
        by_position += sum(int.from_bytes(leaf) for leaf in leaves)
        begun = [row.stream for row in rows if row.version == 1]
        streams += len(begun)
        by_stream += _fold_all(filled, begun)
        after = rows[-1].position
        count(len(rows))
    if (tree.size, tree.root()) != (header.last, _expected_root(header)):
        raise BadExport("its events do not give the root in its header: it was changed")
    if by_position != by_stream:
        raise _stray(filled)
    return streams


def _stray(filled: Filling) -> BadExport | NotProved:
    """Return why not every event was found by its stream."""
    after = 0
    while rows := filled.read_from(after, PAGE_EVENTS):
        for row in rows:
            if row.version > 1:
                begin = filled.read_streams([row.stream])[:1]
                if begin and begin[0].version > 1:
                    return _out_of_turn(begin[0], 1)
        after = rows[-1].position
    return NotProved()


def _out_of_turn(row: Row, version: int) -> BadExport:
    return BadExport(
        f"position {row.position} is version {row.version} of {row.stream!r},"
        f" where version {version} belongs"
    )


def _fold_all(filled: Filling, streams: list[str]) -> int:
    """Fold streams as questions do; answer the sum of their events' leaves."""
    total = 0
    for start in range(0, len(streams), STREAMS_AT_ONCE):
        some = streams[start : start + STREAMS_AT_ONCE]
        histories: dict[str, list[Row]] = {stream: [] for stream in some}
        for row in filled.read_streams(some):
            histories[row.stream].append(row)
            total += int.from_bytes(leaf_hash(row.stream, row.version, row.name, row.state))
        for history in filter(None, histories.values()):
            _fold(history)
    return total


def _fold(history: list[Row]) -> None:
    if history[0].version != 1:
        raise NotProved  # it was there when events were read by position
    for version, row in enumerate(history, start=1):
        if row.version != version:
            raise _out_of_turn(row, version)
    stream = _stream_of(history[0])
    assert stream is not None, "every row was decoded"
    stream.fold(stream.initial, map(codec.decode, history))
