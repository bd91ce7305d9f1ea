"""Events as they leave the ledger: CloudEvents 1.0, in a file of lines or over HTTP.

An export is a header and one event a line, in order of position:

    {"keyfold_export":1,"first":1,"last":2,"root":"z0fV…=","secret":"kfs_3q…"}
    {"specversion":"1.0","id":"1","source":"/keyfold","type":"token.created@1",…,"data_base64":"…"}

`id` is the position, `subject` the stream, `keyfoldversion` the place in it, and `data_base64` the
state, byte for byte as it is stored: from a line the ledger's row can be made again, and with it
its leaf in the proof's tree. Over HTTP the same event has its state as JSON, in `data`, for people
and programs that only want to know what happened.

Source: CloudEvents 1.0.2, sections 3.1 and 4 of its JSON format.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ledger import codes
from ledger.store.contract import VERSION_MAX, Row

FORMAT: Final = 1


class NotAnExport(ValueError):
    """A line is none of an export's; the message says what is wrong with it."""


class Fork(Struct, frozen=True):
    """What the ledger had signed that these events are not of.

    They end before it, as after a loss that was accepted or in an export of a part, or are others.
    Under the same key a ledger that is made of them would sign a second history.

    Attributes:
        size: of how many events the newest such checkpoint is.
        agreed: up to where the events are those that were signed.
        checkpoint: its note.
    """

    size: int
    agreed: int
    checkpoint: str

    def against(self, last: int) -> str:
        """Return in words what is against events 1 to `last`."""
        if self.size > last:
            return f"it ends at position {last}, but a checkpoint of {self.size} events was signed"
        return (
            f"its first {self.size} events are not those of the checkpoint that was signed of them"
        )


class ExportHeader(Struct, frozen=True, kw_only=True):
    """The first line of an export.

    Attributes:
        keyfold_export: the version of this format.
        first, last: the positions of the events that follow; `last` is `first - 1` for none.
        root: base64 of the root (RFC 9162) of the tree of events 1 to `last`; None for an export
            that does not begin at 1.
        secret: names the secret that the ledger's codes and tokens are derived from, without
            telling anything of it.
        fork: is not there when they are what was signed.
    """

    keyfold_export: int
    first: int
    last: int
    root: str | None
    secret: str | None = None
    fork: Fork | UnsetType = UNSET


class _Common(Struct, frozen=True, kw_only=True):
    specversion: Literal["1.0"] = "1.0"
    id: str
    source: Literal["/keyfold"] = "/keyfold"
    type: str
    subject: str
    time: str | UnsetType = UNSET
    datacontenttype: Literal["application/json"] = "application/json"
    keyfoldversion: int


class Exported(_Common, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line after the header."""

    data_base64: bytes


class _When(Struct, frozen=True):
    recorded_at: str


class _Recorded(Struct, frozen=True):
    recorded_at: datetime


_POSITION = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_ENCODER = msgspec.json.Encoder()
_RECORDED = msgspec.json.Decoder(_Recorded)
_WHEN = msgspec.json.Decoder(_When)
_HEADER = msgspec.json.Decoder(ExportHeader)
_EXPORTED = msgspec.json.Decoder(Exported)


def secret_name(key: bytes) -> str:
    """Return a name for the ledger's secret, from a key that is derived from it."""
    return "kfs_" + codes.digest(key, "the name of the secret")


def header_line(header: ExportHeader) -> bytes:
    """Return the first line of an export as bytes, with its line end."""
    return _ENCODER.encode(header) + b"\n"


def line_of(row: Row) -> bytes:
    """Return an event's line. It judges nothing: what somebody has spoilt is exported as it is."""
    exported = Exported(
        id=str(row.position),
        type=row.name,
        subject=row.stream,
        time=_time(row.state),
        keyfoldversion=row.version,
        data_base64=row.state,
    )
    return _ENCODER.encode(exported) + b"\n"


def recorded_at(row: Row) -> datetime:
    """Return when an event was recorded, in UTC.

    Raises:
        msgspec.DecodeError: its state is no JSON; nothing of ours has written it.
    """
    msgspec.json.decode(row.state)
    return _RECORDED.decode(row.state).recorded_at.astimezone(UTC)


def read_header(line: bytes) -> ExportHeader:
    """Return what the first line of an export says of it.

    Raises:
        NotAnExport: it is none, or one of a later version.
    """
    try:
        header = _HEADER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotAnExport("it does not begin with an export's header") from None
    if header.keyfold_export != FORMAT:
        raise NotAnExport(
            f"it is of format {header.keyfold_export}, and this Keyfold knows {FORMAT}"
        )
    if header.first < 1 or header.last < header.first - 1:
        raise NotAnExport(f"its header has events {header.first} to {header.last}")
    return header


def row_of(line: bytes) -> Row:
    """Return the stored event that a line after the header holds.

    Raises:
        NotAnExport: it is none, or says two things of one event.
    """
    try:
        event = _EXPORTED.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotAnExport(f"is no event of an export ({error})") from None
    if not _POSITION.fullmatch(event.id):
        raise NotAnExport(f"has no position for its id: {event.id[:40]!r}")
    if not 1 <= event.keyfoldversion <= VERSION_MAX:
        raise NotAnExport(f"has no version of a stream: {event.keyfoldversion}")
    if event.time != _time(event.data_base64):
        raise NotAnExport("has another time than the event in it")
    return Row(int(event.id), event.subject, event.keyfoldversion, event.type, event.data_base64)


def _time(state: bytes) -> str | UnsetType:
    try:
        return _WHEN.decode(state).recorded_at
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UNSET
