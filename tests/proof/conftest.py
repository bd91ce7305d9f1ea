"""A ledger, its tables and what it signs with, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.store import schema
from tests.proof.ledgers import Ledger, opened


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger in each kind of store."""
    url = "memory:" if request.param == "memory" else _upgraded(request, tmp_path)
    with closing(opened(url)) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger in each kind of database."""
    with closing(opened(_upgraded(request, tmp_path))) as found:
        yield found


def _upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_ledger_url"))
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    return url
