"""A ledger that is exported and imported is the same ledger: a thousand random ones.

Each is made in one database and moved into the other, from SQLite to PostgreSQL and from PostgreSQL
to SQLite in turn, and from there back into memory. After each move it has the same root, and the
same answer to every question at twenty moments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest

from commands.import_ledger import import_ledger
from commands.services import Services
from ledger.book import Book
from projections.audit.export import plan
from projections.lists.stores import Tables, open_tables
from tests.audit.ledgers import SqliteLedgers, answers, exported, happens, moments
from tests.proof.stripe_stories import StripeStory
from tests.worlds import NOON, services

LEDGERS = 1_000
CHUNK = 10
IN_EVERY_RUN = 10
THINGS = 30

TRIGGERS = """
    SELECT tgrelid::regclass::text, quote_ident(tgname) FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'keyfold_%'
"""
TABLES = """
    SELECT tablename FROM pg_tables
    WHERE tablename LIKE 'keyfold_%' AND tablename <> 'keyfold_schema'
"""


def empty(url: str) -> str:
    """Take a PostgreSQL back to an empty ledger; only an owner who disables the triggers can."""
    with psycopg.connect(url) as session:
        triggers = session.execute(TRIGGERS).fetchall()
        for table, trigger in triggers:
            session.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        for (table,) in session.execute(TABLES).fetchall():
            session.execute(f"DELETE FROM {table}")
        for table, trigger in triggers:
            session.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    return url


@contextmanager
def opened(url: str) -> Iterator[tuple[Services, Tables]]:
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        yield services(book), tables


@contextmanager
def moved(whole: bytes, url: str) -> Iterator[tuple[Services, Tables]]:
    """Import an export into the empty ledger at an address."""
    with opened(url) as (world, tables):
        imported = import_ledger(
            world, whole.splitlines(keepends=True), now=NOON, on_events=nobody_looks
        )
        assert imported.events == world.book.head()
        yield world, tables


def nobody_looks(_events: int, _total: int) -> None:
    pass


@pytest.mark.parametrize(
    "first",
    # The first ten in every run; all thousand with `./dev test -m long`.
    [
        pytest.param(first, marks=[pytest.mark.long] if first >= IN_EVERY_RUN else [])
        for first in range(0, LEDGERS, CHUNK)
    ],
)
def test_a_ledger_is_the_same_in_the_other_database(
    first: int, postgres_ledger_url: str, tmp_path: Path
) -> None:
    sqlite = SqliteLedgers(tmp_path)
    for seed in range(first, first + CHUNK):
        random = Random(seed)
        databases = [sqlite.url(), empty(postgres_ledger_url)]
        one, other = databases if seed % 2 else reversed(databases)
        with opened(one) as (world, tables):
            StripeStory(world, random).go_on(THINGS)
            asked = moments(random)
            whole, root = exported(world.book), plan(world.book).root
            said = answers(world, tables, asked)
        for url in (other, "memory:"):
            with moved(whole, url) as (world, tables):
                assert plan(world.book).root == root
                assert answers(world, tables, asked) == said, f"seed {seed}"
                assert exported(world.book) == whole


def test_the_comparison_sees_a_single_seat_more(tmp_path: Path) -> None:
    random = Random(1)
    with opened("memory:") as (world, tables):
        happens(world, random)
        asked = moments(random)
        said = answers(world, tables, asked)
        happens(world, random, things=5)
        assert answers(world, tables, asked) != said
