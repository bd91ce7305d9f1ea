"""A ledger with an event missing in the middle: every check says so, and an export, too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import Program


@pytest.fixture
def keyfold(tmp_path: Path) -> Program:
    """Return a ledger whose third event is gone."""
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    for _ in range(4):
        keyfold.done("tokens", "create", "--role", "admin")
    (file,) = tmp_path.glob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?",
            ("keyfold_events",),
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM keyfold_events WHERE rowid = 3")
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()
    return keyfold


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (("replay", "--verify"), "position 3 is missing"),
        (("audit", "verify"), "there is no position 3"),
    ],
)
def test_a_check_names_the_position_that_is_missing(
    keyfold: Program, check: tuple[str, ...], said: str
) -> None:
    found = keyfold.run(*check)
    assert found.code == 1, found
    assert said in found.out + found.err
    assert "Traceback" not in found.err


def test_an_export_says_that_it_cannot_be_imported(keyfold: Program, tmp_path: Path) -> None:
    found = keyfold.run("audit", "export", str(tmp_path / "export.jsonl"))
    assert "position 3 is missing" in found.err
    assert "cannot be imported" in found.err
