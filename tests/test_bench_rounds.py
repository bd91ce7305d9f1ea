"""The benchmark's own arithmetic: whose rates, which verdict, and that no failure is a figure."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from bench.measure import Measure, rates
from bench.results import line
from bench.rounds import Contestant, Measured, Took, Work, crew, interleaved, threads


def measure(ratio: float, goal: float | None, *, at_least: bool) -> Measure:
    return Measure("what", "against", ratio, goal, at_least, "figures")


@pytest.mark.parametrize(
    ("ratio", "goal", "at_least", "verdict"),
    [
        (0.80, 0.8, True, "good"),
        (0.73, 0.8, True, "close"),
        (0.71, 0.8, True, "short"),
        (1.50, 1.5, False, "good"),
        (1.64, 1.5, False, "close"),
        (1.68, 1.5, False, "short"),
        (0.01, None, True, "told"),
    ],
)
def test_a_row_is_short_when_it_misses_its_goal_by_more_than_a_tenth(
    ratio: float, goal: float | None, at_least: bool, verdict: str
) -> None:
    assert measure(ratio, goal, at_least=at_least).verdict == verdict


def test_a_row_says_which_way_its_goal_is() -> None:
    assert line(measure(0.5, 0.8, at_least=True)) == (
        "| what | against | 0.50 | ≥ 0.80 | short | figures |"
    )
    assert "| ≤ 0.80 | good |" in line(measure(0.5, 0.8, at_least=False))


def test_a_rate_is_held_against_a_rate() -> None:
    mine, theirs = (Measured(10, per_s, 1, 2, 3) for per_s in (300.0, 200.0))

    row = rates("what", "raw", mine, theirs, 1.0)

    assert (row.ratio, row.at_least, row.verdict) == (1.5, True, "good")


def test_contestants_take_turns_and_who_began_comes_last_in_the_next_round() -> None:
    order: list[str] = []

    def run(name: str, calls: list[float]) -> Contestant:
        def one(_seconds: float) -> Took:
            order.append(name)
            return Took(calls, 2.0)

        return Contestant(name, one)

    found = interleaved([run("a", [0.001, 0.003, 0.002]), run("b", [0.1])], rounds=3, seconds=0.0)

    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found["a"] == Measured(calls=9, per_s=1.5, median_ms=2.0, p99_ms=3.0, max_ms=3.0)
    assert found["b"].per_s == 0.5


def test_every_thread_works_and_the_first_call_of_each_is_not_counted() -> None:
    called: list[int] = []
    lock = threading.Lock()

    def work(client: int) -> None:
        with lock:
            called.append(client)
        time.sleep(0.001)

    took = threads(work, 3)(0.05)

    assert set(called) == {0, 1, 2}
    assert len(took.calls) == len(called) - 3 > 0
    assert took.elapsed >= max(took.calls)


@pytest.mark.parametrize("fails_at", [1, 3])
def test_a_failing_call_fails_the_round(fails_at: int) -> None:
    calls = iter(range(1, 100))

    def work(_client: int) -> None:
        if next(calls) == fails_at:
            raise KeyError(fails_at)

    with pytest.raises(KeyError):
        threads(work, 1)(0.05)


def make_work(fails: bool) -> Work:
    def work(client: int) -> None:
        if fails and client == 1:
            raise ValueError("client 1 failed")

    return work


def test_processes_of_a_crew_each_have_clients_of_their_own() -> None:
    with crew(partial(make_work, False), processes=2, clients=2) as run:
        first, second = run(0.02), run(0.02)

    assert first.calls
    assert second.calls


def test_a_failure_in_a_crew_is_told() -> None:
    with (
        crew(partial(make_work, True), processes=2, clients=1) as run,
        pytest.raises(ValueError, match="client 1 failed"),
    ):
        run(0.02)
