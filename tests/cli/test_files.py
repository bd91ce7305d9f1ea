"""The files that the program makes are for their owner alone, whatever the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {
        file.name: oct(stat.S_IMODE(file.stat().st_mode))
        for file in folder.iterdir()
        if file.is_file()
    }


@pytest.mark.usefixtures("no_umask")
def test_ledger_secret_and_export_are_for_their_owner_alone(bare: Program) -> None:
    bare.done("db", "upgrade")
    bare.done("keys", "issue", "--product=cloud_pos", "--seats=1", "--months=1", "--reseller=North")
    for name in ("ledger.jsonl", "ledger.jsonl.gz", "ledger.jsonl.zst"):
        bare.done("audit", "export", name)
    with bare.served():
        found = modes(bare.folder)
    found.pop("stderr.log")
    assert {"keyfold.db", "keyfold.db-wal", "keyfold.db-shm"} <= set(found)
    assert {name: mode for name, mode in found.items() if mode != "0o600"} == {}
