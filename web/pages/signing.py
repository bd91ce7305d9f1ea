"""What a browser is given to keep, signed so that it comes back as it was, or not at all.

Cookies and forms are each signed for one purpose: what was signed for one is worth nothing for
another.
"""

from __future__ import annotations

import base64
import hmac
from typing import Final, TypeVar

import msgspec

StructT = TypeVar("StructT", bound=msgspec.Struct)

_SIGNATURE_BYTES: Final = 32


def sign(key: bytes, purpose: str, content: msgspec.Struct) -> str:
    """Answer a text that `read` with the same key and purpose makes the content of."""
    payload = msgspec.json.encode(content)
    return base64.urlsafe_b64encode(_mac(key, purpose, payload) + payload).decode("ascii")


def read(key: bytes, purpose: str, text: str, type: type[StructT]) -> StructT | None:
    """Answer what was signed; None when it was not, for this, or by this ledger."""
    try:
        data = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        return None
    signature, payload = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _mac(key, purpose, payload)):
        return None
    try:
        return msgspec.json.decode(payload, type=type)
    except msgspec.ValidationError:
        # Signed by an earlier release, which wrote it in another shape.
        return None


def form_token(key: bytes, bound_to: str) -> str:
    """Answer what a form carries to show that it is ours, shown in this very visit."""
    return _mac(key, "form", bound_to.encode()).hex()


def _mac(key: bytes, purpose: str, payload: bytes) -> bytes:
    return hmac.digest(key, purpose.encode() + b"\0" + payload, "sha256")
