"""Checking an export against checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ledger.proof.verifier.exports import Export, ExportedEvent
from ledger.proof.verifier.formats import LINES_MAX
from ledger.proof.verifier.signed_notes import CheckpointNote
from ledger.proof.verifier.tree import Tree


class Held:
    """A tree that grows, held against the roots of checkpoints when it comes to their sizes."""

    def __init__(self, checkpoints: Iterable[CheckpointNote]) -> None:
        self.tree = Tree()
        self.agreed = 0
        self.agreeing: list[str] = []
        self.against: tuple[CheckpointNote, int] | None = None
        self.waiting = sorted(checkpoints, key=lambda one: one.size)
        self._hold()

    def add(self, leaf: bytes) -> None:
        self.tree.add(leaf)
        self._hold()

    def _hold(self) -> None:
        while self.waiting and self.waiting[0].size == self.tree.size:
            checkpoint = self.waiting.pop(0)
            if checkpoint.root == self.tree.root():
                self.agreed = checkpoint.size
                self.agreeing.append(checkpoint.source)
            elif self.against is None:
                self.against = checkpoint, self.agreed


def check(
    export: Export,
    held: Held,
    kept: list[ExportedEvent],
    is_wanted: Callable[[ExportedEvent], bool],
) -> Iterator[str]:
    """Yield what is wrong with an export, held against checkpoints; keep the events wanted.

    Where exactly something was changed cannot be seen from a root: only that it is after the last
    checkpoint that agrees, and before the first that does not. What the events tell by themselves
    is told as well.
    """
    for event in export:
        held.add(event.leaf())
        if is_wanted(event):
            kept.append(event)
    yield from export.problems
    for name, last, root in export.roots:
        if last == held.tree.size and root != held.tree.root():
            yield f"{name} has events that do not give the root in its own header"
    if held.against:
        yield from contradiction(export, *held.against)
    if held.waiting:
        last = held.waiting[-1].size
        yield (
            f"cut off: the export ends at position {held.tree.size}, and {held.waiting[-1].source}"
            f" is of {last} events: {positions(held.tree.size + 1, last)} missing"
        )


def contradiction(export: Export, checkpoint: CheckpointNote, agreed: int) -> Iterator[str]:
    """Yield what a checkpoint shows to be changed after `agreed` events."""
    first, last = agreed + 1, checkpoint.size
    yield (
        f"changed: the first {last} events are not those that {checkpoint.source} was signed of;"
        f" what was changed, removed, added or swapped is among positions {first} to {last}"
    )
    found = list(islice(clues(export, first, last), LINES_MAX))
    yield from found
    if not found:
        yield (
            "the events tell no more by themselves: an older export (--old), or a checkpoint of"
            " fewer events, tells which it is"
        )


def clues(export: Export, first: int, last: int) -> Iterator[str]:
    """Return what in the events themselves is not as Keyfold writes it."""
    reached: dict[str, tuple[int, int, str]] = {}
    for event in export:
        if event.position > last:
            return
        version, position, time = reached.get(event.stream, (0, 0, ""))
        where = f"position {event.position} ({event.stream}, version {event.version})"
        if event.position >= first:
            if event.version != version + 1:
                before = f"version {version} at position {position}" if version else "nothing"
                yield f"{where} follows on {before}: one was removed, added, swapped or renumbered"
            if event.time is None:
                yield f"{where} has a state that is none of Keyfold's"
            elif in_order(event.time) < in_order(time):
                yield f"{where} was recorded before position {position} of the same stream"
        reached[event.stream] = (event.version, event.position, event.time or time)


def in_order(time: str) -> tuple[str, str]:
    """Return what sorts times of UTC, with or without a fraction."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return whole, fraction


def positions(first: int, last: int) -> str:
    """Return "position 3 is" or "positions 3 to 5 are"."""
    return f"position {first} is" if first == last else f"positions {first} to {last} are"
