"""Rounds that other programs run, in whatever language: what is measured beside Keyfold.

Such a program has an environment of its own, so that measuring against Django does not put Django
into ours. It lives for all rounds, so that its start, its imports and its first connection count
for nobody. Lines of JSON go between us:

    program   {"ready": true}                            or {"failed": "why it cannot be run"}
    we        {"seconds": 0.5}                           close its input when all is done
    program   {"calls": [0.002, …], "elapsed": 0.501}    or {"failed": "…"}

Its standard output is for these lines alone. What it writes to its standard error is shown when it
ends before it should.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from bench.measure import Measure
from bench.rounds import Run, Took, Work, threads

CHECKOUT: Final = Path(__file__).resolve().parent.parent
OTHERS: Final = CHECKOUT / ".venv-bench"
TIMEOUT_S: Final = 60.0  # for getting ready, and for a round beyond its time
_ENDING_S: Final = 10.0
_STDERR_SHOWN: Final = 600  # characters, the last


class NotRun(Exception):
    """Another program cannot be measured here; the message says why."""


def not_run(what: str, against: str, error: NotRun) -> Measure:
    """Return the row of what could not be measured."""
    last = str(error).strip().splitlines()[-1]  # a traceback names folders of this machine
    return Measure(what, against, 0, None, at_least=True, detail=f"not run: {last}")


@contextmanager
def program(
    argv: Sequence[str | Path], env: Mapping[str, str] | None = None, timeout_s: float = TIMEOUT_S
) -> Iterator[Run]:
    """Start a program that keeps to the protocol, and end it with the block.

    Args:
        env: what it is given besides our own environment.

    Raises:
        NotRun: it cannot be started, says that it cannot be run, ends too soon, or says nothing
            for so long; while it gets ready, and in a round.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as stderr:
        try:
            started = subprocess.Popen(
                argv,
                cwd=CHECKOUT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        except OSError as error:
            raise NotRun(f"{argv[0]}: {error.strerror}") from error
        with started:
            try:
                _read_message(started, stderr, timeout_s)

                def run(seconds: float) -> Took:
                    _send_message(started.stdin, {"seconds": seconds})
                    message = _read_message(started, stderr, seconds + timeout_s)
                    return Took(message["calls"], message["elapsed"])

                yield run
            finally:
                _end(started)


def python(module: str, *arguments: str) -> list[str | Path]:
    """Return the command for a module of `bench.others`, in the environment of the others.

    Raises NotRun: there is no such environment.
    """
    if not (OTHERS / "bench.txt").exists():
        raise NotRun("what it needs is not installed: ./dev bench installs it, given a network")
    return [OTHERS / "bin" / "python", "-m", module, *arguments]


def beside(runs: Sequence[Run]) -> Run:
    """Return all of these as one: they run at the same time."""

    def run(seconds: float) -> Took:
        with ThreadPoolExecutor(len(runs)) as pool:
            rounds = list(pool.map(lambda one: one(seconds), runs))
        return Took([call for one in rounds for call in one.calls], max(r.elapsed for r in rounds))

    return run


def serve(make: Callable[[], Work], clients: int, first: int = 0) -> None:
    """Be such a program: as many threads as clients call what `make` answers.

    Args:
        first: the number of the first client.
    """
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints does not break a line
    work = make()
    run = threads(lambda number: work(first + number), clients)
    _send_message(output, {"ready": True})
    for line in sys.stdin:
        _send_message(output, run(json.loads(line)["seconds"])._asdict())


def _send_message(to: IO[str] | None, line: dict[str, Any]) -> None:
    assert to is not None
    with suppress(BrokenPipeError):  # it has ended; who listens to it next is told why
        to.write(json.dumps(line) + "\n")
        to.flush()


def _read_message(
    started: subprocess.Popen[str], stderr: IO[str], timeout_s: float
) -> dict[str, Any]:
    assert started.stdout is not None
    late = threading.Event()

    def give_up() -> None:
        late.set()
        started.kill()

    watch = threading.Timer(timeout_s, give_up)
    watch.start()
    line = started.stdout.readline()
    watch.cancel()
    if late.is_set():
        raise NotRun(f"nothing was heard of it for {timeout_s:.0f} s")
    if not line:
        ended = f"it ended with {started.wait()}"
        stderr.seek(0)
        error_text = stderr.read().strip()[-_STDERR_SHOWN:]
        raise NotRun(f"{ended}: {error_text}" if error_text else ended)
    try:
        message: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise NotRun(f"it said {line.strip()[:_STDERR_SHOWN]!r}") from error
    if "failed" in message:
        raise NotRun(message["failed"])
    return message


def _end(started: subprocess.Popen[str]) -> None:
    assert started.stdin is not None
    with suppress(BrokenPipeError):
        started.stdin.close()
    try:
        started.wait(_ENDING_S)
    except subprocess.TimeoutExpired:
        started.kill()
