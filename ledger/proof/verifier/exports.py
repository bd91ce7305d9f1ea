"""Exports: a header, then a CloudEvent a line; and backups, which have one in their middle."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ledger.proof.verifier.formats import NUMBER, Unchecked, Wrong
from ledger.proof.verifier.signed_notes import from_base64
from ledger.proof.verifier.tree import hash_leaf

FORMAT = 1
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BACKUP, BESIDE = b'{"keyfold_backup":', b'{"table":'  # its first line, and rows beside the events
LINE_BYTES_MAX = 64 * 1024 * 1024  # as `keyfold audit import` has it
# An event holds digests, which do not shrink: an export is 5 to 20 times its gzip, never this much.
EXPANSION_MAX = 100
CONSTANT = {"specversion": "1.0", "source": "/keyfold", "datacontenttype": "application/json"}


class ExportedEvent(NamedTuple):
    """One event as the export has it; `time` is as it stands beside the state."""

    position: int
    stream: str
    version: int
    name: str
    state: bytes
    time: str | None

    def leaf(self) -> bytes:
        """Return the hash of its four fields, each after its length in four bytes."""
        texts = (self.stream.encode(), str(self.version).encode(), self.name.encode(), self.state)
        return hash_leaf(b"".join(len(text).to_bytes(4, "big") + text for text in texts))


class Export:
    """One or several files that follow on each other, read as one; each time from the start."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.problems: list[str] = []
        self.roots: list[tuple[str, int, bytes]] = []
        self.forks: list[tuple[str, int, int]] = []

    def __iter__(self) -> Iterator[ExportedEvent]:
        """Return the events; what is out of order on the way is put into `problems`."""
        self.problems, self.roots, self.forks = [], [], []
        expected = 1
        for name in self.names:
            with open_lines(name) as lines:
                numbered = lines_of_export(name, enumerate(lines, start=1))
                first, last = self._header(name, next(numbered, (1, b""))[1], expected)
                seen = first - 1
                for number, line in numbered:
                    event = read_event(f"{name}, line {number}", line)
                    self._hold_to_place(name, event.position, seen + 1)
                    seen = event.position
                    yield event
            if seen != last:
                self.problems.append(f"{name} ends after position {seen}; its header says {last}")
            expected = last + 1

    def _header(self, name: str, line: bytes, expected: int) -> tuple[int, int]:
        try:
            header = json.loads(line)
            version, first, last = header["keyfold_export"], header["first"], header["last"]
            root, fork = header.get("root"), header.get("fork")
            if fork is not None:
                self.forks.append((name, int(fork["size"]), int(fork["agreed"])))
        except (ValueError, TypeError, KeyError):
            raise Wrong(f"{name} does not begin with an export's header") from None
        if version != FORMAT:
            raise Wrong(f"{name} is of format {version!r}; this program knows {FORMAT}")
        if first != expected:
            raise Wrong(
                f"{name} begins at position {first}, where {expected} is needed:"
                " name the files from position 1 on, in order"
            )
        if root is not None:
            self.roots.append((name, last, from_base64(root, f"the root in {name}")))
        return first, last

    def _hold_to_place(self, name: str, position: int, expected: int) -> None:
        if position == expected:
            return
        if position == expected - 1:
            what = f"position {position} is there twice"
        elif position > expected:
            missing = f"{expected}" if position == expected + 1 else f"{expected} to {position - 1}"
            what = f"position {missing} is missing"
        else:
            what = f"position {position} comes after {expected - 1}"
        self.problems.append(f"{name}: {what}")


@contextmanager
def open_lines(name: str) -> Iterator[Iterator[bytes]]:
    """Return a context with the lines of a file, plain or packed as gzip or zstd."""
    with Path(name).open("rb") as file:
        start = file.peek(4)[:4]
        most = LINE_BYTES_MAX + EXPANSION_MAX * os.fstat(file.fileno()).st_size
        if start == ZSTD:
            zstd = find_zstd(name)
            yield lines_of(name, zstd.ZstdFile(file), most, zstd.ZstdError)
        elif start[:2] == GZIP:
            yield lines_of(name, gzip.GzipFile(fileobj=file), most, zlib.error)
        else:
            yield lines_of(name, file, None, zlib.error)


def find_zstd(name: str) -> Any:
    """Return Python's module for zstd, of 3.14 or of a package, to unpack a file."""
    for module in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(module)
    raise Unchecked(
        f"{name} is zstd: unpack it first, with `zstd -d {name}`, or install the package"
        " `backports.zstd`"
    )


def lines_of(name: str, file: Any, most: int | None, damaged: type[Exception]) -> Iterator[bytes]:
    """Return the lines of a file; of one that is unpacked no more than so many bytes."""
    total = 0
    try:
        while line := file.readline(LINE_BYTES_MAX + 1):
            total += len(line)
            if len(line) > LINE_BYTES_MAX:
                raise Wrong(f"{name} has a line of more than {LINE_BYTES_MAX} bytes")
            if most is not None and total > most:
                raise Wrong(f"{name} unpacks to more than {EXPANSION_MAX} times its size")
            if not line.endswith(b"\n"):
                raise Wrong(f"{name} is cut off in the middle of a line")
            yield line
    except EOFError:
        raise Wrong(f"{name} is cut off: its compression does not come to an end") from None
    except (gzip.BadGzipFile, damaged) as error:
        raise Wrong(f"{name} is damaged: {error}") from None


def lines_of_export(
    name: str, numbered: Iterator[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of an export; of a backup those of the one in it, with their numbers.

    A backup is held to the digest of all of it that its last line has, when it has been read.
    """
    number, held = next(numbered, (1, b""))
    if not held.startswith(BACKUP):
        yield number, held
        yield from numbered
        return
    digest = hashlib.sha256(held)
    held = b""
    for number, line in numbered:
        if held:
            digest.update(held)
            if not held.startswith(BESIDE):
                yield number - 1, held
        held = line
    if held != b'{"sha256":"%s"}\n' % digest.hexdigest().encode():
        raise Wrong(f"{name} is cut off or damaged: its last line is not the digest of the others")


def read_event(place: str, line: bytes) -> ExportedEvent:
    """Return the event that a line of an export holds.

    Raises:
        Wrong: it holds none, or contradicts itself; `place` says where.
    """
    try:
        found = json.loads(line, object_pairs_hook=once)
        event = ExportedEvent(
            to_number(found["id"]),
            found["subject"],
            int(found["keyfoldversion"]),
            found["type"],
            from_base64(found["data_base64"], "its state"),
            found.get("time"),
        )
        for name, value in CONSTANT.items():
            if found[name] != value:
                raise Wrong(f"its {name} is not {value}")  # noqa: TRY301 - one place for all
    except (ValueError, TypeError, KeyError, Wrong) as error:
        raise Wrong(f"{place} is no event of an export: {error}") from None
    if event.time != recorded_at(event.state):
        raise Wrong(f"{place}: position {event.position} has another time than the event in it")
    return event


def to_number(text: str) -> int:
    """Return a positive decimal number without leading zeroes as an int."""
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; refuse one with the same name twice."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def recorded_at(state: bytes) -> str | None:
    """Return the time that an event's state says it was recorded at, if it does."""
    try:
        found = json.loads(state)["recorded_at"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None
