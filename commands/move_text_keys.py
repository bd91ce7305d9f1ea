"""Give the keys of sealed text out of one ledger, and take them into another.

    {"keyfold_text_keys":1,"secret":"kfs_3q…","keys":2}
    {"owner":"account-acme","wrapped":"…","created_at":"2026-03-01T09:00:00+00:00"}
    {"owner":"reseller-North","wrapped":"…","created_at":"2026-03-01T09:00:00+00:00"}

The keys stay wrapped under the ledger's secret: with the file alone nobody reads anything; with the
file and the secret, all free text. So it is no part of an export, and is destroyed once it was
taken in: with it, a text that is erased later could still be read.

Taking in never brings back what was erased: a key that is older than the last erasure of its
account is left out. It can be repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from commands.services import Services
from ledger.proof.cloud_events import secret_name
from ledger.store.text_keys import TextKey
from ledger.streams.account.stream import ACCOUNT

FORMAT: Final = 1
LEDGER: Final = "ledger"  # whose key only proves that the secret is the right one
OF_ACCOUNTS: Final = f"{ACCOUNT.kind}-"


class BadKeys(Exception):
    """The file of keys cannot be taken in; the message says why."""


class Header(Struct, frozen=True):
    """The first line."""

    keyfold_text_keys: int
    secret: str
    keys: int


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """One owner's key."""

    owner: str
    wrapped: bytes
    created_at: datetime


class TakenIn(NamedTuple):
    """What became of the keys.

    Attributes:
        erased: left out, since their accounts were erased after the keys were made.
    """

    taken: int
    known: int
    erased: int


_HEADER = msgspec.json.Decoder(Header)
_LINE = msgspec.json.Decoder(Line)


def give_text_keys(services: Services) -> Iterator[bytes]:
    """Return the lines of a file with all keys of a ledger in a database."""
    keys = [key for key in services.book.store.text_keys.all() if key.owner != LEDGER]
    header = Header(FORMAT, secret_name(services.request_key), len(keys))
    yield msgspec.json.encode(header) + b"\n"
    for owner, wrapped, created_at in keys:
        line = Line(owner, wrapped, datetime.fromisoformat(created_at))
        yield msgspec.json.encode(line) + b"\n"


def take_text_keys(services: Services, lines: Iterable[bytes]) -> TakenIn:
    """Take in keys, after all of them were looked at, and return what became of them.

    Raises:
        BadKeys: the file is none, is cut off, is of another secret, or has another key than the
            ledger has for the same owner; nothing was changed.
    """
    if not services.book.head():
        raise BadKeys("the ledger has no events yet, which tell what was erased: import them first")
    return put_text_keys(services, read_text_keys(services, lines))


def put_text_keys(services: Services, keys: Iterable[TextKey]) -> TakenIn:
    """Put keys beside the events, but those of what was erased, and return what became of them.

    Raises:
        BadKeys: the ledger has another key for the same owner; nothing was changed.
    """
    kept = services.book.store.text_keys
    new: list[TextKey] = []
    known = erased = 0
    for key in keys:
        mine = kept.get(key.owner)
        if mine is not None and mine != key.wrapped:
            raise BadKeys(f"the ledger has another key of {key.owner}")
        if _was_erased(services, key):
            erased += 1
        elif mine is not None:
            known += 1
        else:
            new.append(key)
    for key in new:
        kept.put_if_absent(*key)
    return TakenIn(len(new), known, erased)


def read_text_keys(services: Services, lines: Iterable[bytes]) -> list[TextKey]:
    """Return the keys of a file.

    Raises:
        BadKeys: the file is none, is cut off, or is of another secret.
    """
    rest = iter(lines)
    try:
        header = _HEADER.decode(next(rest, b""))
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadKeys("it is no file of text keys") from None
    if header.keyfold_text_keys != FORMAT:
        raise BadKeys(
            f"it is of format {header.keyfold_text_keys}, which this Keyfold does not know"
        )
    if header.secret != secret_name(services.request_key):
        raise BadKeys("its keys are wrapped under another secret than this ledger's")
    keys = [_key(services, line, number) for number, line in enumerate(rest, start=2)]
    if len(keys) != header.keys:
        raise BadKeys(f"it has {len(keys)} keys, and its first line says {header.keys}")
    return keys


def _key(services: Services, line: bytes, number: int) -> TextKey:
    try:
        key = _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadKeys(f"line {number} is no key, or is cut off") from None
    if key.created_at.tzinfo is None or not services.texts.knows(key.owner, key.wrapped):
        raise BadKeys(f"line {number} has no key that was wrapped for {key.owner}")
    return TextKey(key.owner, key.wrapped, key.created_at.isoformat())


def _was_erased(services: Services, key: TextKey) -> bool:
    if not key.owner.startswith(OF_ACCOUNTS):
        return False
    account = services.book.load(ACCOUNT, key.owner.removeprefix(OF_ACCOUNTS)).state
    return account.erased_at is not None and (
        datetime.fromisoformat(key.created_at) <= account.erased_at
    )
