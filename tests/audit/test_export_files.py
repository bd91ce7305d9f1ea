"""Exports as files: plain and compressed, in ranges, carried on with; and taken in again."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import KEYFOLD, Program
from tests.worlds import rows
from web.cli import compressed_files

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NAMES = ("ledger.jsonl", "ledger.jsonl.gz", "ledger.jsonl.zst")
SECRET = "A" * 43 + "="

each_format = pytest.mark.parametrize("name", NAMES)


def unpacked(file: Path) -> bytes:
    """Return a file's content, by the standard library alone where it can."""
    content = file.read_bytes()
    match file.suffix:
        case ".gz":
            return gzip.decompress(content)
        case ".zst":
            return zstd.decompress(content)
    return content


def lines_of(file: Path) -> list[Any]:
    return [json.loads(line) for line in unpacked(file).splitlines()]


@pytest.fixture
def head(filled: Program) -> int:
    return len(unpacked_export(filled).splitlines()) - 1


def unpacked_export(program: Program) -> bytes:
    return program.done("audit", "export", "-").out.encode()


def another(folder: Path, **settings: str) -> Program:
    """Return the program with an empty ledger somewhere else."""
    folder.mkdir()
    program = Program(folder, settings)
    program.done("db", "upgrade")
    return program


# Export


@each_format
def test_the_file_says_what_is_in_it_and_every_line_is_an_event(filled: Program, name: str) -> None:
    said = filled.done("audit", "export", name).out
    header, *events = lines_of(filled.folder / name)
    assert said == f"exported positions 1 to {len(events)}, root {header['root']}\n"
    assert (header["keyfold_export"], header["first"], header["last"]) == (1, 1, len(events))
    assert [event["id"] for event in events] == [str(n) for n in range(1, len(events) + 1)]
    assert {event["specversion"] for event in events} == {"1.0"}
    assert not list(filled.folder.glob("*.part"))


def test_the_same_ledger_makes_the_same_file(filled: Program) -> None:
    for name in NAMES:
        filled.done("audit", "export", name)
        before = (filled.folder / name).read_bytes()
        filled.done("audit", "export", name)
        assert (filled.folder / name).read_bytes() == before


@each_format
def test_files_and_standard_output_hold_the_same_lines(filled: Program, name: str) -> None:
    filled.done("audit", "export", name)
    assert unpacked(filled.folder / name) == unpacked_export(filled)


def test_the_compression_can_be_chosen(filled: Program) -> None:
    filled.done("audit", "export", "plain.gz", "--compress", "none")
    filled.done("audit", "export", "packed", "--compress", "zst")
    whole = unpacked_export(filled)
    assert (filled.folder / "plain.gz").read_bytes() == whole
    assert zstd.decompress((filled.folder / "packed").read_bytes()) == whole


def test_a_range_has_its_events_and_no_root_unless_it_begins_at_1(
    filled: Program, head: int
) -> None:
    said = filled.done("audit", "export", "some.jsonl", "--from", "5", "--to", "8").out
    assert said == "exported positions 5 to 8\n"
    header, *events = lines_of(filled.folder / "some.jsonl")
    assert (header["first"], header["last"], header["root"]) == (5, 8, None)
    assert [event["id"] for event in events] == ["5", "6", "7", "8"]
    filled.done("audit", "export", "first.jsonl", "--to", "4")
    filled.done("audit", "export", "rest.jsonl", "--from", "9")
    parts = [lines_of(filled.folder / f"{name}.jsonl")[1:] for name in ("first", "some", "rest")]
    assert [e for part in parts for e in part] == [
        json.loads(line) for line in unpacked_export(filled).splitlines()[1:]
    ]


def test_nothing_is_exported_of_what_is_not_there(filled: Program, head: int) -> None:
    ran = filled.run("audit", "export", "x.jsonl", "--to", str(head + 1))
    assert (ran.code, ran.out) == (1, "")
    sentence = f"the ledger has {head} events, and none at position {head + 1}"
    assert ran.err == f"no_such_range: {sentence}\n"
    assert filled.run("audit", "export", "x.jsonl", "--from", "9", "--to", "3").code == 1
    assert not (filled.folder / "x.jsonl").exists()


def test_an_empty_ledger_makes_a_header(keyfold: Program) -> None:
    assert keyfold.done("audit", "export", "e.jsonl").out == (
        "exported nothing: the ledger is empty\n"
    )
    (header,) = lines_of(keyfold.folder / "e.jsonl")
    assert (header["first"], header["last"]) == (1, 0)


def test_what_cannot_be_written_is_told_in_a_line(filled: Program) -> None:
    ran = filled.run("audit", "export", "nowhere/x.jsonl")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "io_error: No such file or directory: nowhere/x.jsonl.part\n"


# Carrying on


def cut(file: Path, whole: bytes, part: float) -> None:
    """Leave of a file what an interruption would."""
    compressed_files.part_of(file).write_bytes(whole[: int(len(whole) * part)])
    file.unlink(missing_ok=True)


