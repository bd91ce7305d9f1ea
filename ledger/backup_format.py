"""A ledger's backup as lines: what is kept beside the events, and around an export of them.

    {"keyfold_backup":1,"keyfold":"0.1.0","events":2,"secret":"kfs_3q…","made_at":"…"}
    {"table":"keyfold_signed_checkpoints","row":[2,"530d903a","z0fV…=","keyfold/…","…"]}
    {"keyfold_export":1,"first":1,"last":2,"root":"z0fV…=","secret":"kfs_3q…"}
    {"specversion":"1.0","id":"1", …}
    {"specversion":"1.0","id":"2", …}
    {"sha256":"9f86…"}

The lines in the middle are an export, byte for byte (`ledger.proof.cloud_events`). The last one is
the digest of all bytes before it, so that a file that is cut short or damaged is never taken for a
whole one. The keys of text about people are not in it: docs/adr/0028.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ledger.proof.cloud_events import Fork

FORMAT: Final = 1

# A value of a column: text, a whole number, bytes (base64 in the file), or nothing.
Value = str | int | bytes | None
# Of keys of sealed text those that an erasure never destroys, and without which nothing is sent.
KEYS_KEPT: Final = "webhooks"


class BadBackup(Exception):
    """The file cannot be restored; the message says why."""


class SideTable(NamedTuple):
    """A table that is not made of the events, or part of it.

    Attributes:
        columns: all of them; those of the primary key first.
        keys: how many are of the primary key.
        bytes: which of the columns hold bytes.
        condition: which of its rows are meant, in SQL; empty for all.
    """

    name: LiteralString
    columns: tuple[LiteralString, ...]
    keys: int
    bytes: frozenset[str] = frozenset()
    condition: LiteralString = ""


SIDE_TABLES: Final = (
    SideTable(
        "keyfold_signed_checkpoints",
        ("size", "signers", "root", "note", "signed_at"),
        2,
        frozenset({"root"}),
    ),
    SideTable(
        "keyfold_text_keys",
        ("owner", "wrapped_key", "created_at"),
        1,
        frozenset({"wrapped_key"}),
        f"owner = '{KEYS_KEPT}'",
    ),
    SideTable("keyfold_token_uses", ("token", "used_at"), 1),
    # How far the messages of each webhook are queued; the other bookmarks are of tables that fill
    # themselves.
    SideTable(
        "keyfold_projections", ("projection", "position"), 1, condition="projection LIKE 'webhook%'"
    ),
    SideTable(
        "keyfold_webhook_messages_1",
        ("webhook", "lane", "sequence", "kind", "position", "notice", "at"),
        3,
    ),
    SideTable(
        "keyfold_webhook_lanes_1",
        ("webhook", "lane", "sent", "queued", "due_at", "attempts", "failing_since"),
        2,
    ),
    SideTable(
        "keyfold_webhook_notices_1", ("webhook", "at", "position", "notice", "ahead_until"), 1
    ),
    SideTable(
        "keyfold_webhook_deliveries_1",
        (
            "webhook", "number", "message", "kind", "account", "sequence", "position", "attempt",
            "at", "took_ms", "status", "problem", "next_at",
        ),
        2,
    ),
)  # fmt: skip
CHECKPOINTS: Final = SIDE_TABLES[0]
TABLES: Final = {table.name: table for table in SIDE_TABLES}


class BackupHeader(Struct, frozen=True):
    """The first line.

    Attributes:
        keyfold_backup: the version of this format.
        keyfold: the version of the program that wrote it.
        events: how many it holds.
        secret: names the ledger's secret, and tells nothing of it.
        fork: is not there when the events are what was signed.
    """

    keyfold_backup: int
    keyfold: str
    events: int
    secret: str
    made_at: datetime
    fork: Fork | UnsetType = UNSET


class SideRow(Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a table that is not made of the events."""

    table: str
    row: list[str | int | None]


class Seal(Struct, frozen=True, forbid_unknown_fields=True):
    """The last line."""

    sha256: str


_HEADER = msgspec.json.Decoder(BackupHeader)
_ROW = msgspec.json.Decoder(SideRow)
_SEAL = msgspec.json.Decoder(Seal)
_BEGINS_A_ROW: Final = b'{"table":'


# Writing


def header_line(header: BackupHeader) -> bytes:
    """Return the first line, with its end."""
    return msgspec.json.encode(header) + b"\n"


def row_line(table: SideTable, row: Iterable[Any]) -> bytes:
    """Return a row's line, with its end."""
    values = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return msgspec.json.encode({"table": table.name, "row": values}) + b"\n"


def seal_line(digest: str) -> bytes:
    """Return the last line, with its end."""
    return msgspec.json.encode(Seal(digest)) + b"\n"


# Reading


def read_header(line: bytes) -> BackupHeader:
    """Return what the first line says.

    Raises:
        BadBackup: it is none, or one of a later version.
    """
    try:
        header = _HEADER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBackup("it does not begin as a backup does") from None
    if header.keyfold_backup != FORMAT:
        raise BadBackup(
            f"it is of format {header.keyfold_backup}, and this Keyfold knows {FORMAT}"
            f" (Keyfold {header.keyfold} wrote it)"
        )
    return header


def is_row(line: bytes) -> bool:
    """Return whether a line is one of what is kept beside the events."""
    return line.startswith(_BEGINS_A_ROW)


def read_row(line: bytes) -> tuple[SideTable, tuple[Value, ...]]:
    """Return a row that is kept beside the events, and its table.

    Raises:
        BadBackup: it is none, or of a table that this release does not have.
    """
    try:
        decoded = _ROW.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBackup("a row of what is kept beside the events cannot be read") from None
    table = TABLES.get(decoded.table)
    if table is None or len(decoded.row) != len(table.columns):
        raise BadBackup(f"this Keyfold has no table {decoded.table!r} of its kind")
    try:
        values = zip(table.columns, decoded.row, strict=True)
        return table, tuple([_value(table, column, value) for column, value in values])
    except ValueError:
        raise BadBackup(f"a row of {table.name} cannot be read") from None


def _value(table: SideTable, column: str, value: str | int | None) -> Value:
    if column not in table.bytes:
        return value
    return base64.b64decode(value, validate=True) if isinstance(value, str) else None


def unsealed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Return all lines but the last, which is held against them when they have been read.

    Raises:
        BadBackup: the last is no digest of those before it.
    """
    digest, held = hashlib.sha256(), b""
    for line in lines:
        if held:
            digest.update(held)
            yield held
        held = line
    try:
        seal = _SEAL.decode(held)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadBackup("it is cut off: its last line, with the digest, is missing") from None
    if not held.endswith(b"\n") or seal.sha256 != digest.hexdigest():
        raise BadBackup("it is damaged: it is not what its digest was made of")
