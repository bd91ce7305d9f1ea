"""Responses as the JSON that is sent and printed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import astuple

from ledger.encoding import encoded
from web.app.times import iso

_ENCODER = msgspec.json.Encoder()
_AS_IT_IS = frozenset({str, int, bool, float, type(None), msgspec.Raw})


def encode(content: Any) -> bytes:
    """Return a response as JSON, every time with six digits of a second."""
    return encoded(_ENCODER, to_plain(content))


def to_plain(value: Any) -> Any:
    """Return a value with structs as dictionaries, times as text, and spans of time as seconds.

    msgspec writes times itself, without the digits that are 0, and asks no hook about them.
    """
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    if kind is datetime:
        return iso(value)
    if kind is timedelta:
        return int(value.total_seconds())
    if isinstance(value, msgspec.Struct):
        fields = zip(kind.__struct_encode_fields__, astuple(value), strict=True)
        return {
            name: one if type(one) in _AS_IT_IS else to_plain(one)
            for name, one in fields
            if one is not msgspec.UNSET
        }
    if isinstance(value, dict):
        return {name: to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    return value