@each_format
@pytest.mark.parametrize("part", [0, 0.0005, 0.3, 0.62, 0.999, 1])
def test_an_export_that_was_interrupted_is_carried_on_with(
    filled: Program, name: str, part: float
) -> None:
    many = filled.run("audit", "export", name)
    assert many.code == 0
    file = filled.folder / name
    whole = file.read_bytes()
    cut(file, whole, part)
    said = filled.done("audit", "export", name, "--resume").out
    assert unpacked(file) == unpacked_export(filled)
    assert said == many.out
    assert not compressed_files.part_of(file).exists()


@each_format
def test_it_ends_where_it_was_meant_to_when_it_was_begun(filled: Program, name: str) -> None:
    filled.done("audit", "export", name)
    file = filled.folder / name
    whole = file.read_bytes()
    cut(file, whole, 0.8)
    filled.done("tokens", "create", "--role", "portal")
    filled.done("audit", "export", name, "--resume")
    assert unpacked(file) == unpacked_of(whole, file)


def unpacked_of(content: bytes, file: Path) -> bytes:
    copy = file.with_name(f"copy-{file.name}")
    copy.write_bytes(content)
    return unpacked(copy)


def test_without_resume_it_is_begun_again(filled: Program) -> None:
    file = filled.folder / "ledger.jsonl"
    compressed_files.part_of(file).write_bytes(b"something else")
    filled.done("audit", "export", file.name)
    assert file.read_bytes() == unpacked_export(filled)


def test_with_nothing_to_carry_on_it_is_begun(filled: Program) -> None:
    filled.done("audit", "export", "ledger.jsonl", "--resume")
    assert (filled.folder / "ledger.jsonl").read_bytes() == unpacked_export(filled)


def test_another_ledgers_export_is_not_carried_on_with(filled: Program, tmp_path: Path) -> None:
    other = another(tmp_path / "other")
    other.done("demo")
    other.done("audit", "export", "ledger.jsonl")
    part = compressed_files.part_of(filled.folder / "ledger.jsonl")
    half = (other.folder / "ledger.jsonl").read_bytes()[:9000]
    part.write_bytes(half)
    ran = filled.run("audit", "export", "ledger.jsonl", "--resume")
    assert ran.code == 1
    assert ran.err.startswith("other_export: ")
    assert part.read_bytes() == half[: half.rfind(b"\n") + 1]


def test_a_damaged_beginning_is_not_carried_on_with(filled: Program) -> None:
    part = compressed_files.part_of(filled.folder / "ledger.jsonl")
    lines = unpacked_export(filled).splitlines(keepends=True)
    for damaged in (
        [*lines[:7], lines[8]],
        [*lines[:7], lines[6]],
        [*lines[:3], b"{}\n"],
        [*lines, lines[-1]],
        lines[1:],
    ):
        part.write_bytes(b"".join(damaged))
        ran = filled.run("audit", "export", "ledger.jsonl", "--resume")
        assert ran.code == 1
        assert ran.err.startswith(("other_export: What was begun", "bad_export: ")), ran.err
        assert part.read_bytes() == b"".join(damaged)


def test_standard_output_cannot_be_carried_on_with(filled: Program) -> None:
    assert filled.run("audit", "export", "-", "--resume").code == 2


def test_two_do_not_write_the_same_file_at_once(filled: Program) -> None:
    file = filled.folder / "ledger.jsonl"
    with compressed_files.writing(file):
        ran = filled.run("audit", "export", file.name)
    assert ran.code == 1
    assert ran.err == "file_busy: ledger.jsonl.part is being written by somebody else\n"


def test_who_stops_reading_standard_output_ends_it_in_silence(filled: Program) -> None:
    line = f"{' '.join(KEYFOLD)} audit export - | head -c 10"
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=filled.folder,
        env=filled.environ(),
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b'{"keyfold_', b"")


# Import


@each_format
def test_what_was_exported_is_imported_elsewhere(
    filled: Program, tmp_path: Path, name: str
) -> None:
    filled.done("audit", "export", name)
    other = another(tmp_path / "other")
    copy_secret(filled, other)
    said = other.done("audit", "import", str(filled.folder / name))
    header, *events = lines_of(filled.folder / name)
    streams = len({event["subject"] for event in events})
    assert said.out == (
        f"imported {len(events)} events in {streams} streams, root {header['root']}\n"
    )
    assert said.err.startswith("note: not checked: ")
    assert unpacked_export(other) == unpacked(filled.folder / name)
    when = ("--as-of", "2027-01-01T00:00:00Z", "--known-at", "2027-01-01T00:00:00Z")
    for account in ("corner-bakery", "harbour-hotel"):
        here = filled.json("subscriptions", account, *when, "--all")
        assert other.json("subscriptions", account, *when, "--all") == here
    assert other.json("keys", "list") == filled.json("keys", "list")


def copy_secret(one: Program, other: Program) -> None:
    (other.folder / "keyfold.secret").write_bytes((one.folder / "keyfold.secret").read_bytes())


