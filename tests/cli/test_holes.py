"""A ledger with an event missing in the middle: every check says so, and an export, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import Program
from tests.losing import lose


@pytest.fixture
def keyfold(tmp_path: Path) -> Program:
    """Return a ledger whose third event is gone."""
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    for _ in range(4):
        keyfold.done("tokens", "create", "--role", "admin")
    (file,) = tmp_path.glob("*.db")
    lose(f"sqlite:///{file}", 3)
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


@pytest.mark.parametrize("to", ["export.jsonl", "export.jsonl.gz", "-"])
def test_an_export_with_a_hole_says_what_is_missing(
    keyfold: Program, tmp_path: Path, to: str
) -> None:
    found = keyfold.done("audit", "export", to if to == "-" else str(tmp_path / to))
    assert "position 3 is missing" in found.err
    assert "cannot be imported" in found.err
    assert "Traceback" not in found.err


def test_an_export_of_a_part_without_the_hole_is_whole(keyfold: Program, tmp_path: Path) -> None:
    found = keyfold.run("audit", "export", str(tmp_path / "export.jsonl"), "--to", "2")
    assert (found.code, found.err) == (0, ""), found


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_verifying_without_a_kept_checkpoint_says_what_it_cannot_know(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    whole = Program(tmp_path)
    whole.done("db", "upgrade")
    whole.done("tokens", "create", "--role", "admin")
    kept = tmp_path / "kept.txt"
    whole.done("audit", "checkpoint", "-o", str(kept))
    whole.done("tokens", "create", "--role", "admin")
    blind, seeing = (
        whole.done("audit", "verify", *given, *more) for given in ((), ("--checkpoint", str(kept)))
    )
    if more:
        assert json.loads(blind.out)["kept_up_to"] == 0
        assert json.loads(seeing.out)["kept_up_to"] == 1
    else:
        assert "cannot tell whether newer events are missing" in blind.err
        assert "--checkpoint FILE" in blind.err
        assert "up to position 1" in seeing.out
        assert seeing.err == ""


def test_checking_the_tables_says_that_it_does_not_check_the_events(tmp_path: Path) -> None:
    whole = Program(tmp_path)
    whole.done("db", "upgrade")
    told = whole.done("db", "check").out
    assert "the schema is as it should be" in told
    assert "newest events" in told
    assert "keyfold audit verify --checkpoint FILE" in told
