"""A ledger and its tables on each database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.book import Book
from ledger.store import schema
from projections.lists.stores import Tables, open_tables


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty ledger."""
    if request.param == "memory":
        return "memory:"
    return _upgraded(request, tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of an empty ledger that several processes can open."""
    return _upgraded(request, tmp_path)


def _upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_ledger_url"))
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    return url


@pytest.fixture
def book(database_url: str) -> Iterator[Book]:
    with closing(Book(database_url)) as opened:
        yield opened


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    with closing(open_tables(database_url)) as opened:
        yield opened
