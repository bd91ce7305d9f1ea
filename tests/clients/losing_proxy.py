"""A way to a server on which answers are lost, and others stand in between."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What happens to the first request for a method and path, the second, and so on; then all is well.
LOST, BUSY = "its answer is lost", "it is turned away"
LATER, BROKEN = "it is to come back in an hour", "its refusal is no JSON"


class LosingProxy(ThreadingHTTPServer):
    """Passes requests on to a port of this machine.

    Attributes:
        mishaps: by method and path, or the end of one, what happens to the next requests.
        passed_on: how many requests came through, by method and path.
    """

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.to_port = port
        self.mishaps: dict[str, list[str]] = {}
        self.passed_on: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LosingProxy

    def _pass_on(self) -> None:
        asked = f"{self.command} {self.path.partition('?')[0]}"
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        due = (left for of, left in self.server.mishaps.items() if asked.endswith(of) and left)
        mishap = next(due, [None]).pop(0)
        if mishap == BUSY:
            self._answer(503, [("Retry-After", "1")], b"<p>come back later</p>")
            return
        if mishap == LATER:
            self._answer(429, [("Retry-After", "3600"), PROBLEM], b'{"code": "quota_exceeded"}')
            return
        if mishap == BROKEN:
            self._answer(400, [PROBLEM], b"{")
            return
        self.server.passed_on[asked] += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.server.to_port, timeout=30)
        connection.request(self.command, self.path, body or None, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if mishap == LOST:
            self.close_connection = True
            return
        passed = [(name, value) for name, value in answer.getheaders() if name in KEPT]
        self._answer(answer.status, passed, content)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._pass_on
        raise AttributeError(name)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


PROBLEM = ("Content-Type", "application/problem+json")
KEPT = ("Content-Type", "Retry-After", "ETag", "Idempotency-Replayed", "X-Request-Id")


@contextmanager
def losing_proxy(port: int) -> Iterator[LosingProxy]:
    """Yield a proxy to a port, for as long as it is needed."""
    with LosingProxy(port) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy
        proxy.shutdown()
