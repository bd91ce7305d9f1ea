"""An empty ledger that several processes can open."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.store import schema
from web.app.services import Wiring, wire
from web.app.settings import read_settings


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the settings of an empty ledger that several processes can open."""
    url = (
        f"sqlite:///{tmp_path}/race.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_ledger_url")
    )
    schema.upgrade(url)
    return {
        "KEYFOLD_DATABASE_URL": url,
        "KEYFOLD_SECRET": base64.b64encode(b"r" * 32).decode(),
    }


@pytest.fixture
def wiring(environ: dict[str, str]) -> Iterator[Wiring]:
    wired = wire(read_settings(environ))
    yield wired
    wired.close()
