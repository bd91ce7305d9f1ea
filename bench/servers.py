"""What slow clients and dying workers do to WSGI servers.

    ./dev python -m bench.servers PYTHON [NAME …]

PYTHON is an interpreter that has flask, waitress, gunicorn, granian, uvicorn and a2wsgi. Each
server serves a plain Flask application with one worker (two, where workers are killed) of eight
threads. The table in docs/adr/0019 was made by this.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench import load
from bench.load import Job
from tests.cli.program import children_of

THREADS: Final = 8
SILENT: Final = 64
IDLE: Final = 1_000
DRIPPING: Final = 20
WITHIN_S: Final = 2.0
RATE_S: Final = 3.0

APP: Final = """
from flask import Flask, request
app = Flask(__name__)
@app.get("/healthz")
def healthz():
    return {"status": "ok"}
@app.post("/take")
def take():
    return {"length": len(request.get_data())}
"""
ASGI: Final = """
from a2wsgi import WSGIMiddleware
from plain import app
app = WSGIMiddleware(app, workers=8)
"""
COMMANDS: Final[dict[str, str]] = {
    "granian": "granian --interface wsgi --http 1 --workers {workers} --blocking-threads 8"
    " --respawn-failed-workers --port {port} --no-ws plain:app",
    "gunicorn": "gunicorn -k gthread -w {workers} --threads 8 -b 127.0.0.1:{port} plain:app",
    "waitress": "waitress --threads 8 --listen 127.0.0.1:{port} --asyncore-use-poll"
    " --connection-limit 2000 plain:app",
    "uvicorn": "uvicorn --workers {workers} --port {port} --no-access-log bridged:app",
}
# By itself it has one process; what replaces its workers is Keyfold's own, and tested there.
ONE_PROCESS: Final = frozenset({"waitress"})


def main() -> None:
    python, *names = sys.argv[1:]
    print("| | " + " | ".join(CHECKS) + " |\n|---" + "|---" * len(CHECKS) + "|")
    for name in names or COMMANDS:
        print(f"| {name} | " + " | ".join(_tried(python, name, one) for one in CHECKS) + " |")


def _tried(python: str, name: str, check: str) -> str:
    workers = 2 if check in NEEDS_TWO else 1
    if workers == 2 and name in ONE_PROCESS:
        return "one process"
    with _served(python, name, workers) as (port, pid):
        return CHECKS[check](port, pid)


@contextlib.contextmanager
def _served(python: str, name: str, workers: int) -> Iterator[tuple[int, int]]:
    with socket.socket() as found, tempfile.TemporaryDirectory() as folder:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        Path(folder, "plain.py").write_text(APP)
        Path(folder, "bridged.py").write_text(ASGI)
        argv = COMMANDS[name].format(workers=workers, port=port).split()
        process = subprocess.Popen(
            [python, "-m", *argv],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            until = time.monotonic() + 20
            while _healthy(port) is None:
                assert process.poll() is None, "it has ended"
                assert time.monotonic() < until, "it does not come up"
                time.sleep(0.1)
            time.sleep(1)
            yield port, process.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _healthy(port: int, within_s: float = WITHIN_S) -> float | None:
    """Return how long an answer takes, in seconds; None when there is none."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within_s)
    try:
        connection.request("GET", "/healthz")
        return time.monotonic() - began if connection.getresponse().status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _response_time(port: int) -> str:
    times = [_healthy(port) for _ in range(5)]
    good = sorted(one for one in times if one is not None)
    return f"{good[len(good) // 2] * 1000:.0f} ms" if len(good) == len(times) else "no answer"


def _connected(port: int, count: int, sent: bytes) -> list[socket.socket]:
    made = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            one = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
            one.sendall(sent)
            made.append(one)
    time.sleep(0.5)
    return made


_HEAD: Final = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"


def _silent(port: int, _pid: int) -> str:
    held = _connected(port, SILENT, _HEAD)
    response_time = _response_time(port)
    for one in held:
        one.close()
    return response_time


def _idle(port: int, _pid: int) -> str:
    held = _connected(port, IDLE, b"")
    response_time = _response_time(port)
    for one in held:
        one.close()
    return response_time


def _dripping(port: int, _pid: int) -> str:
    held = _connected(port, DRIPPING, _HEAD)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.2):
            for one in held:
                with contextlib.suppress(OSError):
                    one.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    response_time = _response_time(port)
    over.set()
    thread.join()
    for one in held:
        one.close()
    return response_time


def _rate(port: int, _pid: int) -> str:
    request = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Place: %d\r\nX-Number: %d\r\n\r\n"
    with load.started() as loading:
        loading.run(Job(port, request, 1, 1, 1.0, None))
        found = loading.run(Job(port, request, 1, 1, RATE_S, None))
    return f"{found.per_s:,.0f}/s, p99 {found.p99_ms:.0f} ms"


def _workers(pid: int) -> list[int]:
    return sorted(one for one in children_of(pid) if "tracker" not in _command_line(one))


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _twice(port: int, pid: int) -> str:
    for _ in range(2):
        if found := _workers(pid):
            os.kill(found[-1], signal.SIGKILL)
        time.sleep(2)
    return _outcome(port, pid)


def _both(port: int, pid: int) -> str:
    for one in _workers(pid):
        os.kill(one, signal.SIGKILL)
    return _outcome(port, pid)


def _outcome(port: int, pid: int) -> str:
    time.sleep(6)
    ended = not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text()
    return "ended" if ended else f"stays, {_response_time(port)}"


def _hung(port: int, pid: int) -> str:
    for one in _workers(pid):
        os.kill(one, signal.SIGSTOP)
    time.sleep(35)
    return _outcome(port, pid)


CHECKS: Final[dict[str, Callable[[int, int], str]]] = {
    f"{SILENT} silent bodies": _silent,
    f"{IDLE} idle connections": _idle,
    f"{DRIPPING} dripping bodies": _dripping,
    "plain route": _rate,
    "a worker dies twice": _twice,
    "both die": _both,
    "both hang": _hung,
}
NEEDS_TWO: Final = frozenset({"a worker dies twice", "both die", "both hang"})

if __name__ == "__main__":
    main()
