"""`keyfold` once it has been imported: each command is a fork of one process that waits.

To import the program takes a hundred times as long as most commands do. A fork is a process of its
own all the same, with the settings, folder and input that it is given, and it ends as any other.

    forks().run(["keys", "list"], folder, environ, stdin="", patience_s=30)
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PROGRAM = "web.cli"
# What the program imports only once it is needed, and then at length.
IMPORTED_LATE = ("web.create_app", "web.app.services", "stripe", "commands.gateways.stripe")


class Forks:
    """The process that waits, and what it is told."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._socket, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.cli.forks", str(its.fileno())],
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
            )
        # Unbuffered: what has been read ahead `select` would not see.
        self._answers = self._socket.makefile("rb", buffering=0)
        atexit.register(self.close)

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        stdin: str,
        patience_s: float,
    ) -> tuple[int, str, str]:
        """Run one command to its end; return its exit code, and what it said.

        Raises:
            TimeoutExpired: it took longer, and was killed.
        """
        reader, writer = os.pipe()
        feeding = threading.Thread(target=_feed, args=(writer, stdin))
        with TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            told = json.dumps([list(arguments), str(folder), dict(environ)])
            fds = [reader, out.fileno(), err.fileno()]
            socket.send_fds(self._socket, [len(told).to_bytes(4)], fds)
            self._socket.sendall(told.encode())
            os.close(reader)
            feeding.start()
            child = int(self._answers.readline())
            code = self._wait(child, patience_s)
            feeding.join()
            if code is None:
                raise subprocess.TimeoutExpired(list(arguments), patience_s)
            return code, _whole(out), _whole(err)

    def _wait(self, child: int, patience_s: float) -> int | None:
        in_time, _, _ = select.select([self._socket], [], [], patience_s)
        if not in_time:
            os.kill(child, signal.SIGKILL)
        code = int(self._answers.readline())
        return code if in_time else None

    def close(self) -> None:
        """Let the process end."""
        self._answers.close()
        self._socket.close()
        self._process.wait()


@cache
def forks(environ: tuple[tuple[str, str], ...]) -> Forks:
    """Return the process that waits, of this test process; the first to ask starts it."""
    return Forks(dict(environ))


def _feed(writer: int, text: str) -> None:
    try:
        with open(writer, "w") as pipe:  # a pipe has no path
            pipe.write(text)
    except BrokenPipeError:
        pass  # it did not read it all


def _whole(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


# --- the process that waits -----------------------------------------------------------------------


def _import_all() -> None:
    package = import_module(PROGRAM)
    for module in pkgutil.walk_packages(package.__path__, f"{PROGRAM}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in IMPORTED_LATE:
        import_module(name)


def _wait_for_commands(asked: socket.socket) -> list[str]:
    """Return, in a fork, the arguments of a command, once everything else is as it was told."""
    while True:
        size, fds, _, _ = socket.recv_fds(asked, 4, 3)
        if not size:
            os._exit(0)  # whoever asked is gone
        arguments, folder, environ = json.loads(_exactly(asked, int.from_bytes(size)))
        child = os.fork()
        if child == 0:
            for standard, fd in enumerate(fds):
                os.dup2(fd, standard)
                os.close(fd)
            asked.close()
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environ)
            return list(arguments)
        for fd in fds:
            os.close(fd)
        asked.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _exactly(asked: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        read += asked.recv(size - len(read))
    return read


def main() -> int:
    """Wait for commands; in each fork, be the program."""
    _import_all()
    gc.freeze()
    arguments = _wait_for_commands(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = [PROGRAM, *arguments]
    return int(import_module(PROGRAM).main(arguments))


if __name__ == "__main__":
    sys.exit(main())
