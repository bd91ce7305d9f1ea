"""The stand-in as an HTTP server."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import traceback
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from tests.stripe_server.calls import Answer
from tests.stripe_server.errors import ApiError, Json
from tests.stripe_server.faults import ODD
from tests.stripe_server.forms import decode
from tests.stripe_server.shapes import ShapeDeviation

if TYPE_CHECKING:
    from tests.stripe_server.server import StripeServer


class HttpServer(ThreadingHTTPServer):
    """Threads that end with the program, and room for many calls at once."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, stripe: StripeServer) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.stripe = stripe
        self.connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection, so that it can be hung up."""
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that ended."""
        self.connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Break off every connection, also those kept for later."""
        for one in list(self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client that went away go."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: HttpServer

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: `StripeServer.requests` is the log."""

    def do_GET(self) -> None:
        """Return a GET."""
        self._serve("GET")

    def do_POST(self) -> None:
        """Return a POST."""
        self._serve("POST")

    def do_DELETE(self) -> None:
        """Return a DELETE."""
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = unquote(parts.path)
        stripe = self.server.stripe
        if path.startswith("/_test/"):
            self._send(Answer(200, stripe.control(path[7:], body), "req_test"))
            return
        try:
            params = {**decode(parts.query), **decode(body)}
        except ApiError as error:
            self._send(Answer(error.status, error.answer(), "req_form"))
            return
        stripe.note(method, path, params, dict(self.headers.items()))
        fault = stripe.fault_for(method, path)
        if fault is not None and fault.kind == "slow":
            time.sleep(fault.delay_s)
        if fault is not None and fault.kind == "cut":
            self._cut(mid_answer=fault.mid_answer)
            return
        if fault is not None and fault.kind == "500_kept":
            key = self.headers.get("Idempotency-Key")
            self._send(stripe.fail_for_good(method, path, params, key))
            return
        refusal = self._refusal(fault.kind if fault else "")
        answer = refusal or self._perform(method, path, params)
        if fault is not None and fault.kind == "applied_then_cut":
            self._cut(mid_answer=fault.mid_answer)
            return
        if fault is not None and fault.kind in ODD:
            odd: Any = ODD[fault.kind]
            answer = answer._replace(body=odd)
        self._send(answer)

    def _perform(self, method: str, path: str, params: Json) -> Answer:
        """Do a call. A bug of the stand-in's is answered with 500, and fails the test."""
        stripe = self.server.stripe
        key, version = self.headers.get("Idempotency-Key"), self.headers.get("Stripe-Version")
        try:
            return stripe.perform(method, path, params, key, version)
        except Exception as error:
            if not isinstance(error, ShapeDeviation):
                said = "".join(traceback.format_exception(error)[-3:])
                stripe.deviations.append(f"{method} {path}: {said}")
            message = f"The stand-in for Stripe failed: {error!r}"
            return Answer(500, ApiError(500, message, kind="api_error").answer(), "req_bug")

    def _refusal(self, fault: str) -> Answer | None:
        given = self.headers.get("Authorization") or ""
        errors: dict[str, ApiError] = {
            "429": ApiError(429, "Too many requests.", code="rate_limit"),
            "500": ApiError(500, "An unknown error occurred", kind="api_error"),
            "refused": ApiError(400, "This request cannot be handled.", code="parameter_invalid"),
            "not_allowed": ApiError(403, "The provided key does not have the permissions."),
        }
        if fault in errors:
            return Answer(errors[fault].status, errors[fault].answer(), "req_fault")
        if fault == "wrong_key" or given != f"Bearer {self.server.stripe.api_key}":
            shown = given.removeprefix("Bearer ")
            error = ApiError(401, f"Invalid API Key provided: {shown[:8]}****{shown[-4:]}")
            return Answer(401, error.answer(), "req_unauthorized")
        return None

    def _cut(self, *, mid_answer: bool) -> None:
        """Promise an answer, send the beginning, and hang up; or hang up at once."""
        self.close_connection = True
        if not mid_answer:
            return
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"id": "')

    def _send(self, answer: Answer) -> None:
        content = json.dumps(answer.body, indent=2).encode()
        self.send_response_only(answer.status)
        headers: Json = {
            "Server": "nginx",
            "Date": formatdate(self.server.stripe.clock, usegmt=True),
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Request-Id": answer.request_id,
            "Stripe-Version": self.headers.get("Stripe-Version")
            or self.server.stripe.world.settings.api_version,
        }
        key = self.headers.get("Idempotency-Key")
        if key and self.command == "POST":
            headers["Idempotency-Key"] = key
            headers["Original-Request"] = answer.request_id
        if answer.replayed:
            headers["Idempotent-Replayed"] = "true"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
