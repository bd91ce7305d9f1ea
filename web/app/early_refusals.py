"""What is refused without the application: plain WSGI, in a small part of the time.

When more is asked than can be answered, most requests are refused. If each took as long as Flask
takes for one, little would be left for those that can be answered. And before there is an
application everything is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from web.app.context import AppState
from web.app.errors import (
    CONTENT_TYPE,
    OVERLOADED,
    REFUSED_BY_SERVER,
    RETRY_AFTER_S,
    UNAVAILABLE,
    ProblemType,
    problem_details,
)
from web.app.json_encoding import encode
from web.app.redaction import Redactor
from web.app.request_hooks import (
    PAGES,
    UNMATCHED,
    WHY,
    folder_of,
    headers_of_all,
    log_request,
    new_request_id,
    request_id_of,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# Codes are told by their prefixes, which the catalog says; without one every prefix may be meant.
_NO_CATALOG: Final = Redactor(())


class _Asked(NamedTuple):
    """What of a request its refusal repeats."""

    path: str
    request_id: str
    redactor: Redactor


def may_be_refused(environ: WSGIEnvironment) -> bool:
    """Return whether a request was refused by the server, and by a program: people get a page."""
    refused = environ.get(REFUSED_BY_SERVER) == OVERLOADED.code
    return refused and folder_of(environ["PATH_INFO"]) not in PAGES


def refuse_overloaded(
    state: AppState, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Return the answer that too much is asked; count and log the request as any other."""
    asked = _Asked(environ["PATH_INFO"], request_id_of(environ, state.redactor), state.redactor)
    method = environ["REQUEST_METHOD"]
    state.metrics.refused(OVERLOADED.code)
    state.metrics.count_request(method, UNMATCHED, OVERLOADED.status, 0.0)
    log_request(method, UNMATCHED, OVERLOADED.status, 0.0, asked.request_id)
    detail = WHY[OVERLOADED.code]
    is_https = state.wiring.settings.is_https
    return _refuse(OVERLOADED, detail, asked, start_response, is_https=is_https)


def refuse_starting(start_response: StartResponse) -> Iterable[bytes]:
    """Return the answer that there is no ledger yet."""
    # Whether a name or a path holds a code is not known without the catalog: none is repeated.
    asked = _Asked("/", new_request_id(), _NO_CATALOG)
    detail = "the server is starting: the log says what it waits for"
    return _refuse(UNAVAILABLE, detail, asked, start_response, is_https=False)


def _refuse(
    kind: ProblemType, detail: str, asked: _Asked, start_response: StartResponse, *, is_https: bool
) -> Iterable[bytes]:
    problem = problem_details(kind, detail, asked.path, asked.request_id, asked.redactor)
    body = encode(problem)
    start_response(
        f"{kind.status} {HTTPStatus(kind.status).phrase}",
        [
            ("Content-Type", CONTENT_TYPE),
            ("Content-Length", str(len(body))),
            ("Retry-After", str(RETRY_AFTER_S)),
            *headers_of_all(asked.request_id, is_https=is_https),
        ],
    )
    return [body]
