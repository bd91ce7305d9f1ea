"""HTTP answers, once it is known what to say."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Response

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"


def reply(
    answer: Any,
    status: int = 200,
    *,
    position: int | None = None,
    version: int | None = None,
    replayed: bool = False,
) -> Response:
    """Answer JSON.

    Args:
        position: where the ledger stands after a write.
        version: of the account that was read or written.
        replayed: the same request had been answered before.
    """
    response = Response(msgspec.json.encode(answer), status, content_type=JSON_TYPE)
    return _with_headers(response, position, version, replayed=replayed)


def nothing(*, position: int, version: int) -> Response:
    """Answer that it is done, and that there is nothing to say."""
    return _with_headers(Response(status=204), position, version)


def text(content: str) -> Response:
    """Answer text as it is."""
    return Response(content, content_type=TEXT_TYPE)


def file(content: str, name: str) -> Response:
    """Answer text that a browser puts into a file.

    Args:
        name: of letters, digits, `_`, `-` and dots.
    """
    response = text(content)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _with_headers(
    response: Response, position: int | None, version: int | None, *, replayed: bool = False
) -> Response:
    if position is not None:
        response.headers["Keyfold-Position"] = str(position)
    if version is not None:
        response.headers["ETag"] = f'"{version}"'
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
