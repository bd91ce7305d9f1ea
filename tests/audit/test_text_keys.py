"""Moving the keys of sealed text: readable after the move, and never again what was erased."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Program
from tests.worlds import rows

SECRET = "c2VjcmV0IG9mIHRoaXMgdGVzdCwgYW5kIG9mIG5vIG90aGVyIQ=="
OTHER_SECRET = "A" * 43 + "="


@pytest.fixture
def old(tmp_path: Path) -> Program:
    """Return the program with the demonstration's ledger on SQLite, exported to a file."""
    program = Program(tmp_path, {"KEYFOLD_SECRET": SECRET})
    program.done("demo")
    program.done("audit", "export", "ledger.jsonl")
    return program


@pytest.fixture
def new(old: Program) -> Program:
    """Return the program with the same events on another SQLite file, without any key."""
    (old.folder / "new").mkdir()
    program = Program(old.folder / "new", {"KEYFOLD_SECRET": SECRET})
    program.done("db", "upgrade")
    program.done("audit", "import", "../ledger.jsonl")
    return program


def labels(program: Program, account: str = "corner-bakery") -> list[str | None]:
    return [seat["label"] for seat in program.json("seats", "list", account)["items"]]


def test_labels_can_be_read_once_the_keys_are_there(old: Program, new: Program) -> None:
    here = labels(old)
    assert None not in here
    assert labels(new) == [None] * len(here)
    old.done("texts", "export", "keys.jsonl")
    told = new.done("texts", "import", "../keys.jsonl").out
    count = len((old.folder / "keys.jsonl").read_bytes().splitlines()) - 1
    assert told == f"taken in {count}, known already 0, left out as erased 0\n"
    assert labels(new) == here
    again = new.done("texts", "import", "../keys.jsonl").out
    assert again == f"taken in 0, known already {count}, left out as erased 0\n"


def test_they_move_to_postgresql_through_a_pipe(old: Program, postgres_url: str) -> None:
    settings = {"KEYFOLD_SECRET": SECRET, "KEYFOLD_DATABASE_URL": postgres_url}
    moved = Program(old.folder, settings)
    moved.done("db", "upgrade")
    moved.done("audit", "import", "ledger.jsonl")
    keys = old.done("texts", "export", "-").out
    moved.done("texts", "import", "-", stdin=keys)
    assert labels(moved) == labels(old)
    assert moved.done("texts", "export", "-").out == keys


def test_the_file_is_for_its_owner_alone_and_is_never_written_over(old: Program) -> None:
    old.done("texts", "export", "keys.jsonl")
    file = old.folder / "keys.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    ran = old.run("texts", "export", "keys.jsonl")
    assert (ran.code, ran.err) == (1, "io_error: File exists: keys.jsonl\n")


def test_no_key_lies_open_in_it_and_none_is_in_an_export(old: Program) -> None:
    lines = old.done("texts", "export", "-").out.splitlines()
    wrapped = [json.loads(line)["wrapped"] for line in lines[1:]]
    assert len(wrapped) > 5
    exported = (old.folder / "ledger.jsonl").read_text()
    assert not any(key in exported for key in wrapped)
    assert "account-corner-bakery" in {json.loads(line)["owner"] for line in lines[1:]}


def test_a_key_that_was_written_before_an_erasure_is_left_out_after_it(
    old: Program, new: Program
) -> None:
    old.done("texts", "export", "keys.jsonl")
    new.done("erase", "corner-bakery", "--reason", "Request 17")
    told = new.done("texts", "import", "../keys.jsonl").out
    assert told.endswith("left out as erased 1\n")
    assert set(labels(new)) == {None}
    assert None not in labels(new, "tea-house")


def test_what_was_sealed_after_an_erasure_can_be_moved(old: Program) -> None:
    old.done("erase", "corner-bakery", "--reason", "Request 17")
    old.done("seats", "occupy", "corner-bakery", "cloud_pos", "till-1", "--label", "Door")
    old.done("audit", "export", "later.jsonl")
    old.done("texts", "export", "keys.jsonl")
    (old.folder / "other").mkdir()
    other = Program(old.folder / "other", {"KEYFOLD_SECRET": SECRET})
    other.done("db", "upgrade")
    other.done("audit", "import", "../later.jsonl")
    assert other.done("texts", "import", "../keys.jsonl").out.endswith("left out as erased 0\n")
    assert "Door" in labels(other)


@dataclass(frozen=True)
class Bad:
    """A way to spoil the file of keys, and what is said of it."""

    name: str
    spoil: Callable[[list[Any]], list[Any]]
    sentence: str

    def __str__(self) -> str:
        return self.name


def first_line(**fields: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda lines: [lines[0] | fields, *lines[1:]]


def second_line(**fields: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda lines: [lines[0], lines[1] | fields, *lines[2:]]


BAD = [
    Bad("nothing", lambda _: [], "it is no file of text keys"),
    Bad("no header", lambda lines: lines[1:], "it is no file of text keys"),
    Bad("of later times", first_line(keyfold_text_keys=2), "it is of format 2"),
    Bad("cut off", lambda lines: lines[:-1], "it has "),
    Bad("another secret's", first_line(secret="kfs_x"), "its keys are wrapped under another"),
    Bad("no key", second_line(wrapped="AAAA"), "line 2 has no key that was wrapped for "),
    Bad("another's key", second_line(owner="account-x"), "line 2 has no key that was wrapped for "),
    Bad("no owner", second_line(owner=3), "line 2 is no key"),
    Bad("no time", second_line(created_at="2026-03-01T09:00:00"), "line 2 has no key"),
    Bad("some more", second_line(more=1), "line 2 is no key, or is cut off"),
]


@rows(BAD)
def test_a_bad_file_of_keys_is_one_sentence_and_changes_nothing(
    case: Bad, old: Program, new: Program
) -> None:
    lines = [json.loads(line) for line in old.done("texts", "export", "-").out.splitlines()]
    spoilt = "".join(json.dumps(line) + "\n" for line in case.spoil(lines))
    ran = new.run("texts", "import", "-", stdin=spoilt)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"bad_keys: standard input will not do: {case.sentence}"), ran.err
    assert ran.err.endswith("; nothing was changed\n")
    assert set(labels(new)) == {None}


def test_keys_come_after_the_events(old: Program) -> None:
    keys = old.done("texts", "export", "-").out
    (old.folder / "empty").mkdir()
    empty = Program(old.folder / "empty", {"KEYFOLD_SECRET": SECRET})
    empty.done("db", "upgrade")
    ran = empty.run("texts", "import", "-", stdin=keys)
    assert ran.code == 1
    assert "the ledger has no events yet" in ran.err


def test_an_owner_with_another_key_is_not_given_one(old: Program, new: Program) -> None:
    keys = old.done("texts", "export", "-").out
    new.done("seats", "occupy", "corner-bakery", "cloud_pos", "till-1", "--label", "Door")
    ran = new.run("texts", "import", "-", stdin=keys)
    assert ran.code == 1
    assert "the ledger has another key of account-corner-bakery; nothing was changed" in ran.err


def test_keys_of_another_secret_are_refused(old: Program) -> None:
    keys = old.done("texts", "export", "-").out
    (old.folder / "other").mkdir()
    other = Program(old.folder / "other", {"KEYFOLD_SECRET": OTHER_SECRET})
    other.done("db", "upgrade")
    other.done("audit", "import", "../ledger.jsonl")
    ran = other.run("texts", "import", "-", stdin=keys)
    assert ran.code == 1
    assert "its keys are wrapped under another secret than this ledger's" in ran.err
