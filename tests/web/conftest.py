"""What the tests of the API stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.api import Api, memory_api, stored_api


@pytest.fixture
def api() -> Api:
    """Return the API over an empty ledger in memory."""
    return memory_api()


@pytest.fixture(scope="module")
def shared() -> Api:
    """Return the API over a ledger in memory that a file's tests share; for those who only look."""
    return memory_api(position_wait_s=0)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def any_api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Api]:
    """Return the API over an empty ledger in each kind of store."""
    match request.param:
        case "memory":
            yield memory_api()
        case "sqlite":
            with stored_api(f"sqlite:///{tmp_path}/keyfold.db") as stored:
                yield stored
        case "postgres":
            with stored_api(request.getfixturevalue("postgres_ledger_url")) as stored:
                yield stored


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of each kind of database; `stored_api` makes its tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keyfold.db"
    url: str = request.getfixturevalue("postgres_ledger_url")
    return url
