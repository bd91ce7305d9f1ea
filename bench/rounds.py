"""Interleaved rounds, so that a machine whose speed drifts is unfair to nobody.

Machines are noisy: what counts is the ratio of two medians taken in the same run.
"""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import NamedTuple

Work = Callable[[int], object]  # is given the client's number


class Took(NamedTuple):
    """What one round took: each call, and the whole; in seconds."""

    calls: list[float]
    elapsed: float


Run = Callable[[float], Took]  # is given for how many seconds


class Contestant(NamedTuple):
    """One way of doing the work: `run` as `threads` or `crew` makes it."""

    name: str
    run: Run


class Measured(NamedTuple):
    """One contestant over all rounds: how many calls, how many a second, and how long they took."""

    calls: int
    per_s: float
    median_ms: float
    p99_ms: float
    max_ms: float


def interleaved(
    contestants: Sequence[Contestant], *, rounds: int, seconds: float
) -> dict[str, Measured]:
    """Run the contestants in turn, round after round, and answer the medians by name."""
    found: dict[str, list[Took]] = {one.name: [] for one in contestants}
    for number in range(rounds):
        # Whoever comes first in one round comes last in the next.
        for one in contestants if number % 2 == 0 else reversed(contestants):
            found[one.name].append(one.run(seconds))
    return {name: _measured(rounds) for name, rounds in found.items()}


def _measured(rounds: Sequence[Took]) -> Measured:
    calls = sorted(call for one in rounds for call in one.calls)
    return Measured(
        len(calls),
        statistics.median(len(one.calls) / one.elapsed for one in rounds),
        *(1e3 * calls[int((len(calls) - 1) * part)] for part in (0.5, 0.99, 1)),
    )


def threads(work: Work, clients: int = 1) -> Run:
    """Let so many threads of this process call `work` again and again."""

    def run(seconds: float) -> Took:
        calls: list[float] = []
        failures: list[BaseException] = []
        start = threading.Barrier(clients + 1)

        def client(number: int) -> None:
            mine: list[float] = []
            try:
                work(number)  # whoever needs a connection for each thread makes it now, uncounted
            except BaseException as error:
                failures.append(error)
            start.wait()
            until = time.perf_counter() + (0 if failures else seconds)
            try:
                while (began := time.perf_counter()) < until:
                    work(number)
                    mine.append(time.perf_counter() - began)
            except BaseException as error:
                failures.append(error)
            calls.extend(mine)

        at_work = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
        for thread in at_work:
            thread.start()
        start.wait()
        began = time.perf_counter()
        for thread in at_work:
            thread.join()
        if failures:
            raise failures[0]
        return Took(calls, time.perf_counter() - began)

    return run


@contextmanager
def crew(make: Callable[[], Work], processes: int, clients: int = 1) -> Iterator[Run]:
    """Let so many processes of so many threads each call what `make` answers in each of them.

    They are new processes, which share nothing with this one: `make` is a function of a module, or
    a `functools.partial` of one. Clients are numbered from 0 over all of them.
    """
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    workers = []
    for number in range(processes):
        ours, theirs = context.Pipe()
        worker = context.Process(target=_serve, args=(theirs, make, number * clients, clients))
        worker.start()
        theirs.close()
        pipes.append(ours)
        workers.append(worker)

    def run(seconds: float) -> Took:
        for pipe in pipes:
            pipe.send(seconds)
        rounds = [pipe.recv() for pipe in pipes]
        for one in rounds:
            if isinstance(one, BaseException):
                raise one
        return Took([call for one in rounds for call in one.calls], max(r.elapsed for r in rounds))

    try:
        for pipe in pipes:
            pipe.recv()  # it is ready
        yield run
    finally:
        for pipe in pipes:
            pipe.close()
        for worker in workers:
            worker.join()


def _serve(pipe: Connection, make: Callable[[], Work], first: int, clients: int) -> None:
    work = make()
    run = threads(lambda number: work(first + number), clients)
    pipe.send("ready")
    while True:
        try:
            seconds = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(run(seconds))
        except Exception as error:
            pipe.send(error)
