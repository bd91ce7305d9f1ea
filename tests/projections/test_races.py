"""Readers and writers that race: every answer is the ledger at its position, and none is stale."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from ledger.book import Book
from projections.audit.table_differences import differences
from projections.lists import catch_up
from projections.lists.keys import KEY_LIST
from projections.lists.stores import Tables, open_tables
from tests.projections.keys import issue
from tests.projections.racing import (
    KEYS_EACH,
    NOW,
    Answer,
    ask,
    ask_in_process,
    ask_until,
    die_halfway,
    write,
    write_in_process,
    wrong,
)

ROUNDS = 30
SPAWNING = multiprocessing.get_context("spawn")


def race_of_threads(book: Book, tables: list[Tables]) -> None:
    keys = 3 * ROUNDS * KEYS_EACH

    def read(one: Tables) -> list[Answer]:
        return list(ask_until(book, one, lambda answer: len(answer.ids) == keys))

    with ThreadPoolExecutor(3 + len(tables)) as threads:
        writers = [threads.submit(write, book, f"w{n}", ROUNDS) for n in range(3)]
        readers = [threads.submit(read, one) for one in tables]
        for writer in writers:
            writer.result()
        answers = [reader.result() for reader in readers]
    for of_one in answers:
        assert wrong(book, of_one) == []
    assert list(differences(book, tables[0], KEY_LIST)) == []


def test_threads_that_share_tables(
    book: Book, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 7)
    race_of_threads(book, [tables] * 4)


def test_threads_with_tables_of_their_own(shared_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "PAGE_EVENTS", 7)
    tables = [open_tables(shared_url) for _ in range(4)]
    with closing(Book(shared_url)) as book:
        race_of_threads(book, tables)
    for one in tables:
        one.close()


@contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(count, mp_context=SPAWNING) as pool:
        yield pool


def test_processes(shared_url: str) -> None:
    keys = 2 * ROUNDS * KEYS_EACH
    with processes(4) as pool:
        writers = [pool.submit(write_in_process, shared_url, f"w{n}", ROUNDS) for n in range(2)]
        readers = [pool.submit(ask_in_process, shared_url, keys) for _ in range(2)]
        for writer in writers:
            writer.result()
        answers = [reader.result() for reader in readers]
    with closing(Book(shared_url)) as book, closing(open_tables(shared_url)) as tables:
        for of_one in answers:
            assert wrong(book, of_one) == []
        assert list(differences(book, tables, KEY_LIST)) == []


def test_a_reader_killed_in_the_middle_of_a_page_leaves_it_to_the_next(shared_url: str) -> None:
    with closing(Book(shared_url)) as book, closing(open_tables(shared_url)) as tables:
        issue(book, NOW, "k1", "k2", "k3")
        killed = SPAWNING.Process(target=die_halfway, args=(shared_url,))
        killed.start()
        killed.join()
        assert killed.exitcode == -9
        assert ask(book, tables) == Answer(3, 3, ["key_k3", "key_k2", "key_k1"])
        assert list(differences(book, tables, KEY_LIST)) == []
