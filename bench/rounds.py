"""Interleaved rounds, so that a machine whose speed drifts is unfair to nobody.

Machines are noisy: what counts is the ratio of two medians taken in the same run.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

Work = Callable[[int], object]


class Measured(NamedTuple):
    """Rates of one contestant: operations per second over all rounds, and the slowest hundredth."""

    per_s: float
    p99_ms: float


class Contestant(NamedTuple):
    """One way of doing the work.

    Attributes:
        work: called again and again with the client's number.
    """

    name: str
    work: Work
    clients: int = 1


def interleaved(
    contestants: Sequence[Contestant], *, rounds: int, seconds: float
) -> dict[str, Measured]:
    """Run the contestants in turn, round after round, and answer the medians by name."""
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    times: dict[str, list[float]] = {one.name: [] for one in contestants}
    for _ in range(rounds):
        for one in contestants:
            took, elapsed = _run(one, seconds)
            rates[one.name].append(len(took) / elapsed)
            times[one.name] += took
    return {
        one.name: Measured(statistics.median(rates[one.name]), _p99_ms(times[one.name]))
        for one in contestants
    }


def _run(contestant: Contestant, seconds: float) -> tuple[list[float], float]:
    took: list[float] = []
    failures: list[BaseException] = []
    start = threading.Barrier(contestant.clients + 1)

    def client(number: int) -> None:
        mine: list[float] = []
        start.wait()
        until = time.perf_counter() + seconds
        try:
            while (began := time.perf_counter()) < until:
                contestant.work(number)
                mine.append(time.perf_counter() - began)
        except BaseException as error:
            failures.append(error)
        took.extend(mine)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(contestant.clients)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return took, time.perf_counter() - began


def _p99_ms(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)] * 1000 if times else 0.0
