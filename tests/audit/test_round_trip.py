"""A ledger that is exported and imported is the same ledger: a thousand random ones.

Each goes from memory to SQLite and back to memory; some by way of PostgreSQL. After each move it
has the same root, and the same answer to every question at twenty moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest

from commands.import_ledger import import_ledger
from commands.ports import Ports
from ledger.book import Book
from ledger.store import schema
from projections.exporting import plan
from projections.stores import Tables, open_tables
from tests.audit.ledgers import SqliteLedgers, answers, exported, happens, moments
from tests.worlds import ports

LEDGERS = 1_000
CHUNK = 50
IN_EVERY_RUN = 100
BY_WAY_OF_POSTGRES = 20

# Takes a database back to an empty ledger; only an owner who disables the triggers can.
EMPTY = """
    ALTER TABLE keyfold_events DISABLE TRIGGER keyfold_events_append_only;
    TRUNCATE keyfold_events, keyfold_text_keys, keyfold_projections, keyfold_key_list_1,
        keyfold_token_list_1;
    ALTER TABLE keyfold_events ENABLE ALWAYS TRIGGER keyfold_events_append_only;
"""


@contextmanager
def opened(url: str) -> Iterator[tuple[Ports, Tables]]:
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        yield ports(book), tables


@contextmanager
def moved(whole: bytes, url: str) -> Iterator[tuple[Ports, Tables]]:
    """Import an export into the empty ledger at an address."""
    with opened(url) as (world, tables):
        imported = import_ledger(world, whole.splitlines(keepends=True), on_events=nobody_looks)
        assert imported.events == world.book.head()
        yield world, tables


def nobody_looks(_events: int, _total: int) -> None:
    pass


@pytest.mark.parametrize(
    "first",
    # The first hundred in every run; all thousand with `./dev test -m long`.
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= IN_EVERY_RUN else [])
        for first in range(0, LEDGERS, CHUNK)
    ],
)
def test_a_ledger_is_the_same_on_sqlite_and_back_in_memory(first: int, tmp_path: Path) -> None:
    ledgers = SqliteLedgers(tmp_path)
    for seed in range(first, first + CHUNK):
        random = Random(seed)
        with opened("memory:") as (world, tables):
            happens(world, random)
            asked = moments(random)
            whole, root = exported(world.book), plan(world.book).root
            said = answers(world, tables, asked)
        with moved(whole, ledgers.url()) as (world, tables):
            assert plan(world.book).root == root
            assert answers(world, tables, asked) == said, f"seed {seed}"
            again = exported(world.book)
        assert again == whole
        with moved(again, "memory:") as (world, tables):
            assert answers(world, tables, asked) == said, f"seed {seed}"


def test_a_ledger_is_the_same_on_postgresql_and_back_on_sqlite(
    postgres_url: str, tmp_path: Path
) -> None:
    ledgers = SqliteLedgers(tmp_path)
    schema.upgrade(postgres_url)
    for seed in range(BY_WAY_OF_POSTGRES):
        random = Random(seed)
        with opened(ledgers.url()) as (world, tables):
            happens(world, random, things=20)
            asked = moments(random)
            whole, root = exported(world.book), plan(world.book).root
            said = answers(world, tables, asked)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(EMPTY)
        with moved(whole, postgres_url) as (world, tables):
            assert plan(world.book).root == root
            assert answers(world, tables, asked) == said, f"seed {seed}"
            again = exported(world.book)
        assert again == whole
        with moved(again, ledgers.url()) as (world, tables):
            assert answers(world, tables, asked) == said, f"seed {seed}"


def test_the_comparison_sees_a_single_seat_more(tmp_path: Path) -> None:
    random = Random(1)
    with opened("memory:") as (world, tables):
        happens(world, random)
        asked = moments(random)
        said = answers(world, tables, asked)
        happens(world, random, things=5)
        assert answers(world, tables, asked) != said
