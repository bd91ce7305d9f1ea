"""`keyfold` as a program of its own, in a folder of its own.

keyfold = Program(tmp_path)
keyfold.run("db", "upgrade")
with keyfold.served() as server:
    server.get("/healthz")
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from tests.cli.forks import forks

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30
KEYFOLD = (sys.executable, "-W", "error", "-m", "web.cli")


class Ran(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Program:
    """The program with its settings.

    Attributes:
        command: what starts it: from this checkout, if left out.
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = KEYFOLD

    def environ(self, **settings: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "PYTHONPATH": str(ROOT), **self.settings, **settings}

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> Ran:
        """Run one command to its end."""
        if self.command == KEYFOLD:
            started = forks(tuple(Program(self.folder).environ().items()))
            environ = self.environ(**settings)
            return Ran(*started.run(arguments, self.folder, environ, stdin, PATIENCE_S))
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environ(**settings),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def done(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command that must go well."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.code == 0, ran
        return ran

    def json(self, *arguments: str) -> Any:
        return self.done(*arguments, "--json").json

    @contextmanager
    def served(self, *arguments: str, command: str = "serve") -> Iterator[Server]:
        """Start a server on a free port, wait until it says that it answers, and stop it."""
        with (self.folder / "stderr.log").open("w") as log:
            process = subprocess.Popen(
                [*self.command, command, "--port", "0", *arguments],
                cwd=self.folder,
                env=self.environ(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        server = Server(process, self.folder / "stderr.log")
        try:
            server.wait_for_line()
            yield server
        finally:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


@dataclass
class Server:
    """A server that was started, and how to talk to it."""

    process: subprocess.Popen[str]
    log: Path
    address: str = ""
    said: list[str] = field(default_factory=list)

    def wait_for_line(self) -> None:
        line = self.line()
        assert line.startswith("listening on http://"), (line, self.log.read_text())
        self.address = line.removeprefix("listening on http://")

    def line(self) -> str:
        """Return the next line that it prints."""
        out: IO[str] | None = self.process.stdout
        assert out is not None
        self.said.append(out.readline().rstrip("\n"))
        return self.said[-1]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def get(self, path: str, token: str = "") -> tuple[int, str]:
        return self.request("GET", path, token)

    def post(self, path: str, body: Any, token: str) -> tuple[int, str]:
        return self.request("POST", path, token, json.dumps(body))

    def request(
        self,
        method: str,
        path: str,
        token: str = "",
        body: str | None = None,
        given: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        headers = {**(given or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def workers(self) -> set[int]:
        return {pid for pid in children_of(self.process.pid) if "spawn_main" in _command_line(pid)}

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the first process, and answer its exit code."""
        self.process.send_signal(by)
        return self.process.wait(PATIENCE_S)


def children_of(parent: int) -> set[int]:
    """Return the processes that a process has started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which is in brackets and may hold anything: state, parent, …
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.add(int(stat.parent.name))
    return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until(happened: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so; fail when it takes too long."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
