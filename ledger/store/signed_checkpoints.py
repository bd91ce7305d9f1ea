"""The checkpoints that were ever signed: beside the ledger, so that none contradicts another.

A row stays for ever; it is on the disk before its note is handed out. What is kept here is of use
to the ledger itself. An auditor trusts the copies that were handed out, not these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, LiteralString, NamedTuple, Protocol

PAGE: Final = 500
COLUMNS: LiteralString = "size, signers, root, note, signed_at"
NEWEST: LiteralString = (
    f"SELECT {COLUMNS} FROM keyfold_signed_checkpoints"  # noqa: S608 - all of it is ours
    " ORDER BY size DESC, signers DESC LIMIT 1"
)


class SignedCheckpoint(NamedTuple):
    """A checkpoint as it was handed out.

    Attributes:
        size: how many events it covers.
        signers: the ids of the keys that signed it, in hexadecimal, split by commas.
        note: its text with the signatures.
        signed_at: RFC 3339.
    """

    size: int
    signers: str
    root: bytes
    note: str
    signed_at: str


class SignedCheckpoints(Protocol):
    """Those that were signed; one for each size and set of keys."""

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """Remember a checkpoint, unless one of its size and keys is; return the one that is."""

    def newest(self) -> SignedCheckpoint | None:
        """Return one that covers the most events."""

    def all(self) -> Iterator[SignedCheckpoint]:
        """Return all, by size."""
