"""Where two histories differ: what was changed, removed, added, swapped or moved.

    old   a b c d e f         compare(old, new) == [
    new   a x c e f g             Difference("changed", 2, 2), Difference("removed", 4, 4),
                                  Difference("added", 6, 6)]

Histories are hashes in order, and are read as they come: a million of them take no more memory
than a thousand. What is found is named by the positions of the old history, from 1; what was added,
by those of the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Literal, NamedTuple

WINDOW: Final = 1_024
EDITS_MAX: Final = 10_000

ChangeKind = Literal["changed", "removed", "added", "swapped", "moved"]


class EventChange(NamedTuple):
    """One or several events in a row that are no longer as they were.

    Attributes:
        first, last: positions; of a swap or a move, where it was and where it is now.
    """

    kind: ChangeKind
    first: int
    last: int


class _Edit(NamedTuple):
    """What became of one event; None where there is none."""

    old: int | None
    new: int | None
    old_hash: bytes | None
    new_hash: bytes | None

    @property
    def kind(self) -> ChangeKind:
        """Return what became of the event."""
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"

    @property
    def position(self) -> int:
        """Return its position in the new history; of a removed event, that in the old one."""
        position = self.new if self.old is None else self.old
        assert position is not None
        return position


def compare(old: Iterable[bytes], new: Iterable[bytes]) -> list[EventChange]:
    """Return where a new history differs from an old one, in order.

    Swaps and moves are told from changes only among the first ten thousand.
    """
    edits = _edits(_LookAhead(old), _LookAhead(new))
    early = list(islice(edits, EDITS_MAX))
    found, left = _exchanged(early)
    found += _ranges(left)
    found += _ranges(edits)
    return sorted(_joined(found), key=lambda one: (one.first, one.last))


class _LookAhead:
    """A history with a view of what comes next."""

    def __init__(self, hashes: Iterable[bytes]) -> None:
        self._hashes = iter(hashes)
        self._seen: list[bytes] = []
        self.position = 0

    def peek(self) -> list[bytes]:
        """Return the next hashes."""
        self._seen += islice(self._hashes, WINDOW - len(self._seen))
        return self._seen

    def skip(self, count: int) -> None:
        self.position += count
        del self._seen[:count]


def _edits(old: _LookAhead, new: _LookAhead) -> Iterator[_Edit]:
    while True:
        was, now = old.peek(), new.peek()
        if not was and not now:
            return
        same = _common_length(was, now)
        if not same:
            removed, added = _next_common(was, now)
            yield from _between(old.position, new.position, was[:removed], now[:added])
        old.skip(same or removed)
        new.skip(same or added)


def _common_length(was: list[bytes], now: list[bytes]) -> int:
    """Return how many are the same."""
    if was == now:
        return len(was)
    pairs = zip(was, now, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(was), len(now)))


def _next_common(was: list[bytes], now: list[bytes]) -> tuple[int, int]:
    """Return after how many of each they are the same again; all of them if they never are."""
    places = {hash: place for place, hash in reversed(list(enumerate(was)))}
    meetings = ((places[hash], place) for place, hash in enumerate(now) if hash in places)
    return min(meetings, key=sum, default=(len(was), len(now)))


def _between(
    old_position: int, new_position: int, removed: list[bytes], added: list[bytes]
) -> Iterator[_Edit]:
    for place in range(max(len(removed), len(added))):
        was, now = place < len(removed), place < len(added)
        yield _Edit(
            old_position + place + 1 if was else None,
            new_position + place + 1 if now else None,
            removed[place] if was else None,
            added[place] if now else None,
        )


def _exchanged(edits: list[_Edit]) -> tuple[list[EventChange], list[_Edit]]:
    """Return what only changed its place, and the other edits."""
    added = {edit.new_hash: edit for edit in edits if edit.new_hash is not None}
    found: dict[tuple[int, int], EventChange] = {}
    explained: set[_Edit] = set()
    for edit in edits:
        there = added.get(edit.old_hash) if edit.old_hash is not None else None
        if there is None:
            continue
        if edit.kind == there.kind == "changed" and there.old_hash == edit.new_hash:
            place = (min(edit.position, there.position), max(edit.position, there.position))
            found[place] = EventChange("swapped", *place)
        elif (edit.kind, there.kind) == ("removed", "added"):
            found[edit.position, there.position] = EventChange(
                "moved", edit.position, there.position
            )
        else:
            continue
        explained |= {edit, there}
    return list(found.values()), [edit for edit in edits if edit not in explained]


def _ranges(edits: Iterable[_Edit]) -> Iterator[EventChange]:
    """Put those of a kind together that follow on each other."""
    return _joined(EventChange(edit.kind, edit.position, edit.position) for edit in edits)


def _joined(differences: Iterable[EventChange]) -> Iterator[EventChange]:
    last: EventChange | None = None
    for one in differences:
        if last and one.kind == last.kind in _IN_A_ROW and one.first == last.last + 1:
            last = last._replace(last=one.last)
            continue
        if last:
            yield last
        last = one
    if last:
        yield last


_IN_A_ROW = ("changed", "removed", "added")