def test_it_moves_from_sqlite_to_postgresql_through_a_pipe(
    filled: Program, tmp_path: Path, postgres_url: str
) -> None:
    secret = (filled.folder / "keyfold.secret").read_text().strip()
    moved = another(tmp_path / "moved", KEYFOLD_DATABASE_URL=postgres_url, KEYFOLD_SECRET=secret)
    whole = unpacked_export(filled)
    moved.done("audit", "import", "-", stdin=whole.decode())
    assert unpacked_export(moved) == whole
    assert moved.done("replay", "--verify").code == 0
    code = filled.json("keys", "list")["items"][0]["id"]
    assert moved.json("keys", "show", code) == filled.json("keys", "show", code)


def test_another_secret_is_told(filled: Program, tmp_path: Path) -> None:
    filled.done("audit", "export", "ledger.jsonl")
    other = another(tmp_path / "other", KEYFOLD_SECRET=SECRET)
    said = other.done("audit", "import", str(filled.folder / "ledger.jsonl"))
    assert said.err == (
        "note: this ledger has another secret than the exported one:"
        " its codes, tokens and sealed texts do not work here\n"
    )


def test_a_ledger_with_events_takes_nothing_in(filled: Program) -> None:
    before = unpacked_export(filled)
    filled.done("audit", "export", "ledger.jsonl")
    ran = filled.run("audit", "import", "ledger.jsonl")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "ledger_not_empty: The ledger holds events already, and an import needs an empty one:"
        " name another in KEYFOLD_DATABASE_URL; nothing was changed\n"
    )
    assert unpacked_export(filled) == before


@dataclass(frozen=True)
class Spoilt:
    """A way to spoil a file, and what is said of it."""

    name: str
    spoil: Callable[[bytes], bytes]
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}, {self.sentence[:40]}"


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes, place: int = -5) -> bytes:
    place %= len(content)
    return content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


def line_twice(content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    return b"".join([*lines[:9], lines[8], *lines[9:]])


SPOILT = [
    Spoilt("x.jsonl", half, "it is cut off in the line of position"),
    Spoilt("x.jsonl.gz", half, "it is cut off: its compression does not come to an end"),
    Spoilt("x.jsonl.zst", half, "it is cut off: its compression does not come to an end"),
    Spoilt("x.jsonl.gz", flipped, "it is damaged: "),
    Spoilt("x.jsonl.zst", flipped, "it is damaged: "),
    Spoilt("x.jsonl.gz", lambda _: b"hello\n", "it is named .gz, and is not of that format"),
    Spoilt("x.jsonl.zst", gzip.compress, "it is named .zst, and is not of that format"),
    Spoilt("x.jsonl", line_twice, "position 8 is where position 9 belongs"),
    Spoilt("x.jsonl", lambda _: b"", "it is empty"),
    Spoilt("x.jsonl.gz", lambda _: b"", "it is empty"),
    Spoilt("x.jsonl", lambda _: b"%PDF-1.4\n", "it does not begin with an export's header"),
    Spoilt("x.jsonl", lambda _: b" " * 70_000_000, "it has a line without an end"),
]


@pytest.mark.parametrize("name", NAMES)
def test_one_bit_in_the_middle_is_seen(filled: Program, tmp_path: Path, name: str) -> None:
    filled.done("audit", "export", name)
    other = another(tmp_path / "other")
    content = (filled.folder / name).read_bytes()
    (other.folder / name).write_bytes(flipped(content, len(content) // 2))
    ran = other.run("audit", "import", name)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"bad_export: {name} will not do: ")
    assert ran.err.count("\n") == 1


@rows(SPOILT)
def test_a_bad_file_is_one_sentence_and_changes_nothing(
    case: Spoilt, filled: Program, tmp_path: Path
) -> None:
    filled.done("audit", "export", case.name)
    other = another(tmp_path / "other")
    bad = other.folder / case.name
    bad.write_bytes(case.spoil((filled.folder / case.name).read_bytes()))
    ran = other.run("audit", "import", case.name)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"bad_export: {case.name} will not do: {case.sentence}"), ran.err
    assert ran.err.endswith("; nothing was changed\n")
    assert ran.err.count("\n") == 1
    assert other.done("audit", "import", str(filled.folder / case.name)).code == 0


def test_a_file_that_is_not_there_is_told_in_a_line(keyfold: Program) -> None:
    ran = keyfold.run("audit", "import", "nowhere.jsonl")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "io_error: No such file or directory: nowhere.jsonl\n"


def test_an_interrupted_import_leaves_an_empty_ledger(filled: Program, tmp_path: Path) -> None:
    whole = unpacked_export(filled)
    other = another(tmp_path / "other")
    process = subprocess.Popen(
        [*KEYFOLD, "audit", "import", "-"],
        cwd=other.folder,
        env=other.environ(),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    # More than a pipe holds: when all is written, the program has begun to read.
    assert len(whole) > 70_000
    process.stdin.write(whole[:-1000])
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said.strip()) == (130, b"")
    assert other.done("audit", "import", "-", stdin=whole.decode()).code == 0
