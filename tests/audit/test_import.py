"""Taking in an export: all of it or nothing, whatever is wrong with it or comes between."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.import_ledger import BadExport, ImportedLedger, NotProved, import_ledger
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from ledger.book import Book
from ledger.proof.merkle import Frontier, leaf_hash
from ledger.store.bulk_load import Filling, LedgerNotEmpty, filling
from ledger.store.contract import Recorder, Row
from ledger.store.postgres.datastore import APPENDING
from tests.audit.ledgers import exported
from tests.worlds import NOON, context, issue, rows, services

Lines = list[bytes]
Event = dict[str, Any]
ROOT = Path(__file__).parents[2]


def take_in(world: Services, lines: Lines | Iterator[bytes]) -> ImportedLedger:
    return import_ledger(world, lines, now=NOON, on_events=lambda _events, _total: None)


def test_an_import_says_what_is_there_now(world: Services, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    header = json.loads(lines[0])
    streams = {json.loads(line)["subject"] for line in lines[1:]}
    seen: list[tuple[int, int]] = []
    imported = import_ledger(
        world, lines, now=NOON, on_events=lambda *counted: seen.append(counted)
    )
    assert imported[:4] == (header["last"], len(streams), header["root"], None)
    assert sum(events for events, _ in seen) == 2 * header["last"] == seen[0][1]
    assert exported(world.book) == whole


def test_it_goes_on_from_there(world: Services, whole: bytes) -> None:
    take_in(world, whole.splitlines(keepends=True))
    head = world.book.head()
    key = issue(world)
    redeem_key(world, context(), Try("newcomer", "s-new", key.code))
    occupy_seat(world, context(), Sitting("newcomer", "cloud_pos", None, "till-1"))
    assert world.book.head() == head + 5


def test_an_empty_ledger_can_be_moved_as_well(world: Services) -> None:
    nothing = exported(Book("memory:"))
    assert take_in(world, nothing.splitlines(keepends=True)).events == 0
    assert world.book.head() == 0


def test_many_pages_come_in_like_one(
    world: Services, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.import_ledger.PAGE_EVENTS", 3)
    monkeypatch.setattr("commands.import_ledger.STREAMS_AT_ONCE", 2)
    take_in(world, whole.splitlines(keepends=True))
    assert exported(world.book) == whole


def test_a_ledger_that_holds_events_takes_none_in(world: Services, whole: bytes) -> None:
    issue(world)
    before = exported(world.book)
    with pytest.raises(LedgerNotEmpty):
        take_in(world, whole.splitlines(keepends=True))
    assert exported(world.book) == before


# What is wrong with it


@dataclass(frozen=True)
class Bad:
    """A way to spoil an export, and how the sentence about it begins and goes on."""

    name: str
    spoil: Callable[[Lines], Lines]
    sentence: str

    def __str__(self) -> str:
        return self.name


def changed(place: int, change: Callable[[Event], object], *, reroot: bool = False) -> Any:
    """Spoil one line; the others are left alone, and the root only if asked for."""

    def spoil(lines: Lines) -> Lines:
        event = json.loads(lines[place])
        change(event)
        lines[place] = json.dumps(event, ensure_ascii=False).encode() + b"\n"
        return rerooted(lines) if reroot else lines

    return spoil


def rerooted(lines: Lines) -> Lines:
    """Give an export the root of what is in it, as a forger would."""
    tree = Frontier()
    for line in lines[1:]:
        event = json.loads(line)
        state = base64.b64decode(event["data_base64"])
        tree.append(leaf_hash(event["subject"], event["keyfoldversion"], event["type"], state))
    header = json.loads(lines[0])
    header |= {"root": base64.b64encode(tree.root()).decode(), "last": len(lines) - 1}
    return [json.dumps(header).encode() + b"\n", *lines[1:]]


def renumbered(lines: Lines) -> Lines:
    numbered = [lines[0]]
    for position, line in enumerate(lines[1:], start=1):
        numbered.append(json.dumps({**json.loads(line), "id": str(position)}).encode() + b"\n")
    return rerooted(numbered)


def state(change: Callable[[Event], object]) -> Callable[[Event], None]:
    """Change something in an event's state."""

    def in_state(event: Event) -> None:
        inner = json.loads(base64.b64decode(event["data_base64"]))
        change(inner)
        event["data_base64"] = base64.b64encode(json.dumps(inner).encode()).decode()

    return in_state


def without(field: str) -> Callable[[Event], object]:
    return lambda event: event.pop(field)


