"""Ledgers to prove something of: their events are things, told apart by their numbers.

ledger.add(5)                 events 1 to 5, on three streams in turn
ledger.checkpoint()           signed, and remembered
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from eventsourcing.persistence import StoredEvent

from commands.sign_checkpoint import LedgerHead, Signing, sign_checkpoint
from ledger.book import Book
from ledger.proof import notes
from ledger.proof.merkle import Frontier, leaf_hash
from ledger.proof.notes import Checkpoint, SigningKey
from projections.audit import integrity, tree
from projections.audit.integrity import IntegrityFinding, KnownCheckpoint, Verified
from projections.lists.stores import Tables, open_tables

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORIGIN = "keyfold/7tq3bd5xw4a6bl7m"
KEY = SigningKey(ORIGIN, b"k" * 32)
NEXT_KEY = SigningKey(ORIGIN, b"n" * 32)
STREAMS = 3


@dataclass
class Ledger:
    """A ledger, its tree, and what it has signed."""

    url: str
    book: Book
    tables: Tables
    signing: Signing

    def add(self, count: int) -> None:
        """Append events; the N-th says so."""
        head = self.book.head()
        self.book.store.insert_events([stored(head + n) for n in range(1, count + 1)])

    def stand(self) -> LedgerHead:
        return LedgerHead(
            tree=tree.reached(self.tables),
            head=self.book.head(),
            root_at=lambda size: tree.root(self.book, self.tables, size),
        )

    def checkpoint(self) -> str:
        """Sign how the ledger stands."""
        return sign_checkpoint(self.signing, self.stand, NOON)

    def verify(self, *known: KnownCheckpoint) -> Verified:
        """Hold the ledger against its tree, what it has signed, and further checkpoints."""
        of_its_own = list(
            integrity.remembered(self.signing.signed, self.signing.origin, self.signing.verifiers)
        )
        found = integrity.verify(
            self.book,
            self.tables,
            integrity.by_size(
                sorted(known), [one for one in of_its_own if isinstance(one, KnownCheckpoint)]
            ),
        )
        changed = [one for one in of_its_own if isinstance(one, IntegrityFinding)]
        return found._replace(findings=[*changed, *found.findings])

    def close(self) -> None:
        self.tables.close()
        self.book.close()


def opened(url: str) -> Ledger:
    book = Book(url)
    signing = Signing(ORIGIN, (KEY,), book.store.signed_checkpoints)
    return Ledger(url, book, open_tables(url), signing)


def stored(number: int) -> StoredEvent:
    """Return the event that belongs at a position."""
    stream, version = f"thing-{number % STREAMS}", (number - 1) // STREAMS + 1
    return StoredEvent(stream, version, "thing.happened@1", state(number).encode())


def state(number: int) -> str:
    at = (NOON + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    return f'{{"fact":{{"thing":"a{number}"}},"recorded_at":"{at}","occurred_at":"{at}"}}'


def leaf(number: int) -> bytes:
    event = stored(number)
    return leaf_hash(str(event.originator_id), event.originator_version, event.topic, event.state)


def frontier(numbers: Iterable[int]) -> Frontier:
    edge = Frontier()
    for number in numbers:
        edge.append(leaf(number))
    return edge


def known(note: str, source: str = "the auditor's copy") -> KnownCheckpoint:
    """Return a checkpoint as an auditor holds it."""
    _, checkpoint = notes.parse_checkpoint(note.encode())
    return KnownCheckpoint(checkpoint.size, checkpoint.root, source, kept=True)


def checkpoint_of(size: int) -> Checkpoint:
    """Return the checkpoint that belongs to the first events."""
    return Checkpoint(ORIGIN, size, frontier(range(1, size + 1)).root())
