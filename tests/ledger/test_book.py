"""The book: load, decide, append; several books over one store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from ledger import book as book_module
from ledger import codec
from ledger.book import Book, Change, Dated, MixedClocks
from ledger.events import Event, Fact
from ledger.loaded import empty_stream
from ledger.store import schema
from ledger.store.contract import Row, VersionConflict
from ledger.store.memory import MemoryRecorder
from ledger.streams.account.facts import SeatOccupied, SeatReleased
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KEY, KeyRedeemed, KeyRevoked
from ledger.streams.token import TOKEN, TokenRevoked
from tests.ledger.test_key_rules import ISSUED
from tests.worlds import DAY, MINUTE, NOON, SECOND, another_book, context, watched


def sits(holder: str) -> SeatOccupied:
    return SeatOccupied(product="cloud_pos", tier=None, holder=holder)


def append(book: Book, *facts: Fact, account: str = "acme") -> int:
    return book.append(context(), Change(book.load(ACCOUNT, account), facts)).position


def everything(book: Book) -> list[Row]:
    return book.store.read_from(0, 1_000_000)


@pytest.fixture
def book() -> Book:
    return Book("memory:")


# Appending


def test_an_event_is_recorded_with_all_that_is_known_of_it(book: Book) -> None:
    loaded = book.load(ACCOUNT, "acme")
    asked = context(actor="kft_one", request_id="req_seven")
    facts = [Dated(sits(f"till-{number}"), NOON - DAY) for number in (1, 2)]
    change = Change(loaded, facts, "key-one/2")
    appended = book.append(asked, change)
    expected = [
        Event(
            fact=sits(f"till-{version}"),
            recorded_at=NOON,
            occurred_at=NOON - DAY,
            actor="kft_one",
            request_id="req_seven",
            causation="key-one/2",
            test_clock=False,
            position=version,
            stream="account-acme",
            version=version,
            name="account.seat_occupied@1",
        )
        for version in (1, 2)
    ]
    assert list(book.follow(0)) == expected
    assert book.history(ACCOUNT, "acme") == (2, expected)
    assert appended.position == book.head() == 2


def test_what_became_true_now_occurred_when_it_was_recorded(book: Book) -> None:
    append(book, sits("till-1"))
    (event,) = book.follow(0)
    assert event.occurred_at == event.recorded_at == NOON


def test_several_streams_change_together(book: Book) -> None:
    key, account = book.load(KEY, "one"), book.load(ACCOUNT, "acme")
    appended = book.append(
        context(), Change(key, [ISSUED, KeyRevoked()]), Change(account, [sits("till-1")])
    )
    assert [(row.position, row.stream, row.version) for row in everything(book)] == [
        (1, "key-one", 1),
        (2, "key-one", 2),
        (3, "account-acme", 1),
    ]
    assert appended.position == 3
    after_key, after_account = appended.loaded
    assert after_key._replace(head=3) == book.load(KEY, "one")
    assert after_account == book.load(ACCOUNT, "acme")


def test_nothing_to_record_records_nothing(book: Book) -> None:
    append(book, sits("till-1"))
    loaded = book.load(ACCOUNT, "acme")
    append(book, sits("till-2"), account="other")
    before = everything(book)
    appended = book.append(context(), Change(loaded, []), Change(book.load(KEY, "one"), []))
    assert everything(book) == before
    assert appended.position == 2
    assert appended.loaded[0] is loaded


def test_a_stream_with_nothing_new_keeps_its_state_beside_one_that_changes(book: Book) -> None:
    append(book, sits("till-1"))
    unchanged = book.load(ACCOUNT, "acme")
    appended = book.append(
        context(), Change(unchanged, []), Change(book.load(KEY, "one"), [ISSUED])
    )
    assert appended.loaded[0] == unchanged
    assert appended.loaded[1].version == 1


def test_a_conflict_leaves_nothing_behind(book: Book) -> None:
    stale = book.load(ACCOUNT, "acme")
    append(book, sits("till-1"))
    before = everything(book)
    with pytest.raises(VersionConflict) as caught:
        book.append(
            context(),
            Change(book.load(KEY, "one"), [ISSUED]),
            Change(stale, [sits("till-2")]),
            Change(book.load(TOKEN, "one"), [TokenRevoked()]),
        )
    assert (caught.value.stream, caught.value.expected, caught.value.actual) == (
        "account-acme",
        1,
        1,
    )
    assert everything(book) == before
    assert book.load(KEY, "one").version == 0
    assert [seat.holder for seat in book.load(ACCOUNT, "acme").state.seats.values()] == ["till-1"]


def test_a_stream_that_was_taken_for_unwritten_is_guarded_too(book: Book) -> None:
    append(book, sits("till-1"))
    with pytest.raises(VersionConflict):
        book.append(context(), Change(empty_stream(ACCOUNT, "acme"), [sits("till-2")]))


# Loading


def test_a_book_sees_what_another_wrote_at_once(book: Book) -> None:
    other = another_book(book)
    for round_ in range(3):
        append(book, sits(f"till-{round_}"))
        append(other, sits(f"shop-{round_}"))
        mine, theirs = book.load(ACCOUNT, "acme"), other.load(ACCOUNT, "acme")
        assert mine == theirs
        assert mine.version == mine.head == 2 * (round_ + 1)
        assert len(mine.state.seats) == mine.version


def test_what_is_as_new_as_the_caller_has_seen_the_ledger_is_answered_without_a_look(
    book: Book,
) -> None:
    one, other = book, another_book(book)
    append(other, sits("till-1"))
    first = one.load(ACCOUNT, "acme")
    append(other, sits("till-2"))

    assert one.load(ACCOUNT, "acme", reached=first.head) == first
    assert len(one.load(ACCOUNT, "acme", reached=first.head + 1).state.seats) == 2
    assert one.load(ACCOUNT, "nobody", reached=0) == empty_stream(ACCOUNT, "nobody", head=2)


def test_the_head_is_the_ledgers_not_the_streams(book: Book) -> None:
    append(book, sits("till-1"))
    book.load(ACCOUNT, "acme")
    append(book, sits("till-1"), account="other")
    assert book.load(ACCOUNT, "acme").head == 2
    assert book.load(ACCOUNT, "nobody").head == 2


def test_a_state_that_was_handed_out_stays_as_it_was(book: Book) -> None:
    append(book, sits("till-1"))
    early = book.load(ACCOUNT, "acme")
    append(book, sits("till-2"), SeatReleased(product="cloud_pos", tier=None, holder="till-1"))
    late = book.load(ACCOUNT, "acme")
    assert [seat.holder for seat in early.state.seats.values()] == ["till-1"]
    assert [seat.holder for seat in late.state.seats.values()] == ["till-2"]


def test_the_cause_of_what_comes_next_is_named(book: Book) -> None:
    append(book, sits("till-1"))
    assert book.load(ACCOUNT, "acme").next_event == "account-acme/2"
    assert book.load(KEY, "one").next_event == "key-one/1"


def test_many_streams_are_loaded_together(book: Book) -> None:
    for id in ("one", "two", "three"):
        book.append(context(), Change(book.load(KEY, id), [ISSUED]))
    redeemed = KeyRedeemed(account="acme", subscription="kfsub_two")
    book.append(context(), Change(book.load(KEY, "two"), [redeemed]))
    many = book.load_many(KEY, ["two", "none", "one"])
    assert many == {id: book.load(KEY, id) for id in ("two", "none", "one")}
    assert many["two"].state is not None
    assert many["two"].state.redeemed_by == "acme"
    assert many["none"].version == 0


def test_the_whole_ledger_can_be_followed_page_by_page(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_module, "FOLLOW_PAGE", 3)
    append(book, *(sits(f"till-{n}") for n in range(10)))
    for after, upto, positions in [
        (0, None, range(1, 11)),
        (4, None, range(5, 11)),
        (0, 3, range(1, 4)),
        (2, 7, range(3, 8)),
        (10, None, range(0)),
        (0, 99, range(1, 11)),
    ]:
        assert [event.position for event in book.follow(after, upto)] == list(positions)


# Remembering


def test_only_what_is_new_is_read_and_the_memo_is_bounded() -> None:
    book, store = watched(memo_streams=2)
    for account in ("a", "b", "c"):
        append(book, sits("till-1"), sits("till-2"), account=account)
        book.load(ACCOUNT, account)
    store.reads.clear()
    states = {account: book.load(ACCOUNT, account) for account in ("c", "b", "a", "b")}
    assert store.reads == [
        ("account-c", 2),
        ("account-b", 2),
        ("account-a", 0),  # dropped when c came
        ("account-b", 2),
    ]
    for account, loaded in states.items():
        assert loaded == another_book(book).load(ACCOUNT, account)
        assert loaded.version == 2
        assert len(loaded.state.seats) == 2


def test_streams_that_nothing_happened_to_are_not_remembered() -> None:
    """Or else a guesser of codes would push out what is worth remembering."""
    book, store = watched(memo_streams=1)
    append(book, sits("till-1"))
    book.load(ACCOUNT, "acme")
    for guess in range(5):
        book.load(KEY, f"guess{guess}")
    store.reads.clear()
    book.load(ACCOUNT, "acme")
    assert store.reads == [("account-acme", 1)]


# Clocks


def test_time_never_goes_back_within_a_stream_whatever_the_clock_does(book: Book) -> None:
    for hours in (0, -5, 1, -24, 2):
        book.append(
            context(NOON + timedelta(hours=hours)),
            Change(book.load(ACCOUNT, "acme"), [sits(f"till{hours}")]),
        )
    hours_recorded = [(event.recorded_at - NOON) / timedelta(hours=1) for event in book.follow(0)]
    assert hours_recorded == [0, 0, 1, 1, 2]


def test_a_stream_whose_clock_was_ahead_takes_no_other_into_its_future(book: Book) -> None:
    book.append(context(NOON + DAY), Change(book.load(ACCOUNT, "ahead"), [sits("till-1")]))
    book.append(
        context(NOON),
        Change(book.load(ACCOUNT, "ahead"), [sits("till-2")]),
        Change(book.load(ACCOUNT, "new"), [sits("till-1")]),
    )
    assert [event.recorded_at for event in book.follow(1)] == [NOON + DAY, NOON]


def test_what_is_decided_after_a_clock_was_ahead_becomes_true_now(book: Book) -> None:
    book.append(context(NOON + DAY), Change(book.load(ACCOUNT, "acme"), [sits("till-1")]))
    book.append(context(NOON), Change(book.load(ACCOUNT, "acme"), [sits("till-2")]))
    assert [event.occurred_at for event in book.follow(0)] == [NOON + DAY, NOON]


def test_what_is_told_late_is_written_by_the_clock_of_who_wrote_it(book: Book) -> None:
    long_ago = Dated(sits("till-0"), NOON - 30 * DAY)
    for at in (NOON, NOON + DAY, NOON + MINUTE, NOON + DAY - SECOND):
        book.append(context(at), Change(book.load(ACCOUNT, "acme"), [long_ago]))
    rows, events = everything(book), list(book.follow(0))
    assert [event.written_at for event in events] == [
        NOON, NOON + DAY, NOON + MINUTE, NOON + DAY,
    ]  # fmt: skip
    assert [event.is_behind for event in events] == [False, False, True, False]
    assert [b'"clock":' in row.state for row in rows] == [False, False, True, False]
    assert {event.occurred_at for event in events} == {NOON - 30 * DAY}


def test_events_of_a_test_clock_are_marked(book: Book) -> None:
    book.append(context(test_clock=True), Change(book.load(ACCOUNT, "acme"), [sits("till-1")]))
    (row,) = everything(book)
    assert b'"test_clock":true' in row.state
    assert codec.decode(row).test_clock is True


@pytest.mark.parametrize("marked", [True, False])
def test_a_ledger_is_on_one_kind_of_clock(book: Book, marked: bool) -> None:
    book.append(context(test_clock=marked), Change(book.load(ACCOUNT, "acme"), [sits("till-1")]))
    before = everything(book)
    for writer in (book, another_book(book)):
        with pytest.raises(MixedClocks):
            writer.append(context(test_clock=not marked), Change(writer.load(KEY, "one"), [ISSUED]))
        assert everything(book) == before
        writer.append(context(test_clock=marked), Change(writer.load(KEY, "one"), []))


def test_a_test_clock_is_refused_at_the_start_on_a_ledger_of_the_real_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    Book(url, test_clock=True).close()  # empty: nothing to mix with
    real = Book(url)
    append(real, sits("till-1"))
    real.close()
    with pytest.raises(MixedClocks, match="unset KEYFOLD_TEST_CLOCK"):
        Book(url, test_clock=True)
    Book(url).close()


def test_a_ledger_of_a_test_clock_starts_again_with_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    first = Book(url, test_clock=True)
    first.append(context(test_clock=True), Change(first.load(ACCOUNT, "acme"), [sits("till-1")]))
    first.close()
    again = Book(url, test_clock=True)
    assert again.load(ACCOUNT, "acme").version == 1
    again.close()


# Size


class Counted(MemoryRecorder):
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        self.inserts = getattr(self, "inserts", 0) + 1
        return super().insert_events(stored_events, **kwargs)


def test_ten_thousand_streams_change_in_one_append(book: Book) -> None:
    book.store = store = Counted()
    changes = [Change(empty_stream(KEY, f"k{n}"), [ISSUED]) for n in range(10_000)]
    appended = book.append(context(), *changes)
    assert store.inserts == 1
    assert appended.position == 10_000
    assert [loaded.id for loaded in appended.loaded] == [f"k{n}" for n in range(10_000)]
    assert all(loaded.version == 1 for loaded in appended.loaded)
