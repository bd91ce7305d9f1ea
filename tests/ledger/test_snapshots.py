"""An account that begins with a snapshot is the one that is folded from its first event."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from ledger import codec
from ledger.book import SNAPSHOT_EVENTS, Book, Change
from ledger.events import AnyEvent, Fact, RequestContext
from ledger.loaded import Loaded, empty_stream
from ledger.store import schema
from ledger.streams.account import snapshot
from ledger.streams.account.facts import SeatOccupied, SeatReleased
from ledger.streams.account.snapshot import pack, unpack
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from projections.audit.snapshots import wrong_snapshots
from tests.audit.ledgers import happens
from tests.ledger import kept_snapshots
from tests.ledger.kept_snapshots import golden_names, golden_row
from tests.worlds import another_book, services

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


# --- the shape ------------------------------------------------------------------------------------


def test_a_snapshot_of_this_shape_that_was_kept_before_is_what_the_events_make_today() -> None:
    """When this fails: raise SHAPE, and remake the file, as tests/ledger/kept_snapshots.py says."""
    shape, snapshots = kept_snapshots.read()

    assert shape == snapshot.SHAPE
    for kept in snapshots:
        assert unpack(kept.snapshot) == kept.folded()


def test_every_fact_that_an_account_can_have_is_in_a_snapshot_that_was_kept() -> None:
    """When this fails: remake the file, as tests/ledger/kept_snapshots.py says."""
    _, snapshots = kept_snapshots.read()

    assert {row.name for kept in snapshots for row in kept.rows} >= set(ACCOUNT.facts)


# --- packing --------------------------------------------------------------------------------------


def golden_events() -> Iterator[AnyEvent]:
    """Return two events of every fact that an account can have: with all fields, and with few."""
    for version, one in enumerate(golden_names(), start=1):
        yield codec.decode(golden_row(*one, version))


def test_a_state_that_is_made_of_every_fact_comes_back_as_it_was() -> None:
    events = list(golden_events())
    for seed in range(50):
        some = Random(seed).sample(events, k=Random(seed).randint(1, len(events)))
        state = ACCOUNT.fold(ACCOUNT.initial, some)
        assert unpack(pack(state)) == state
        assert state == unpack(pack(state)) == unpack(pack(unpack(pack(state))))
        again = ACCOUNT.fold(unpack(pack(state)), events)
        assert again == ACCOUNT.fold(state, events)


def test_a_state_with_other_seats_is_another_one() -> None:
    taken = (event for event in golden_events() if isinstance(event.fact, SeatOccupied))
    state = ACCOUNT.fold(ACCOUNT.initial, taken)
    assert len(unpack(pack(state)).seats) == len(state.seats) > 0
    other = replace(state, taken=ACCOUNT.initial.seats)
    assert unpack(pack(state)) != other
    assert other != unpack(pack(state))
    assert unpack(pack(other)) != unpack(pack(state))


@pytest.mark.parametrize("seed", range(10))
def test_whatever_happens_to_an_account_it_comes_back_as_it_was(seed: int) -> None:
    world = services(seed=seed)
    happens(world, Random(seed))
    names = {event.stream for event in world.book.follow(0) if event.stream.startswith("account-")}
    assert names
    for name in names:
        loaded = world.book.load(ACCOUNT, name.removeprefix("account-"))
        assert unpack(pack(loaded.state)) == loaded.state


# --- in the book ----------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Book]:
    url = {"memory": "memory:", "sqlite": f"sqlite:///{tmp_path}/ledger.db"}.get(request.param)
    url = url or request.getfixturevalue("postgres_ledger_url")
    schema.upgrade(url)
    with closing(Book(url)) as book:
        yield book


def comes_and_goes(book: Book, account: str, events: int, after: int = 0) -> None:
    """Append so many events of seats to an account of which `after` are there."""
    loaded: Loaded = empty_stream(ACCOUNT, account)._replace(version=after)
    facts: list[Fact] = []
    for number in range(after, after + events):
        kind = SeatReleased if number % 3 == 2 else SeatOccupied
        facts.append(kind(product="cloud_pos", tier=None, holder=f"till-{number % 7}"))
    now = NOON + timedelta(seconds=after)
    book.append(RequestContext(now, "operator", "req_1"), Change(loaded, facts))


def folded(book: Book, account: str) -> Loaded:
    head, events = book.history(ACCOUNT, account)
    return empty_stream(ACCOUNT, account).after(events, head)


def kept(book: Book) -> list[tuple[str, int]]:
    return [(stream, one.version) for stream, one in book.store.snapshots.streams("", 100)]


def test_none_is_kept_of_a_short_account(book: Book) -> None:
    comes_and_goes(book, "acme", SNAPSHOT_EVENTS - 1)

    assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")
    assert kept(book) == []


def test_one_is_kept_of_a_long_account_and_used_by_the_next_process(book: Book) -> None:
    comes_and_goes(book, "acme", SNAPSHOT_EVENTS)
    assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")
    assert kept(book) == [("account-acme", SNAPSHOT_EVENTS)]

    comes_and_goes(book, "acme", 5, after=SNAPSHOT_EVENTS)

    assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")
    assert len(book.store.snapshots.read("account-acme", snapshot.SHAPE).rows) == 5
    assert kept(book) == [("account-acme", SNAPSHOT_EVENTS)]


def test_a_new_one_is_kept_after_as_many_events_again(book: Book) -> None:
    for _ in range(2):
        comes_and_goes(book, "acme", SNAPSHOT_EVENTS, after=folded(book, "acme").version)
        assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")

    assert kept(book) == [("account-acme", 2 * SNAPSHOT_EVENTS)]


def test_one_that_would_be_larger_than_what_it_spares_is_not_kept(book: Book) -> None:
    facts = [
        SeatOccupied(product="cloud_pos", tier=None, holder=f"{'till' * 60}-{number}")
        for number in range(SNAPSHOT_EVENTS)
    ]
    book.append(
        RequestContext(NOON, "operator", "req_1"), Change(empty_stream(ACCOUNT, "acme"), facts)
    )

    assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")
    assert kept(book) == []


def test_a_long_account_among_others_is_loaded_whole(book: Book) -> None:
    comes_and_goes(book, "acme", SNAPSHOT_EVENTS + 20)
    comes_and_goes(book, "short", 3)

    fresh = another_book(book)
    tried, acme, short = fresh.load_all((ATTEMPTS, "acme"), (ACCOUNT, "acme"), (ACCOUNT, "short"))

    assert (acme, short) == (folded(book, "acme"), folded(book, "short"))
    assert tried == empty_stream(ATTEMPTS, "acme", head=SNAPSHOT_EVENTS + 23)
    assert fresh.load_all((ACCOUNT, "acme"))[0] == acme


def test_one_that_cannot_be_read_is_passed_over(book: Book) -> None:
    comes_and_goes(book, "acme", SNAPSHOT_EVENTS)
    another_book(book).load(ACCOUNT, "acme")
    ((stream, good),) = book.store.snapshots.streams("", 1)
    bad = good._replace(shape=snapshot.SHAPE + 1)
    for state in (b"", b"\x93", pack(ACCOUNT.initial)[:-1]):
        book.store.snapshots.keep(stream, bad)  # another shape, so that the next one is taken
        book.store.snapshots.keep(stream, good._replace(state=state))
        assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")


def test_where_none_can_be_written_the_account_is_answered_all_the_same(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as session:
        session.execute(
            "CREATE TRIGGER refused BEFORE INSERT ON keyfold_snapshots"
            " BEGIN SELECT RAISE(ABORT, 'read only'); END"
        )
    with closing(Book(url)) as book:
        comes_and_goes(book, "acme", SNAPSHOT_EVENTS)

        assert another_book(book).load(ACCOUNT, "acme") == folded(book, "acme")
        assert kept(book) == []


# --- verifying ------------------------------------------------------------------------------------


def test_what_is_not_what_the_events_say_is_found(book: Book) -> None:
    comes_and_goes(book, "acme", SNAPSHOT_EVENTS)
    another_book(book).load(ACCOUNT, "acme")
    ((stream, good),) = book.store.snapshots.streams("", 1)
    assert list(wrong_snapshots(book)) == []

    for wrong, sentence in (
        (good._replace(state=pack(ACCOUNT.initial)), "is not what its events make"),
        (good._replace(recorded_at="2020-01-01T00:00:00+00:00"), "is not what its events make"),
        (good._replace(state=b"\x93"), "cannot be read"),
        (good._replace(version=good.version + 7), "is not at that position"),
        (good._replace(position=good.position + 1), "is not at that position"),
    ):
        book.store.snapshots.keep(stream, good._replace(shape=snapshot.SHAPE + 1))
        assert list(wrong_snapshots(book)) == [], "another release's are passed over"
        book.store.snapshots.keep(stream, wrong)
        (found,) = wrong_snapshots(book)
        assert (found.stream, found.position) == (stream, wrong.position)
        assert sentence in found.sentence
