"""Empty ledgers in each kind of store, and one export to take in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from commands.services import Services
from ledger.book import Book
from ledger.store import schema
from projections.lists.stores import Tables, open_tables
from tests.audit.ledgers import exported, happens
from tests.cli.conftest import _empty_ledger, _filled_ledger, bare, filled, keyfold
from tests.web.api import Api, memory_api
from tests.worlds import services


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty ledger."""
    return "memory:" if request.param == "memory" else _upgraded(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty ledger in a database."""
    return _upgraded(request, tmp_path)


def _upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_ledger_url"))
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    return url


@pytest.fixture
def world(url: str) -> Iterator[Services]:
    """Return what commands work with, on an empty ledger in each kind of store."""
    with closing(Book(url)) as book:
        yield services(book)


@pytest.fixture
def stored(database_url: str) -> Iterator[Services]:
    """Return what commands work with, on an empty ledger in each kind of database."""
    with closing(Book(database_url)) as book:
        yield services(book)


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    """Return the tables of `stored`."""
    with closing(open_tables(database_url)) as opened:
        yield opened


@pytest.fixture(scope="session")
def whole() -> bytes:
    """Return the export of a ledger that some things have happened to."""
    world = services(seed=7)
    happens(world, Random(7), things=60)
    return exported(world.book)


@pytest.fixture
def api() -> Api:
    """Return the API over an empty ledger in memory."""
    return memory_api()


__all__ = ["_empty_ledger", "_filled_ledger", "bare", "filled", "keyfold"]
