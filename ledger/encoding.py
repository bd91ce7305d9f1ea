"""Objects as bytes, where there may be no memory for them."""

from __future__ import annotations

from typing import Any, Protocol


class Encoder(Protocol):
    """One of msgspec's."""

    def encode_into(self, obj: Any, buffer: bytearray, /) -> None:
        """Encode an object into a buffer."""


def encoded(encoder: Encoder, content: object) -> bytes:
    """Return an object as bytes.

    msgspec's own `encode` ends the process where there is no memory for more of them.

    Raises:
        MemoryError: there is none.
    """
    encoder.encode_into(content, buffer := bytearray())
    return bytes(buffer)
