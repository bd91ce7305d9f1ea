"""A receiver of webhooks on this machine, which can be slow, refuse, or hang up.

with Receiver() as receiver:
    receiver.responses = [500, 200]
    …
    receiver.wait_for(2)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Any, NamedTuple, Self

from standardwebhooks.webhooks import Webhook

from tests.cli.program import PATIENCE_S, wait_until

# Instead of a status: nothing is answered, and the connection is closed.
HANG_UP = -1


class Received(NamedTuple):
    """A message as it came, and the status that it was answered with."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def place(self) -> tuple[str, int]:
        return self.json["account"], self.json["sequence"]

    def is_signed_by(self, secret: str) -> bool:
        try:
            Webhook(secret).verify(self.body, self.headers)
        except Exception:
            return False
        return True


class Receiver:
    """An HTTP server; `responses` are given one after the other, and over again."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.delay_s = 0.0
        self.location = ""
        self._responses: Iterator[int] = cycle([200])
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def respond(self, responses: Sequence[int]) -> None:
        self._responses = cycle(responses)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"])
        body = request.rfile.read(length)
        if len(body) < length:
            return  # its sender was killed in the middle of it
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            status = next(self._responses)
            self.received.append(Received(headers, body, status))
        time.sleep(self.delay_s)
        request.close_connection = True
        if status == HANG_UP:
            request.connection.close()
            return
        try:
            request.send_response(status)
            if self.location:
                request.send_header("Location", self.location)
            request.send_header("Content-Length", "0")
            request.end_headers()
        except OSError:
            return

    @property
    def taken(self) -> list[Received]:
        """Return the messages that were answered well."""
        return [one for one in self.received if 200 <= one.status < 300]

    def wait_for(self, count: int, patience_s: float = PATIENCE_S) -> list[Received]:
        """Return the messages that were taken, once there are so many."""
        wait_until(lambda: len(self.taken) >= count, patience_s)
        return self.taken