def having(**fields: Any) -> Callable[[Event], object]:
    return lambda event: event.update(fields)


def swapped(lines: Lines) -> Lines:
    lines[3], lines[4] = lines[4], lines[3]
    return lines


def last_of_a_long_stream(lines: Lines) -> int:
    """Return the line of the last event of the first stream that has several."""
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines[1:], start=1):
        places.setdefault(json.loads(line)["subject"], []).append(place)
    return next(several[-1] for several in places.values() if len(several) > 1)


def versions_that_skip(lines: Lines) -> Lines:
    place = last_of_a_long_stream(lines)
    version = json.loads(lines[place])["keyfoldversion"]
    return rerooted(changed(place, having(keyfoldversion=version + 1))(lines))


def stream_without_a_beginning(lines: Lines) -> Lines:
    stream = json.loads(lines[last_of_a_long_stream(lines)])["subject"]
    first = f'"subject":"{stream}"'.encode(), b'"keyfoldversion":1,'
    return renumbered([line for line in lines if not all(part in line for part in first)])


def the_same_version_twice(lines: Lines) -> Lines:
    return renumbered([*lines, lines[1]])


def on_another_clock(lines: Lines) -> Lines:
    return changed(5, state(lambda inner: inner.update(test_clock=True)))(lines)


