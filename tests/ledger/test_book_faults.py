"""Every append that can fail: as failed, and as failed but recorded; and the whole ledger after it.

The recorder is the real one, with faults put before or after what it really does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent

from ledger import book as book_module
from ledger.book import APPEND_TRIES_MAX, Book, Change, LedgerUnavailable
from ledger.store.contract import EVERYTHING, OutcomeUnknown, Row, VersionConflict
from ledger.store.memory import MemoryRecorder
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY
from tests.ledger.test_key_rules import ISSUED
from tests.worlds import another_book, context

Fault = Literal["none", "down", "closed", "lost before", "lost after"]


class Faulty(MemoryRecorder):
    """The recorder in memory behind a connection that breaks as planned, one fault for each call.

    down, closed    certainly not recorded, and said so
    lost before     not recorded, and nobody says so
    lost after      recorded, and nobody says so
    """

    def __init__(self, inserts: Sequence[Fault] = (), reads: Sequence[Fault] = ()) -> None:
        super().__init__()
        self.inserts = list(inserts)
        self.reads = list(reads)
        self.tries = 0
        self.between: Callable[[], object] = lambda: None

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        self.tries += 1
        fault = self.inserts.pop(0) if self.inserts else "none"
        self._fail_if(fault)
        positions = super().insert_events(stored_events, **kwargs)
        if fault == "lost after":
            raise OutcomeUnknown("the connection broke after the commit")
        return positions

    def read_streams(
        self, after: Mapping[str, int], most: int = EVERYTHING, seen: int = -1
    ) -> tuple[int, list[Row]]:
        self._fail_if(self.reads.pop(0) if self.reads else "none")
        return super().read_streams(after, most, seen)

    def _fail_if(self, fault: Fault) -> None:
        if fault == "down":
            raise OperationalError("the database is starting up")
        if fault == "closed":
            raise InterfaceError("the connection is closed")
        if fault == "lost before":
            self.between()
            raise OutcomeUnknown("the connection broke before the commit")


@dataclass(frozen=True)
class Story:
    says: str
    inserts: list[Fault]
    tries: int
    reads: list[Fault] = field(default_factory=list)
    recorded: bool = True
    answered: bool = True


STORIES = [
    Story("all is well", [], 1),
    Story("down for a moment", ["down"], 2),
    Story("a connection that was closed", ["closed"], 2),
    Story("down until the last try", ["down"] * (APPEND_TRIES_MAX - 1), APPEND_TRIES_MAX),
    Story(
        "down for good",
        ["down"] * APPEND_TRIES_MAX,
        APPEND_TRIES_MAX,
        recorded=False,
        answered=False,
    ),
    Story(
        "closed for good",
        ["closed"] * APPEND_TRIES_MAX,
        APPEND_TRIES_MAX,
        recorded=False,
        answered=False,
    ),
    Story("lost on the way there", ["lost before"], 2),
    Story("lost on the way back: found to be ours", ["lost after"], 2),
    Story("lost on the way back, then down", ["lost after", "down", "closed"], 4),
    Story("lost twice", ["lost before", "lost after"], 3),
    Story(
        "lost on the way back and down for good: recorded, but nobody could say so",
        ["lost after", *["down"] * APPEND_TRIES_MAX],  # type: ignore[list-item]
        APPEND_TRIES_MAX,
        answered=False,
    ),
    Story("lost on the way back, and down while we look", ["lost after"], 3, reads=["down"]),
    Story("and the connection closed while we look", ["lost after"], 3, reads=["closed"]),
    Story(
        "and down as often as we look",
        ["lost after"],
        APPEND_TRIES_MAX,
        reads=["down"] * APPEND_TRIES_MAX,
        answered=False,
    ),
]

SITS = SeatOccupied(product="cloud_pos", tier=None, holder="till-1")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "APPEND_RETRY_S", 0)


def ledger(store: MemoryRecorder) -> list[tuple[int, str, int]]:
    return [(row.position, row.stream, row.version) for row in store.read_from(0, 1_000)]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.says)
def test_an_append_is_recorded_once_or_said_to_be_in_doubt(story: Story) -> None:
    book, store = Book("memory:"), Faulty(story.inserts, story.reads)
    book.store = store
    changes = Change(book.load(KEY, "one"), [ISSUED]), Change(book.load(ACCOUNT, "acme"), [SITS])
    if story.answered:
        appended = book.append(context(), *changes)
        assert appended.position == 2
        assert [loaded.version for loaded in appended.loaded] == [1, 1]
    else:
        with pytest.raises(LedgerUnavailable) as caught:
            book.append(context(), *changes)
        assert isinstance(caught.value.__cause__, (OperationalError, InterfaceError))
    assert store.tries == story.tries
    assert ledger(store) == ([(1, "key-one", 1), (2, "account-acme", 1)] if story.recorded else [])
    # And the book goes on.
    other = another_book(book)
    store.inserts, store.reads = [], []
    book.append(context(), Change(book.load(ACCOUNT, "other"), [SITS]))
    assert book.load(ACCOUNT, "acme") == other.load(ACCOUNT, "acme")


def test_what_another_recorded_meanwhile_is_not_taken_for_ours() -> None:
    book, store = Book("memory:"), Faulty(["lost before"])
    book.store = store
    mine = book.load(ACCOUNT, "acme")

    def another_writes() -> None:
        other = another_book(book)
        other.append(context(request_id="req_2"), Change(other.load(ACCOUNT, "acme"), [SITS]))

    store.between = another_writes
    with pytest.raises(VersionConflict):
        book.append(context(request_id="req_1"), Change(mine, [SITS]))
    assert [event.request_id for event in book.follow(0)] == ["req_2"]


def test_what_is_ours_in_part_is_not_ours() -> None:
    """It cannot be: an append is recorded whole. So the other stream's event is somebody else's."""
    book, store = Book("memory:"), Faulty(["lost before"])
    book.store = store
    changes = Change(book.load(KEY, "one"), [ISSUED]), Change(book.load(ACCOUNT, "acme"), [SITS])

    def another_writes() -> None:
        other = another_book(book)
        other.append(context(), Change(other.load(KEY, "one"), [ISSUED]))

    store.between = another_writes
    with pytest.raises(VersionConflict):
        book.append(context(), *changes)
    assert ledger(store) == [(1, "key-one", 1)]


def test_a_mere_conflict_is_told_at_once() -> None:
    book, store = Book("memory:"), Faulty()
    book.store = store
    stale = book.load(ACCOUNT, "acme")
    book.append(context(), Change(stale, [SITS]))
    with pytest.raises(VersionConflict):
        book.append(context(), Change(stale, [SITS]))
    assert store.tries == 2
