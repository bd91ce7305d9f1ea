"""A log that says of itself what should be in it, and the check of the whole of it.

Every append of a test carries a token of its own. After whatever the test did to the store, the log
is read as a whole, by position and by stream, and compared with what each append was told: what was
acknowledged is there, where it was said to be, once; what was refused is not; what nobody knows is
there as a whole or not at all; and nothing else is there.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    InterfaceError,
    OperationalError,
    StoredEvent,
)
from eventsourcing.utils import Environment

from ledger.store import OutcomeUnknown, Recorder, Row, open_environment
from ledger.store.contract import rows_of

NAME = "test.noted@1"

Place = tuple[str, int]


class Ledger(Application[str]):
    """An application as the Book is one."""

    name = "keyfold"


def open_recorder(database_url: str) -> Recorder:
    """Open a ledger as the library does, without an application around it."""
    environment = Environment("keyfold", open_environment(database_url))
    factory: InfrastructureFactory = InfrastructureFactory.construct(environment)
    return cast(Recorder, factory.application_recorder())


def event(stream: str, version: int, state: bytes = b"{}", name: str = NAME) -> StoredEvent:
    return StoredEvent(stream, version, name, state)


def new_token() -> str:
    return f"{random.getrandbits(64):016x}"


def noted(token: str, *places: Place) -> list[StoredEvent]:
    """Answer an append of one event at each place, all of them naming the token."""
    return [
        event(stream, version, json.dumps([token, part, len(places)]).encode())
        for part, (stream, version) in enumerate(places)
    ]


class Told(NamedTuple):
    """What one append was told.

    Attributes:
        positions: where its events were recorded; None when they were not, or nobody knows.
        is_known: False when the outcome is unknown.
    """

    positions: list[int] | None
    is_known: bool = True


@dataclass
class Account:
    """What every append of a test was told, by its token."""

    told: dict[str, Told] = field(default_factory=dict)

    def append(self, recorder: Recorder, *places: Place) -> Exception | None:
        """Append one event at each place and keep what was told; answer why it was not recorded."""
        token = new_token()
        self.told[token] = Told(None, is_known=False)
        try:
            positions = recorder.insert_events(noted(token, *places))
        except OutcomeUnknown as unknown:
            return unknown
        except (IntegrityError, OperationalError, InterfaceError) as refused:
            self.told[token] = Told(None)
            return refused
        self.told[token] = Told(positions)
        return None

    @property
    def recorded(self) -> int:
        """How many appends were acknowledged."""
        return sum(told.positions is not None for told in self.told.values())

    @property
    def unknown(self) -> int:
        """How many appends have an unknown outcome."""
        return sum(not told.is_known for told in self.told.values())

    def check(self, recorder: Recorder) -> list[Row]:
        """Check the whole log against what was told; answer its rows."""
        rows = whole_log(recorder)
        found = defaultdict(list)
        for row in rows:
            token, part, parts = json.loads(row.state)
            found[token].append((part, parts, row.position))
        for token, its in found.items():
            first = its[0][2]
            parts = its[0][1]
            assert its == [(n, parts, first + n) for n in range(parts)], "an append is in pieces"
            assert token in self.told, "nobody appended this"
        for token, told in self.told.items():
            there = [position for _, _, position in found.get(token, [])]
            if told.is_known:
                assert there == (told.positions or []), "not what the append was told"
        return rows


def whole_log(recorder: Recorder, page: int = 777) -> list[Row]:
    """Read the whole log in every way there is, and check that it is one gapless order."""
    rows: list[Row] = []
    while more := recorder.read_from(len(rows), page):
        rows += more
    assert [row.position for row in rows] == list(range(1, len(rows) + 1)), "a gap"
    assert recorder.head() == len(rows)
    streams = group(rows)
    for stream, its in streams.items():
        assert [row.version for row in its] == list(range(1, len(its) + 1)), "versions out of order"
        head, found = recorder.read_stream(stream)
        assert (head, rows_of(stream, found)) == (len(rows), its)
    assert recorder.read_streams(dict.fromkeys(streams, 0)) == (len(rows), rows)
    assert recorder.read_positions(range(-1, len(rows) + 3)) == rows
    return rows


def group(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Answer the rows of each stream, in order."""
    streams: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        streams[row.stream].append(row)
    return streams


def fill(recorder: Recorder, places: Sequence[Place]) -> None:
    """Append one event after another."""
    for stream, version in places:
        recorder.insert_events([event(stream, version)])


def versions(stream: str, upto: int) -> list[Place]:
    """Answer the places 1 … upto of a stream."""
    return [(stream, version) for version in range(1, upto + 1)]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do the numbered work in as many threads, and raise what any of them raised."""
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(work, n) for n in range(count)]:
            done.result()
