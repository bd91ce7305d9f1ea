"""Comparing an export with an older one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from ledger.proof.verifier.exports import ExportedEvent

WINDOW = 1_024  # how far events are looked for that were removed or added in a row
EDITS_MAX = 10_000
TEXT_MAX = 400


class Edit(NamedTuple):
    """What became of one event: None where there is none."""

    old: ExportedEvent | None
    new: ExportedEvent | None
    at_end: bool


def compare(old: Iterable[ExportedEvent], new: Iterable[ExportedEvent]) -> Iterator[str]:
    """Return what became of the events of an older export."""
    edits = list(islice(find_edits(iter(old), iter(new)), EDITS_MAX))
    places = {edit.new.leaf(): edit.new.position for edit in edits if edit.new}
    moved = {leaf for leaf in (edit.old.leaf() for edit in edits if edit.old) if leaf in places}
    for old_event, new_event, at_end in edits:
        if old_event and old_event.leaf() in moved:
            there = places[old_event.leaf()]
            yield f"swapped: what was at position {old_event.position} is now at {there}"
        elif old_event and new_event and new_event.leaf() not in moved:
            what = ", ".join(differing(old_event, new_event))
            yield f"changed: {placed(old_event)}: {what}"
        elif old_event:
            yield f"{'cut off' if at_end else 'removed'}: {placed(old_event)}"
        elif new_event and new_event.leaf() not in moved:
            yield f"added: {placed(new_event)}"
    if len(edits) == EDITS_MAX:
        yield f"more than {EDITS_MAX} events are others; the rest was not compared"


def find_edits(old: Iterator[ExportedEvent], new: Iterator[ExportedEvent]) -> Iterator[Edit]:
    """Yield what must be edited to make the new events of the old ones, by position."""
    before: list[ExportedEvent] = []
    after: list[ExportedEvent] = []
    while True:
        before += islice(old, WINDOW - len(before))
        after += islice(new, WINDOW - len(after))
        if not before:
            return
        removed = added = common_length(before, after)
        if not removed:
            removed, added = next_common(before, after)
            at_end = added == len(after) < WINDOW
            ended = removed == len(before) < WINDOW  # what comes after that is new
            for place in range(removed if ended else max(removed, added)):
                yield Edit(
                    before[place] if place < removed else None,
                    after[place] if place < added else None,
                    at_end,
                )
        del before[:removed], after[:added]


def common_length(before: list[ExportedEvent], after: list[ExportedEvent]) -> int:
    """Return how many events are the same."""
    pairs = enumerate(zip(before, after, strict=False))
    first = (place for place, (one, other) in pairs if one.leaf() != other.leaf())
    return next(first, min(len(before), len(after)))


def next_common(before: list[ExportedEvent], after: list[ExportedEvent]) -> tuple[int, int]:
    """Return after how many events of each side the two are the same again."""
    places = {event.leaf(): place for place, event in reversed(list(enumerate(before)))}
    found = ((places.get(event.leaf(), -1), place) for place, event in enumerate(after))
    return min((one for one in found if one[0] >= 0), key=sum, default=(len(before), len(after)))


def placed(event: ExportedEvent) -> str:
    """Return where an event stands, for a sentence."""
    return f"position {event.position} ({event.stream}, version {event.version})"


def differing(one: ExportedEvent, other: ExportedEvent) -> Iterator[str]:
    """Yield a clause for each field in which two events differ."""
    for what in ("stream", "version", "name", "state"):
        was, is_now = getattr(one, what), getattr(other, what)
        if was != is_now:
            yield f"its {what} was {shown(was)} and is {shown(is_now)}"


def shown(value: object) -> str:
    """Return a value as text, cut off after `TEXT_MAX` characters."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + "…"
