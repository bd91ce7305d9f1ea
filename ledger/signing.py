"""What a browser is given to keep, signed so that it comes back as it was, or not at all.

Each text is signed for one purpose: what was signed for one is worth nothing for another. Texts are
signed with the first of the keys that are alive, and read with any of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

StructT = TypeVar("StructT", bound=msgspec.Struct)

_SIGNATURE_BYTES: Final = 32


def sign(key: bytes, purpose: str, content: msgspec.Struct) -> str:
    """Return a text that `read` with the same key and purpose makes the content of."""
    payload = msgspec.json.encode(content)
    return base64.urlsafe_b64encode(_mac(key, purpose, payload) + payload).decode("ascii")


def read(keys: Sequence[bytes], purpose: str, text: str, type: type[StructT]) -> StructT | None:
    """Return what was signed; None when it was not, for this, or with one of these keys."""
    try:
        data = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        return None
    signature, payload = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
    if not any(hmac.compare_digest(signature, _mac(key, purpose, payload)) for key in keys):
        return None
    try:
        return msgspec.json.decode(payload, type=type)
    except msgspec.ValidationError:
        # Signed by an earlier release, which wrote it in another shape.
        return None


def form_token(bound_to: str) -> str:
    """Return what a form carries to show that it is ours.

    Args:
        bound_to: a random text that only the browser's cookie holds.
    """
    return _mac(bound_to.encode(), "form", b"").hex()


def digest(secret: str) -> str:
    """Return what the ledger keeps of a random secret, to know it again: SHA-256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _mac(key: bytes, purpose: str, payload: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")
