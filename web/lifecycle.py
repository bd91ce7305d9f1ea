"""What happens before and after every request, whichever page it is for."""

from __future__ import annotations

import logging
import re
import secrets
import string
import time
from typing import Final

from flask import Flask, Response, current_app, g, request

from ledger.events import Stamp
from ledger.limits import REQUEST_ID
from web.auth import EVERYBODY, NOBODY, Access, let_in
from web.context import parts, request_id
from web.errors import CODE_IN_URL, Problem

# Unless a page has its own.
_HEADERS = {
    "Cache-Control": "no-store",
    "Server": "keyfold",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_UNMATCHED = "(none)"
ID_LENGTH: Final = 26
# From any byte to a letter or digit; 32 of them, so that each is as likely as the others.
_LETTERS = (string.ascii_lowercase + "234567").encode() * 8

_log = logging.getLogger("keyfold.access")


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.started = time.perf_counter()
    app = parts()
    given = request.headers.get("X-Request-Id", "")
    taken = re.fullmatch(REQUEST_ID, given) and not app.redactor.holds_secret(given)
    g.request_id = given if taken else new_request_id()
    if app.redactor.holds_code_quoted(f"{request.path}?{request.query_string.decode('latin-1')}"):
        raise Problem(CODE_IN_URL, "send it in a body; this one may be in a log by now")
    if request.url_rule is None or request.method == "OPTIONS":
        return
    stamp = app.wiring.stamp("", request_id())
    caller = let_in(request, _access(), stamp.now)
    g.stamp = stamp._replace(actor=caller.id) if caller else stamp
    g.caller = caller


def new_request_id() -> str:
    return "req_" + secrets.token_bytes(ID_LENGTH).translate(_LETTERS).decode()


def _access() -> Access:
    if request.endpoint == "static":
        return EVERYBODY
    view = current_app.view_functions[request.endpoint or ""]
    return getattr(view, "access", NOBODY)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    _record(response.status_code)
    return response


def _record(status: int) -> None:
    """Count the request, and log it by its route, never by its path, which may name people."""
    seconds = time.perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule else _UNMATCHED
    parts().metrics.answered(request.method, route, status, seconds)
    stamp: Stamp | None = g.get("stamp")
    _log.info(
        "request",
        extra={
            "method": request.method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id(),
            "actor": stamp.actor if stamp else "",
        },
    )
