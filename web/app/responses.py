"""HTTP responses: JSON and text, with the headers that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response
from werkzeug.datastructures import Headers

from web.app.json_encoding import encode

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=utf-8"


class Json(Response):
    """A response whose headers are all there: none is worked out from the request."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        """Return the headers as they are: they are whole, and Werkzeug has nothing to add."""
        return self.headers


def reply(
    content: Any,
    status: int = 200,
    *,
    position: int | None = None,
    version: int | None = None,
    replayed: bool = False,
) -> Response:
    """Return a response with JSON.

    Args:
        position: where the ledger stands after a write.
        version: of the account that was read or written.
        replayed: the same request had been answered before.
    """
    body = encode(content)
    headers = [("Content-Type", JSON_TYPE), ("Content-Length", str(len(body)))]
    return Json([body], status, headers + _of_ledger(position, version, replayed=replayed))


def nothing(*, position: int, version: int | None = None, replayed: bool = False) -> Response:
    """Return 204: it is done, and there is nothing to say."""
    return Response(status=204, headers=_of_ledger(position, version, replayed=replayed))


def text(content: str) -> Response:
    """Return a response with text as it is."""
    return Response(content, content_type=TEXT_TYPE)


def file(content: str, name: str) -> Response:
    """Return a response with text that a browser puts into a file.

    Args:
        name: of letters, digits, `_`, `-` and dots.
    """
    response = text(content)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _of_ledger(
    position: int | None, version: int | None, *, replayed: bool = False
) -> list[tuple[str, str]]:
    headers = []
    if position is not None:
        headers.append(("Keyfold-Position", str(position)))
    if version is not None:
        headers.append(("ETag", f'"{version}"'))
    if replayed:
        headers.append(("Idempotency-Replayed", "true"))
    return headers
