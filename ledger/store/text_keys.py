"""The keys of sealed free text: beside the ledger and not in it, so that they can be destroyed.

A store holds one key for each owner (an account's stream). The bytes are opaque here: they are
wrapped, and what is in them is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class TextKey(NamedTuple):
    """A row of keyfold_text_keys; the key is wrapped under the ledger's secret."""

    owner: str
    wrapped: bytes
    created_at: str


class TextKeys(Protocol):
    """One wrapped key for each owner, until it is destroyed."""

    def get(self, owner: str) -> bytes | None:
        """Return the owner's wrapped key, None if there is none or it has been destroyed."""

    def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
        """Store a key unless the owner has one; return the one that is stored.

        Whoever else does the same at the same time is answered the same.
        """

    def destroy(self, owner: str) -> bool:
        """Delete the owner's key for good; return whether there was one."""

    def all(self) -> Iterator[TextKey]:
        """Yield every key, in order of the owners; for who moves a ledger to another database."""
