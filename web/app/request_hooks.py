"""What happens before and after every request, whichever endpoint it is for."""

from __future__ import annotations

import logging
import os
import random
import re
import string
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import NotFound

from ledger.events import RequestContext
from ledger.limits import REQUEST_ID
from ledger.refusals import FieldError, InvalidRequest
from web.app.auth import EVERYBODY, NOBODY, RESELLER, Access, authorize
from web.app.context import app_state
from web.app.errors import (
    CODE_IN_URL,
    MALFORMED,
    OVERLOADED,
    PROBLEM_TYPES,
    REFUSED_BY_SERVER,
    RETRY_AFTER_S,
    TOO_LARGE,
    HttpProblem,
)
from web.app.logs import RequestLine
from web.app.redaction import Redactor

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Unless an endpoint sets its own.
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Server", "keyfold"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
# What the server had to refuse, and leaves to the application to say.
WHY: Final = {
    TOO_LARGE.code: "a body has at most 1 MiB",
    OVERLOADED.code: "nothing was looked at: try again",
}
_IN_A_BODY = "send it in a body; this one may be in a log by now"
UNMATCHED: Final = "(none)"
_HEALTH = "/healthz"
# Who asks for pages is no program of the vendor's: its requests are not named by the caller, who
# could have them found under any name.
PAGES: Final = {"portal", "console"}
ID_LENGTH: Final = 26
ADDRESS_BYTES_MAX: Final = 16_384
HAS_NUL: Final = "must not hold a NUL character"
# A year, as the preload lists ask for; other hosts of the same domain are not ours to speak for.
HSTS: Final = "max-age=31536000"
# From any byte to a letter or digit; 32 of them, so that each is as likely as the others.
_LETTERS = (string.ascii_lowercase + "234567").encode() * 8

_REQUEST_ID = re.compile(REQUEST_ID)
# Ids tell requests apart and hide nothing, so the system is not asked for each, which would let
# another thread in. But a forked process must not give out its parent's.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)
_log = logging.getLogger("keyfold.access")


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.started = time.perf_counter()
    app = app_state()
    named = _named_by_caller(request.environ, app.redactor)
    id = named or new_request_id()
    if app.redactor.may_hold_code(id):
        id = new_request_id()
    g.request_id = id
    if refused := request.environ.get(REFUSED_BY_SERVER):
        raise HttpProblem(PROBLEM_TYPES[refused], WHY[refused], {"Retry-After": str(RETRY_AFTER_S)})
    _check_address(request)
    url = f"{request.path}?{request.query_string.decode('utf-8', 'replace')}"
    if app.redactor.holds_code_quoted(url):
        raise HttpProblem(CODE_IN_URL, _IN_A_BODY)
    if request.url_rule is None or request.method == "OPTIONS":
        return
    now = app.wiring.clock()
    caller, reached = authorize(request, _access(request), now)
    if caller is not None and caller.role != RESELLER:
        # A reseller must not find out which codes there are of others.
        if app.redactor.holds_known_code_quoted(url):
            raise HttpProblem(CODE_IN_URL, _IN_A_BODY)
        if named is not None and id != named and not app.redactor.holds_secret(named):
            g.request_id = id = named
    g.request_context = app.wiring.request_context(caller.id if caller else "", id, now, reached)
    g.caller = caller


def folder_of(path: str) -> str:
    """Return the first part of a path."""
    return path.lstrip("/").partition("/")[0]


def _named_by_caller(environ: WSGIEnvironment, redactor: Redactor) -> str | None:
    """Return the id that the caller gave the request; None when it did not, or may not."""
    id: str = environ.get("HTTP_X_REQUEST_ID", "")
    if folder_of(environ["PATH_INFO"]) in PAGES or not _REQUEST_ID.fullmatch(id):
        return None
    return None if redactor.holds_token(id) else id


def request_id_of(environ: WSGIEnvironment, redactor: Redactor) -> str:
    """Return the id of a request of which nothing else is looked at."""
    named = _named_by_caller(environ, redactor)
    return new_request_id() if named is None or redactor.may_hold_code(named) else named


def _check_address(sent: Request) -> None:
    """Refuse an address that no endpoint of ours has, before anything is made of it.

    Raises:
        InvalidRequest: a field in it holds a NUL, which PostgreSQL takes in no text.
        HttpProblem: it is too long, or holds a NUL anywhere else.
        NotFound: it begins with two slashes: Werkzeug would take them for one.
    """
    path, query = sent.environ.get("PATH_INFO", ""), sent.environ.get("QUERY_STRING", "")
    if len(path) + len(query) > ADDRESS_BYTES_MAX:
        raise HttpProblem(MALFORMED, f"the address is longer than {ADDRESS_BYTES_MAX} bytes")
    if "\0" in path or "\0" in query or "%00" in query:
        fields = [*(sent.view_args or {}).items(), *sent.args.items(multi=True)]
        bad = dict.fromkeys(name for name, value in fields if "\0" in f"{name}{value}")
        if bad and path.startswith("/v1/"):
            raise InvalidRequest(*(FieldError(f"/{name}", HAS_NUL) for name in bad))
        raise HttpProblem(MALFORMED, "the address has a NUL character (%00)")
    if path.startswith("//"):
        sent.url_rule = None
        raise NotFound


def new_request_id() -> str:
    """Return a random id for a request that came without one."""
    return "req_" + _random.randbytes(ID_LENGTH).translate(_LETTERS).decode()


def _access(sent: Request) -> Access:
    if sent.endpoint == "static":
        return EVERYBODY
    view = current_app.view_functions[sent.endpoint or ""]
    return getattr(view, "access", NOBODY)


def _finish(response: Response) -> Response:
    headers = response.headers
    set_already = {name.lower() for name, _ in headers}
    if (quota := g.get("quota")) is not None:
        headers.extend(quota.headers)
    for name, value in headers_of_all(g.request_id, is_https=app_state().wiring.settings.is_https):
        if name.lower() not in set_already:
            headers.add(name, value)
    _record(request, response.status_code)
    return response


def headers_of_all(request_id: str, *, is_https: bool) -> Iterator[tuple[str, str]]:
    """Yield the headers that every response has, unless its endpoint sets its own."""
    yield "X-Request-Id", request_id
    if is_https:
        yield "Strict-Transport-Security", HSTS
    yield from _HEADERS


def _record(sent: Request, status: int) -> None:
    """Count the request, and log it by its route, never by its path, which may name people."""
    seconds = time.perf_counter() - g.started
    route = sent.url_rule.rule if sent.url_rule else UNMATCHED
    app_state().metrics.count_request(sent.method, route, status, seconds)
    # That the process is well is asked every few seconds, first of all by the server itself.
    if route == _HEALTH and status == HTTPStatus.OK:
        return
    request_context: RequestContext | None = g.get("request_context")
    actor = request_context.actor if request_context else ""
    log_request(sent.method, route, status, seconds, g.request_id, actor)


def log_request(
    method: str, route: str, status: int, seconds: float, request_id: str, actor: str = ""
) -> None:
    """Log a request, by its route."""
    if not _log.isEnabledFor(logging.INFO):
        return
    fields = {
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 2),
        "request_id": request_id,
        "actor": actor,
    }
    _log.handle(RequestLine(_log.name, "request", fields))
