"""The load that the benchmark puts on a server: nothing is sent twice, and no failure is missed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import load
from bench.load import Job

REQUEST = "GET /%d/%d HTTP/1.1\r\nHost: here\r\n\r\n"


class Counting(BaseHTTPRequestHandler):
    """Returns in two pieces, and every tenth request with a failure."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        number = int(self.path.rpartition("/")[2])
        self.send_response(503 if number % 10 == 0 else 200)
        self.send_header("CONTENT-LENGTH", "8")
        self.end_headers()
        self.wfile.write(b"four")
        self.wfile.flush()
        self.wfile.write(b"more")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    seen: list[str] = []
    handler = type("Handler", (Counting,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving.server_port, seen
        serving.shutdown()
        thread.join()


def test_an_open_round_sends_what_was_due_and_counts_failures(
    server: tuple[int, list[str]],
) -> None:
    port, seen = server
    answers = load.run(Job(port, REQUEST, places=7, first=1000, seconds=0.5, rate=200))
    assert len(answers.ms) == len(seen) == 100
    assert sorted(seen) == sorted(f"/{number % 7}/{number}" for number in range(1000, 1100))
    assert answers.failed == 10
    assert answers.ms == sorted(answers.ms)


def test_a_closed_round_sends_as_many_as_are_answered(server: tuple[int, list[str]]) -> None:
    port, seen = server
    answers = load.run(Job(port, REQUEST, places=7, first=0, seconds=0.2, rate=None))
    assert len(answers.ms) == len(seen) == len(set(seen)) > load.CONNECTIONS


def test_the_process_runs_one_round_after_another(server: tuple[int, list[str]]) -> None:
    port, seen = server
    with load.started() as process:
        for first in (0, 100):
            process.run(Job(port, REQUEST, places=1, first=first, seconds=0.1, rate=100))
    assert len(set(seen)) == 20
