"""Snapshots of folded streams, held against what the events say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec

from ledger import codec
from ledger.book import Book
from ledger.loaded import empty_stream
from ledger.store.snapshots import Snapshot

SNAPSHOTS: Final = "snapshots"
PAGE: Final = 100


class WrongSnapshot(NamedTuple):
    """A snapshot that is not what the events say.

    Attributes:
        position: that it says it was made at.
        sentence: what is wrong, for people.
    """

    stream: str
    position: int
    sentence: str


def wrong_snapshots(
    book: Book, on_events: Callable[[int], object] = lambda _: None
) -> Iterator[WrongSnapshot]:
    """Yield each snapshot that is not what its stream's events, folded from the start, make.

    Snapshots of another release's shape are passed over, as every reader does.

    Args:
        on_events: called with how many more events were folded.
    """
    after = ""
    while page := book.store.snapshots.streams(after, PAGE):
        for stream, snapshot in page:
            wrong = _wrong(book, stream, snapshot, on_events)
            if wrong is not None:
                yield WrongSnapshot(stream, snapshot.position, wrong)
        after = page[-1][0]


def _wrong(
    book: Book, name: str, snapshot: Snapshot, on_events: Callable[[int], object]
) -> str | None:
    kind, _, id = name.partition("-")
    packing = codec.SNAPSHOT_FORMATS.get(kind)
    if packing is None or packing.shape != snapshot.shape:
        return None
    stream = next(one for one in codec.STREAMS if one.kind == kind)
    _, occurred = book.occurrences(stream, id)
    until = takewhile(lambda one: one.version <= snapshot.version, occurred)
    folded = empty_stream(stream, id).after(until)
    on_events(folded.version)
    if (folded.version, folded.head) != (snapshot.version, snapshot.position):
        return f"was made at version {snapshot.version} of {name}, which is not at that position"
    try:
        kept = packing.unpack(snapshot.state), datetime.fromisoformat(snapshot.recorded_at)
    except (msgspec.DecodeError, ValueError):
        return f"of {name} cannot be read"
    if kept != (folded.state, folded.recorded_at):
        return f"of {name} is not what its events make"
    return None
