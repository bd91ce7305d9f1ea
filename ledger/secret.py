"""The one secret of a ledger, and the keys derived from it.

Every other key is HKDF-SHA256 (RFC 5869) of the secret under a label of its own, so that knowing
one of them tells nothing of another, and a backup of one value restores all.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTH_MIN_BYTES = 32


class Secret:
    """The ledger's secret; never shown by `repr`."""

    def __init__(self, material: bytes) -> None:
        if len(material) < LENGTH_MIN_BYTES:
            raise ValueError(f"holds {len(material)} bytes, but needs {LENGTH_MIN_BYTES} or more")
        self._material = material

    @classmethod
    def from_base64(cls, text: str) -> Secret:
        """Return the secret that KEYFOLD_SECRET holds.

        Raises:
            ValueError: not base64, or fewer than 32 bytes; the message does not repeat the value.
        """
        try:
            material = base64.b64decode(text.strip(), validate=True)
        except ValueError:
            raise ValueError("is not base64") from None
        return cls(material)

    def derive(self, label: str) -> bytes:
        """Return the 32-byte key for one purpose."""
        return HKDF(
            algorithm=SHA256(), length=32, salt=b"keyfold", info=label.encode("utf-8")
        ).derive(self._material)

    def __repr__(self) -> str:
        return "Secret(…)"
