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


def test_files_that_were_open_to_others_are_warned_of_and_taken_back(bare: Program) -> None:
    bare.done("db", "upgrade")
    bare.done("keys", "issue", "--product=cloud_pos", "--seats=1", "--months=1", "--reseller=North")
    (bare.folder / "keyfold.db").chmod(0o644)
    (bare.folder / "keyfold.secret").chmod(0o640)
    with bare.served():
        said = (bare.folder / "stderr.log").read_text()
    for name, mode in (("keyfold.db", "0644"), ("keyfold.secret", "0640")):
        assert f"{name} is open to others than its owner (mode {mode})" in said
    told = bare.done("db", "upgrade").out
    assert "took keyfold.db from all but its owner" in told
    assert "took keyfold.secret from all but its owner" in told
    found = modes(bare.folder)
    assert (found["keyfold.db"], found["keyfold.secret"]) == ("0o600", "0o600")
    assert "took" not in bare.done("db", "upgrade").out
    with bare.served():
        assert "is open to others" not in (bare.folder / "stderr.log").read_text()
