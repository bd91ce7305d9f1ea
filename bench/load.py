"""Load over HTTP, by a process of its own: `python -m bench.load`.

Two models. *Closed*: each connection sends its next request when it has its answer; that finds how
many requests a server can answer in a second. *Open*: requests are due on a schedule, one every
1/rate seconds, whether or not those before them have been answered; one for which no connection is
free waits for one. Its time counts from when it was due, so a server that stalls is charged with
all who came meanwhile, and not with the few that were under way (coordinated omission).

One thread, plain sockets, requests that only need their numbers filled in, and of an answer no more
is read than its status and its length: the load must not be what is measured.

Lines of JSON: a round's `Job` comes in, its `Answers` go out, until the input ends.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

CONNECTIONS: Final = 16
ANSWERED_WITHIN_S: Final = 30.0
OVERLOADED: Final = 503
_CHUNK: Final = 65_536
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_RETRY: Final = b"\r\nretry-after:"


class Job(NamedTuple):
    """A round.

    Attributes:
        request: all of it, with `%d` for the place (`number` modulo `places`) and for the number.
        first: the number of the first request; each has the next.
        rate: how many are due in a second; None for as many as are answered.
    """

    port: int
    request: str
    places: int
    first: int
    seconds: float
    rate: float | None
    connections: int = CONNECTIONS


class Answers(NamedTuple):
    """What came back in a round.

    Attributes:
        ms: how long each took, sorted; in an open round from when it was due.
        failed: how many had another status than 2xx.
        refused_ms: how long each took that was refused with 503 and `Retry-After`, sorted.
        elapsed: seconds until the last was answered.
        late_ms: how late the load itself was at worst with a request that had a connection free.
    """

    ms: list[float]
    failed: int
    elapsed: float
    late_ms: float
    refused_ms: list[float]

    @property
    def per_s(self) -> float:
        return len(self.ms) / self.elapsed

    @property
    def p99_ms(self) -> float:
        return self.ms[int((len(self.ms) - 1) * 0.99)]


class Load:
    """The process, as others see it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, job: Job) -> Answers:
        """Run a round to its end.

        Raises:
            AssertionError: the process has ended; what it said of it is on standard error.
        """
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job._asdict()) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the load has ended"
        return Answers(**json.loads(line))


@contextmanager
def started() -> Iterator[Load]:
    """Start the process, and end it with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Load(process)
        finally:
            assert process.stdin
            process.stdin.close()


class _Connection:
    """A connection that is kept, when what it waits for was due, and whether it may come again."""

    __slots__ = ("_received", "_socket", "due", "fileno", "told_to_retry")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWERED_WITHIN_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.due = 0.0
        self.told_to_retry = False
        self.fileno = self._socket.fileno

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._socket.sendall(request)

    def receive(self) -> int | None:
        """Take what has come; answer the status once the answer is whole."""
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise ConnectionError("the server has closed a connection")
        received = self._received + chunk if self._received else chunk
        end = received.find(_HEAD_END)
        if end < 0 or len(received) < end + len(_HEAD_END) + _length(received[:end]):
            self._received = received
            return None
        self._received = b""
        self.told_to_retry = _RETRY in received[:end].lower()
        return int(received[9:12])

    def close(self) -> None:
        self._socket.close()


def _length(head: bytes) -> int:
    head = head.lower()
    at = head.find(_LENGTH)
    if at < 0:
        return 0
    return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


def run(job: Job) -> Answers:  # noqa: C901
    """Run a round in this process."""
    request = job.request.encode()
    gap = 1 / job.rate if job.rate else 0.0
    planned = int(job.seconds * job.rate) if job.rate else None
    free = [_Connection(job.port) for _ in range(job.connections)]
    everyone = list(free)
    busy: list[_Connection] = []
    took: list[float] = []
    refused: list[float] = []
    sent = failed = 0
    late = 0.0
    began = last = time.perf_counter()
    try:
        while True:
            now = time.perf_counter()
            more = now - began < job.seconds if planned is None else sent < planned
            while free and more:
                due = began + sent * gap if planned is not None else now
                if due > now:
                    break
                # With a free one since before it was due, nobody is late but ourselves.
                late = max(late, now - max(due, last))
                connection = free.pop()
                number = job.first + sent
                connection.send(request % (number % job.places, number), due)
                busy.append(connection)
                sent += 1
                more = planned is None or sent < planned
            if not busy and not more:
                break
            wait = ANSWERED_WITHIN_S
            if free and more:
                wait = max(0.0, began + sent * gap - time.perf_counter())
            ready, _, _ = select.select(busy, (), (), wait)
            if not ready and wait == ANSWERED_WITHIN_S:
                raise TimeoutError("the server does not answer")
            for connection in ready:
                status = connection.receive()
                if status is None:
                    continue
                last = time.perf_counter()
                took.append((last - connection.due) * 1e3)
                failed += not 200 <= status < 300
                if status == OVERLOADED and connection.told_to_retry:
                    refused.append(took[-1])
                busy.remove(connection)
                free.append(connection)
    finally:
        for connection in everyone:
            connection.close()
    return Answers(sorted(took), failed, last - began, late * 1e3, sorted(refused))


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(run(Job(**json.loads(line)))._asdict()), flush=True)


if __name__ == "__main__":
    main()
