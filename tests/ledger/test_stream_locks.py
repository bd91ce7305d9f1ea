"""Threads that decide on the same stream take turns; nobody depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Lock

import pytest

from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from ledger.book import Book
from ledger.refusals import NoSeatAvailable
from ledger.store import schema
from ledger.stream_locks import LOCKS, BestEffortLock
from ledger.streams.account.stream import ACCOUNT
from tests.worlds import context, services

CLIENTS = 8
SEATS = 40


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    with closing(Book(url)) as book:
        yield book


def test_one_stream_has_one_turn_and_most_others_have_another(book: Book) -> None:
    def shares(account: str) -> bool:
        with book.lock(ACCOUNT, "acme"):
            return book.lock(ACCOUNT, account).is_taken

    assert shares("acme")
    assert sum(map(shares, (f"other-{number}" for number in range(LOCKS)))) < LOCKS / 50


def test_who_has_waited_for_long_goes_on_and_leaves_the_turn_to_whoever_has_it() -> None:
    taken = Lock()
    taken.acquire()

    with BestEffortLock(taken):
        assert taken.locked()

    assert taken.locked()


def test_a_turn_ends_with_an_exception_too() -> None:
    lock = Lock()

    with pytest.raises(KeyError), BestEffortLock(lock):
        raise KeyError

    assert not lock.locked()


def test_on_a_hot_account_everybody_gets_what_is_true(book: Book) -> None:
    world = services(book)
    order = Order("cloud_pos", None, seats=SEATS, months=12, count=1, reseller="north")
    redeem_key(world, context(), Try("hot", "s", issue_keys(world, context(), order).keys[0].code))
    start = Barrier(CLIENTS)

    def fill(client: int) -> tuple[int, int]:
        let_in = refused = 0
        start.wait()
        for number in range(SEATS // 4):
            try:
                occupy_seat(
                    world, context(), Sitting("hot", "cloud_pos", None, f"{client}-{number}")
                )
                let_in += 1
            except NoSeatAvailable:
                refused += 1
        return let_in, refused

    with ThreadPoolExecutor(CLIENTS) as threads:
        outcomes = list(threads.map(fill, range(CLIENTS)))

    assert sum(let_in for let_in, _ in outcomes) == SEATS
    assert sum(refused for _, refused in outcomes) == SEATS
    assert len(book.load(ACCOUNT, "hot").state.seats) == SEATS
