"""What racing readers and writers do, in threads and in processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from commands.retry import retry_on_conflict
from ledger.book import Book
from projections.lists import catch_up
from projections.lists.keys import KeyQuery, list_keys
from projections.lists.stores import Tables, open_tables
from tests.projections.faulty import Faulty
from tests.projections.keys import issue, redeem
from tests.projections.telling import asked, at

NOW = at("2026-03-01 09:00")
MOMENT = asked("2026-06-01 00:00")
KEYS_EACH = 3


class Answer(NamedTuple):
    """One answer of the list: the head before it was asked, its position, and the keys' ids."""

    head: int
    position: int
    ids: list[str]


def write(book: Book, name: str, rounds: int) -> None:
    """Issue some keys in one commit and redeem one of them, again and again."""
    for n in range(rounds):
        ids = [f"{name}-{n}-{index}" for index in range(KEYS_EACH)]
        issue(book, NOW, *ids)
        retry_on_conflict(lambda id=ids[0]: redeem(book, NOW, id))  # type: ignore[misc]


def ask(book: Book, tables: Tables) -> Answer:
    """Ask for all keys."""
    head = book.head()
    page = list_keys(book, tables, KeyQuery(), MOMENT, limit=10_000)
    return Answer(head, page.position, [key.id for key in page.keys])


def ask_until(book: Book, tables: Tables, done: Callable[[Answer], bool]) -> Iterator[Answer]:
    """Ask again and again, up to the answer that says so."""
    while True:
        answer = ask(book, tables)
        yield answer
        if done(answer):
            return


def write_in_process(url: str, name: str, rounds: int) -> None:
    with closing(Book(url)) as book:
        write(book, name, rounds)


def ask_in_process(url: str, keys: int) -> list[Answer]:
    catch_up.PAGE_EVENTS = 7  # type: ignore[misc]
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        return list(ask_until(book, tables, lambda answer: len(answer.ids) == keys))


def die_halfway(url: str) -> None:
    """Claim a page, write one of its rows, and be killed."""
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        faulty = Faulty(tables)
        faulty.halfway = lambda: os.kill(os.getpid(), signal.SIGKILL)
        ask(book, faulty)


def wrong(book: Book, answers: Sequence[Answer]) -> list[str]:
    """Return what is wrong with the answers, once the ledger is known."""
    issued = [
        (event.position, "key_" + event.stream.removeprefix("key-"))
        for event in book.follow(0)
        if event.name == "key.issued@1"
    ]
    errors = []
    for answer in answers:
        if answer.position < answer.head:
            errors.append(f"stale: {answer.position} is before {answer.head}")
        expected = [id for position, id in issued if position <= answer.position]
        if answer.ids != expected[::-1]:
            errors.append(f"at {answer.position}: {len(answer.ids)} keys, not {len(expected)}")
    return errors