BAD = [
    Bad("nothing at all", lambda _: [], "it is empty"),
    Bad("no header", lambda lines: lines[1:], "it does not begin with an export's header"),
    Bad("some other text", lambda _: [b"hello\n"], "it does not begin with an export's header"),
    Bad("bytes", lambda _: [b"\xff\xfe\n"], "it does not begin with an export's header"),
    Bad("half a header", lambda lines: [lines[0][:30]], "it does not begin with an"),
    Bad("a header and no more", lambda lines: [lines[0].strip()], "it is cut off in its header"),
    Bad("of later times", changed(0, having(keyfold_export=2)), "it is of format 2"),
    Bad("from the middle", changed(0, having(first=7)), "it begins at position 7"),
    Bad("an odd range", changed(0, having(last=-5)), "its header has events 1 to -5"),
    Bad("no root", changed(0, having(root=None)), "its header has no root"),
    Bad("half a root", changed(0, having(root="AAAA")), "its header has no root"),
    Bad("another root", changed(0, having(root="A" * 43 + "=")), "its events do not give the root"),
    Bad("the tail cut off", lambda lines: lines[:-3], "it is cut off: it ends after position"),
    Bad(
        "a line cut in half",
        lambda lines: [*lines[:7], lines[7][: len(lines[7]) // 2]],
        "it is cut off in the line of position 7",
    ),
    Bad("a line twice", lambda lines: [*lines[:4], *lines[3:]], "position 3 is where position 4"),
    Bad("two swapped", swapped, "position 4 is where position 3 belongs"),
    Bad("one missing", lambda lines: [*lines[:4], *lines[5:]], "position 5 is where position 4"),
    Bad("more than promised", lambda lines: [*lines, lines[-1]], "it goes on after position"),
    Bad(
        "an empty line", lambda lines: [*lines[:3], b"\n", *lines[3:]], "the line where position 3"
    ),
    Bad(
        "a field missing", changed(3, without("subject")), "the line where position 3 belongs is no"
    ),
    Bad("a field more", changed(3, having(more=1)), "the line where position 3 belongs is no"),
    Bad("another format", changed(3, having(specversion="2.0")), "the line where position 3"),
    Bad("no number", changed(3, having(id="three")), "the line where position 3 belongs has no"),
    Bad("a long number", changed(3, having(id="9" * 5000)), "the line where position 3 belongs"),
    Bad("no base64", changed(3, having(data_base64="!")), "the line where position 3 belongs is"),
    Bad("version 0", changed(3, having(keyfoldversion=0)), "the line where position 3 belongs has"),
    Bad(
        "another time",
        changed(3, having(time="2020-01-01T00:00:00Z")),
        "the line where position 3 belongs has another time",
    ),
    Bad("an unknown name", changed(3, having(type="key.lost@1")), "position 3 holds 'key.lost@1'"),
    Bad(
        "an unknown kind", changed(3, having(subject="till-1")), "position 3 is of an unknown kind"
    ),
    Bad("no stream", changed(3, having(subject="key-\x00")), "position 3 is of an unknown kind"),
    Bad(
        "a name of another kind",
        changed(3, having(subject="account-acme")),
        "position 3 has '",
    ),
    Bad(
        "a state that is none",
        changed(3, state(lambda inner: inner.pop("fact"))),
        "position 3 has a state that is none",
    ),
    Bad("a state on another clock", on_another_clock, "position 5 is on another clock"),
    Bad(
        "another actor, and no other root",
        changed(2, state(lambda inner: inner.update(actor="somebody"))),
        "its events do not give the root in its header: it was changed",
    ),
    Bad("a version skipped, and a root for it", versions_that_skip, "position "),
    Bad("a stream without its first, and a root for it", stream_without_a_beginning, "position "),
    Bad("a version twice, and a root for it", the_same_version_twice, "between positions 1 and "),
]


@rows(BAD)
def test_what_does_not_fit_is_told_in_a_sentence_and_nothing_is_changed(
    case: Bad, world: Services, whole: bytes
) -> None:
    with pytest.raises(BadExport) as caught:
        take_in(world, case.spoil(whole.splitlines(keepends=True)))
    assert str(caught.value).startswith(case.sentence)
    assert "\n" not in str(caught.value)
    assert world.book.head() == 0
    assert take_in(world, whole.splitlines(keepends=True)).events == world.book.head()


def test_the_version_that_does_not_follow_is_named(world: Services, whole: bytes) -> None:
    lines = whole.splitlines(keepends=True)
    place = last_of_a_long_stream(lines)
    last = json.loads(lines[place])
    with pytest.raises(BadExport) as caught:
        take_in(world, versions_that_skip(lines))
    version = last["keyfoldversion"]
    assert str(caught.value) == (
        f"position {place} is version {version + 1} of '{last['subject']}',"
        f" where version {version} belongs"
    )


# What comes between


def test_what_fails_in_the_middle_leaves_nothing(world: Services, whole: bytes) -> None:
    def broken() -> Iterator[bytes]:
        yield from whole.splitlines(keepends=True)[:9]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        take_in(world, broken())
    assert world.book.head() == 0
    issue(world)


class Forgetful:
    """A filling that has lost the first event, as far as its stream is concerned."""

    def __init__(self, filled: Filling) -> None:
        self._filled = filled
        self.add, self.read_from = filled.add, filled.read_from
        self.insert, self.count, self.end_restore = filled.insert, filled.count, filled.end_restore

    def read_streams(self, streams: Sequence[str]) -> list[Row]:
        return [row for row in self._filled.read_streams(streams) if row.position != 1]


def test_a_database_that_gives_back_something_else_is_not_believed(
    world: Services, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def forgetful(store: Recorder) -> Iterator[Filling]:
        with filling(store) as filled:
            yield Forgetful(filled)

    monkeypatch.setattr("commands.import_ledger.filling", forgetful)
    with pytest.raises(NotProved):
        take_in(world, whole.splitlines(keepends=True))
    assert world.book.head() == 0


def test_nobody_else_can_write_meanwhile(
    stored: Services, database_url: str, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.book.APPEND_TRIES_MAX", 1)
    monkeypatch.setattr("ledger.store.sqlite.patience.BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setitem(APPENDING, "lock_timeout", "50ms")
    other = services(Book(database_url), seed=1)
    lines = whole.splitlines(keepends=True)
    refused: list[str] = []

    def watched() -> Iterator[bytes]:
        yield from lines[:5]
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the database's affair
            issue(other)
        refused.append(type(caught.value).__name__)
        yield from lines[5:]

    take_in(stored, watched())
    assert refused == ["LedgerUnavailable"]
    assert exported(stored.book) == whole
    issue(other)
    other.book.close()


_SLOW_IMPORT = """
import sys
from commands.import_ledger import import_ledger
from ledger.book import Book
from tests.worlds import NOON, services

def lines():
    for number, line in enumerate(sys.stdin.buffer):
        if number == int(sys.argv[2]):
            print("halfway", flush=True)
            sys.stdin.buffer.read()
        yield line

import commands.import_ledger
commands.import_ledger.PAGE_EVENTS = 4
import_ledger(services(Book(sys.argv[1])), lines(), now=NOON, on_events=lambda a, b: None)
"""


def test_an_import_that_is_killed_leaves_an_empty_ledger(
    stored: Services, database_url: str, whole: bytes
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW_IMPORT, database_url, "30"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(whole)
    process.stdin.flush()
    assert process.stdout.readline() == b"halfway\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert stored.book.head() == 0
    take_in(stored, whole.splitlines(keepends=True))
    assert exported(stored.book) == whole
