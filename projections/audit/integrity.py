"""Is the ledger what it was? Every event is hashed again and held against what was hashed before.

Two things tell what it was. The *tree* holds the hash of each event from when it was first read, so
it shows which events are no longer the same. *Checkpoints* hold the root of all events up to a
size: who signed them cannot have changed his mind, and the copies that were handed out cannot be
changed from here. Where the two disagree, the checkpoints are right; and where those disagree that
the ledger remembers with those that were kept elsewhere, the latter: whoever can write to the
database can put checkpoints there that suit, signed with a key that suits.

    events      1 2 3 4 5 6 7 8 9       read once, in order, a page at a time
    tree        1 2 3 4 5 6 7           the later ones were not hashed yet
    checkpoints     3     6

A root alone does not say which event is another: then it lies between the last checkpoint that
agrees and the first that does not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ledger.book import Book
from ledger.proof import notes
from ledger.proof.differences import EventChange, compare
from ledger.proof.merkle import EMPTY_ROOT, HASH_BYTES, Frontier
from ledger.proof.notes import NoteInvalid, VerifierKey
from ledger.store.holes import holes_of_streams
from ledger.store.signed_checkpoints import SignedCheckpoint, SignedCheckpoints
from projections.audit import tree
from projections.lists.stores import Tables

PAGE_EVENTS: Final = 1_000
PAGE_TILES: Final = 64

Counted = Callable[[int], object]
FindingKind = Literal[
    "changed",
    "removed",
    "added",
    "swapped",
    "moved",
    "cut_off",
    "misplaced",
    "contradicted",
    "tree",
    "hole",
]


class KnownCheckpoint(NamedTuple):
    """A checkpoint to hold the ledger against.

    Attributes:
        source: what it is called when something is wrong.
        kept: outside the ledger, out of reach of who can write to its database.
    """

    size: int
    root: bytes
    source: str
    kept: bool = False


class IntegrityFinding(NamedTuple):
    """Something that is not as it was.

    Attributes:
        first, last: the positions that it is about, or lies among.
        sentence: for people.
    """

    kind: FindingKind
    first: int
    last: int
    sentence: str


class Verified(NamedTuple):
    """What came of it.

    Attributes:
        events, root: of the ledger as it is.
        hashed: how many of its events had been hashed before.
        agreed: how many of its events are covered by a checkpoint that agrees.
        checkpoints: how many agree. When one that was kept elsewhere does not, only others that
            were kept elsewhere are counted for both.
        findings: empty when all is well.
    """

    events: int
    root: bytes
    hashed: int
    agreed: int
    checkpoints: int
    findings: list[IntegrityFinding]


def verify(
    book: Book,
    tables: Tables,
    known: Iterable[KnownCheckpoint],
    on_events: Counted = lambda _: None,
) -> Verified:
    """Return what is found when the ledger is held against its tree and against checkpoints.

    Args:
        known: by size.
        on_events: called with how many events were read since it was called last.

    Raises:
        PersistenceError: a fault of the database.
    """
    hashed, head = tree.reached(tables), book.head()
    events = _Events(book, head, known, on_events)
    changes = list(_findings_of(compare(_leaves(tables, hashed), events), hashed, events))
    findings = [
        *changes,
        *events.misplaced(any(one.kind in _SHIFTING for one in changes)),
        *events.contradicted(),
        *_upper_tiles(tables),
    ]
    findings += _holes(book, findings)
    edge = events.edge
    return Verified(edge.size, edge.root(), hashed, events.agreed, events.agreeing, findings)


def _holes(book: Book, changes: list[IntegrityFinding]) -> list[IntegrityFinding]:
    """Return where a stream lacks events, unless the position is told of as it is."""
    return [
        IntegrityFinding("hole", hole.position, hole.position, hole.sentence)
        for hole in holes_of_streams(book.store)
        if not any(one.first <= hole.position <= one.last for one in changes)
    ]


def remembered(
    signed: SignedCheckpoints, origin: str, keys: Sequence[VerifierKey]
) -> Iterator[KnownCheckpoint | IntegrityFinding]:
    """Return the checkpoints that the ledger remembers having signed, by size.

    Those whose key is not among the given ones cannot be told from forged ones, and count as well:
    they are evidence, as long as nobody says otherwise.
    """
    for one in signed.all():
        yield _known(one, origin, keys)


def _known(
    signed: SignedCheckpoint, origin: str, keys: Sequence[VerifierKey]
) -> KnownCheckpoint | IntegrityFinding:
    source = f"the checkpoint of {signed.size} events, signed {signed.signed_at}"
    try:
        note, checkpoint = notes.parse_checkpoint(signed.note.encode())
        notes.signers(note, keys)
    except NoteInvalid as error:
        why = str(error)
    else:
        if checkpoint == (origin, signed.size, signed.root):
            return KnownCheckpoint(signed.size, signed.root, source)
        why = "it does not say what is remembered of it"
    sentence = f"{source}, was changed: {why}"
    return IntegrityFinding("contradicted", signed.size, signed.size, sentence)


def by_size(*known: Iterable[KnownCheckpoint]) -> Iterator[KnownCheckpoint]:
    """Return checkpoints of several sources, each by size, as one."""
    return heapq.merge(*known)


# Reading the events


@dataclass
class _Held:
    """How the events agree with checkpoints of one kind.

    Attributes:
        agreed: how many events the last that agrees is of.
        count: how many agree.
        against: the first that does not; and of how many events the last one was that did.
        beyond: of more events than there are, the one of the most.
    """

    agreed: int = 0
    count: int = 0
    against: tuple[KnownCheckpoint, int] | None = None
    beyond: KnownCheckpoint | None = None


class _Events:
    """The hashes of the events on their way, held against checkpoints as they go by."""

    def __init__(
        self, book: Book, head: int, known: Iterable[KnownCheckpoint], on_events: Counted
    ) -> None:
        self._book = book
        self._head = head
        self._on_events = on_events
        self._known = iter(known)
        self._next = next(self._known, None)
        self._kept = _Held()
        self._remembered = _Held()
        self._out_of_place: tuple[int, int] | None = None
        self.edge = Frontier()

    def __iter__(self) -> Iterator[bytes]:
        self._hold()
        after = 0
        while rows := self._book.store.read_from(after, PAGE_EVENTS, self._head):
            for row in rows:
                leaf = tree.hash_row(row)
                self.edge.append(leaf)
                if row.position != self.edge.size and not self._out_of_place:
                    self._out_of_place = self.edge.size, row.position
                self._hold()
                yield leaf
            after = rows[-1].position
            self._on_events(len(rows))
        self._find_beyond()

    @property
    def agreed(self) -> int:
        """Return of how many events the last checkpoint is that agrees."""
        return max(held.agreed for held in self._believed())

    @property
    def agreeing(self) -> int:
        """Return how many checkpoints agree."""
        return sum(held.count for held in self._believed())

    def _believed(self) -> list[_Held]:
        """Return which checkpoints count."""
        return [self._kept] if self._kept.against else [self._kept, self._remembered]

    def _held_of(self, known: KnownCheckpoint) -> _Held:
        return self._kept if known.kept else self._remembered

    def _hold(self) -> None:
        """Hold the events so far against the checkpoints of just so many."""
        while self._next is not None and self._next.size <= self.edge.size:
            held = self._held_of(self._next)
            root = self.edge.root() if self.edge.size else EMPTY_ROOT
            if root == self._next.root:
                held.agreed = self.edge.size
                held.count += 1
            elif held.against is None:
                held.against = self._next, held.agreed
            self._next = next(self._known, None)

    def _find_beyond(self) -> None:
        """Find checkpoints of more events than there are, but none that was signed meanwhile."""
        while self._next is not None:
            self._held_of(self._next).beyond = self._next
            self._next = next(self._known, None)
        # Only now: what was signed before has its events.
        head = self._book.head()
        for held in (self._kept, self._remembered):
            if held.beyond is not None and held.beyond.size <= head:
                held.beyond = None

    def misplaced(self, shifted: bool) -> Iterator[IntegrityFinding]:
        """Yield a finding if positions are not 1, 2, 3 …, unless missing events explain it."""
        if self._out_of_place and not shifted:
            expected, found = self._out_of_place
            sentence = f"there is no position {expected}: its event is at {found}"
            yield IntegrityFinding("misplaced", expected, found, sentence)

    def contradicted(self) -> Iterator[IntegrityFinding]:
        """Yield the checkpoints that do not agree: the first, and the one that reaches further."""
        for held in (self._remembered, self._kept):
            if held.against:
                yield self._contradiction(*held.against)
        kept, remembered = self._kept.beyond, self._remembered.beyond
        if kept:
            yield self._cut_off(kept)
        if remembered and (kept is None or kept.size < remembered.size):
            yield self._cut_off(remembered)

    def _cut_off(self, known: KnownCheckpoint) -> IntegrityFinding:
        first, last = self.edge.size + 1, known.size
        sentence = (
            f"the ledger ends at position {self.edge.size}, but there is {known.source}:"
            f" {_positions(first, last)} {_were(first, last)} cut off"
        )
        return IntegrityFinding("cut_off", first, last, sentence)

    def _contradiction(self, known: KnownCheckpoint, agreed: int) -> IntegrityFinding:
        # What the ledger remembers does not speak against what was kept elsewhere.
        if (self._kept.agreed if known.kept else self.agreed) >= known.size:
            sentence = f"{known.source}, is wrong: one of more events agrees with the ledger"
            return IntegrityFinding("contradicted", known.size, known.size, sentence)
        first, last = agreed + 1, known.size
        where = f"position {first}" if first == last else f"among positions {first} to {last}"
        sentence = (
            f"{known.source}, has another root than these events:"
            f" what is no longer as it was is {where}"
        )
        return IntegrityFinding("contradicted", first, last, sentence)


# Telling

_SHIFTING = ("removed", "added", "moved")


def _findings_of(
    differences: Iterable[EventChange], hashed: int, events: _Events
) -> Iterator[IntegrityFinding]:
    for one in differences:
        if one.kind == "added" and one.last == events.edge.size:
            continue  # what came after the last that was hashed
        if one.kind == "removed" and one.last == hashed:
            yield _finding("cut_off", one, "cut off")
        elif one.kind not in _SHIFTING and one.last <= events.agreed:
            sentence = (
                f"{_positions(one.first, one.last)}: the tree has another hash, but the events are"
                " those of a checkpoint: the tree was changed"
            )
            yield IntegrityFinding("tree", one.first, one.last, sentence)
        elif one.kind == "swapped":
            sentence = f"positions {one.first} and {one.last} were swapped"
            yield IntegrityFinding(one.kind, one.first, one.last, sentence)
        elif one.kind == "moved":
            sentence = f"position {one.first} was moved to {one.last}"
            yield IntegrityFinding(one.kind, one.first, one.last, sentence)
        else:
            yield _finding(one.kind, one, one.kind)


def _finding(kind: FindingKind, one: EventChange, what: str) -> IntegrityFinding:
    sentence = f"{_positions(one.first, one.last)} {_were(one.first, one.last)} {what}"
    return IntegrityFinding(kind, one.first, one.last, sentence)


def _positions(first: int, last: int) -> str:
    return f"position {first}" if first == last else f"positions {first} to {last}"


def _were(first: int, last: int) -> str:
    return "was" if first == last else "were"


# Reading the tree


def _leaves(tables: Tables, upto: int) -> Iterator[bytes]:
    """Return the hashes of the leaves that the tree has, up to a position."""
    left = upto
    for tile in _tiles(tables, 0):
        hashes = tree.split(tile)[:left]
        yield from hashes
        left -= len(hashes)


def _tiles(tables: Tables, level: int) -> Iterator[bytes]:
    """Return the tiles of a level, in order."""
    number = 0
    while rows := tables.read(
        "SELECT number, hashes FROM keyfold_tree_1"
        " WHERE level = :level AND number >= :number ORDER BY number LIMIT :limit",
        {"level": level, "number": number, "limit": PAGE_TILES},
    ):
        yield from (hashes for _, hashes in rows)
        number = rows[-1][0] + 1


def _upper_tiles(tables: Tables) -> Iterator[IntegrityFinding]:
    """Hold each level of the tree above the leaves against the one below."""
    level = 0
    while any(True for _ in _tiles(tables, level)):
        full = (
            tree.split(tile)
            for tile in _tiles(tables, level)
            if len(tile) == tree.TILE_HASHES * HASH_BYTES
        )
        level += 1
        above = (hash for tile in _tiles(tables, level) for hash in tree.split(tile))
        for one in compare(tree.roots_of_full(full), above):
            span = tree.TILE_HASHES**level
            first, last = (one.first - 1) * span + 1, one.last * span
            sentence = f"the tree over {_positions(first, last)} was {one.kind} on level {level}"
            yield IntegrityFinding("tree", first, last, sentence)
