"""Small worlds for tests to start from: an empty ledger, a fixed clock, chance that repeats itself.

    world = ports()
    key = issue(world)
    redeem_key(world, stamp(NOON), Try("acme", "s-1", key.code))
    later = another_worker(world)       # as another process would see the same ledger

And for the rules, which need no ledger at all:

    state = folded(KEY, (NOON, ISSUED), (later, KeyRevoked()))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Generic, TypeVar

import pytest
from eventsourcing.persistence import StoredEvent

from commands.issue_keys import IssuedKey, Order, issue_keys
from commands.services import Services, code_keys
from ledger import codec
from ledger.book import Book
from ledger.catalog import Catalog, builtin
from ledger.events import AnyEvent, Event, Fact, RequestContext, Stream
from ledger.refusals import Refusal
from ledger.sealing import Texts
from ledger.secret import Secret
from ledger.store.contract import StreamRow
from ledger.store.memory import MemoryRecorder

StateT = TypeVar("StateT")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = Secret(bytes(range(32)))
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def chance(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that gives the same ones in every run."""
    return Random(seed).randbytes


def services(
    book: Book | None = None, *, catalog: Catalog | None = None, seed: int = 0
) -> Services:
    """Return what commands work with, on a ledger in memory unless given another."""
    book = book or Book("memory:")
    random_bytes = chance(seed)
    return Services(
        book=book,
        catalog=catalog or builtin(),
        codes=code_keys(SECRET),
        texts=Texts(book.store.text_keys, SECRET.derive("texts"), random_bytes),
        request_key=SECRET.derive("requests"),
        token_key=SECRET.derive("tokens"),
        person_key=SECRET.derive("people"),
        webhook_key=SECRET.derive("webhook secrets"),
        random_bytes=random_bytes,
    )


def another_book(book: Book) -> Book:
    """Return a second Book over the same store, remembering nothing of what the first one read."""
    other = Book("memory:")
    other.store = book.store
    return other


def another_worker(world: Services, *, seed: int = 1) -> Services:
    """Return the same ledger as another process sees it."""
    return services(another_book(world.book), catalog=world.catalog, seed=seed)


def context(
    at: datetime = NOON,
    *,
    actor: str = "operator",
    request_id: str = "req_1",
    test_clock: bool = False,
) -> RequestContext:
    return RequestContext(at, actor, request_id, test_clock)


POS_ORDER = Order("cloud_pos", None, seats=3, months=12, count=1, reseller="Northwind")
INT_ORDER = Order("integrations", "growth", seats=2, months=12, count=1, reseller="Northwind")


def issue(world: Services, order: Order = POS_ORDER, at: datetime = NOON) -> IssuedKey:
    """Issue the first key of an order."""
    return issue_keys(world, context(at), order).keys[0]


def recorded(world: Services, after: int = 0) -> list[AnyEvent]:
    """Return all events after a position."""
    return list(world.book.follow(after))


def happened(
    position: int,
    stream: str,
    version: int,
    fact: Fact,
    *,
    at: datetime = NOON,
    actor: str = "operator",
    request_id: str = "req_1",
    causation: str | None = None,
) -> AnyEvent:
    """Return a whole event, as the ledger should hold it."""
    return Event(
        fact=fact,
        recorded_at=at,
        occurred_at=at,
        actor=actor,
        request_id=request_id,
        causation=causation,
        position=position,
        stream=stream,
        version=version,
        name=codec.name_of(fact),
    )


class Watched(MemoryRecorder):
    """The real recorder in memory, which can be looked at, and overtaken.

    Attributes:
        reads: which streams were read one by one, and after which version.
        overtake: done once, just before the next append goes in: what another worker does then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[str, int]] = []
        self.overtake: Callable[[], object] | None = None

    def read_stream(
        self, stream: str, after: int = 0, limit: int | None = None, seen: int = -1
    ) -> tuple[int, list[StreamRow]]:
        self.reads.append((stream, after))
        return super().read_stream(stream, after, limit, seen)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        overtake, self.overtake = self.overtake, None
        if overtake:
            overtake()
        return super().insert_events(stored_events, **kwargs)


def watched(*, memo_streams: int = 10_000) -> tuple[Book, Watched]:
    """Return an empty ledger and its recorder."""
    book, store = Book("memory:", memo_streams=memo_streams), Watched()
    book.store = store
    return book, store


# Rules, without a ledger


def event(fact: Fact, at: datetime = NOON, version: int = 1) -> AnyEvent:
    """Return a fact as if it had been recorded; its position is ten times its version."""
    return Event(
        fact=fact,
        recorded_at=at,
        occurred_at=at,
        actor="operator",
        request_id="req_1",
        position=version * 10,
        version=version,
    )


Happened = tuple[datetime, Fact]


def history(happened: Sequence[Happened]) -> list[AnyEvent]:
    return [event(fact, at, version) for version, (at, fact) in enumerate(happened, start=1)]


def folded(stream: Stream[StateT], *happened: Happened) -> StateT:
    """Return the state that a stream's facts make."""
    return stream.fold(stream.initial, history(happened))


@dataclass(frozen=True)
class Rule(Generic[StateT]):
    """Given these facts, this decision has this outcome: facts, or a refusal and its attributes."""

    name: str
    given: Sequence[Happened]
    decide: Callable[[StateT], object]
    then: object

    def __str__(self) -> str:
        return self.name

    def check(self, stream: Stream[StateT]) -> None:
        state = folded(stream, *self.given)
        if isinstance(self.then, Refusal):
            with pytest.raises(type(self.then)) as caught:
                self.decide(state)
            assert vars(caught.value) == vars(self.then)
            assert str(caught.value) == str(self.then)
        else:
            assert self.decide(state) == self.then


def rows(rules: Sequence[Any]) -> Any:
    """Parametrise a test with one case a row, named after it."""
    return pytest.mark.parametrize("case", rules, ids=str)
