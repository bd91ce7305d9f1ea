"""Cursors: where the next page of a list goes on, for the caller to send back as it is.

A cursor is signed together with the list and the parameters that it was made for, so that one from
another list, another caller's or a made-up one is refused and never half understood.
"""

from __future__ import annotations

import base64
import hmac
from typing import Any

import msgspec

from ledger.codes import digest
from ledger.refusals import FieldError, InvalidRequest
from ledger.translation import gettext as _

_SIGNATURE_LENGTH = 26


def write(key: bytes, of: tuple[Any, ...], after: Any) -> str:
    """Return the cursor of a list that goes on after a place.

    Args:
        key: only its holder can make a cursor.
        of: the list, whose it is, and every parameter but `limit` and `cursor`.
        after: the place, as JSON can hold it.
    """
    place = msgspec.json.encode(after)
    signed = _sign(key, of, place).encode() + place
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def read(key: bytes, of: tuple[Any, ...], cursor: str | None) -> Any:
    """Return the place that a cursor goes on after; None for no cursor.

    Raises:
        InvalidRequest: not one of ours, or of another list.
    """
    if cursor is None:
        return None
    try:
        signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
    except ValueError:
        signed = b""
    signature, place = signed[:_SIGNATURE_LENGTH], signed[_SIGNATURE_LENGTH:]
    if not hmac.compare_digest(signature, _sign(key, of, place).encode()):
        raise InvalidRequest(FieldError("/cursor", _("must be `next` of a page of this very list")))
    return msgspec.json.decode(place)


def _sign(key: bytes, of: tuple[Any, ...], place: bytes) -> str:
    return digest(key, "cursor", msgspec.json.encode(of).decode(), place.decode("latin-1"))
