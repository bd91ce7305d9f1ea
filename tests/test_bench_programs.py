"""The protocol between the benchmark and the programs that it measures beside Keyfold."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.programs import NotRun, beside, program
from bench.rounds import Contestant, interleaved

COUNTS = """
import os, time
from bench.programs import serve

def make():
    print("a line of the program's own")
    def work(client):
        assert int(os.environ["FIRST"]) <= client < int(os.environ["FIRST"]) + 2
        time.sleep(0.001)
    return work

serve(make, clients=2, first=int(os.environ["FIRST"]))
"""


def _python(tmp_path: Path, text: str) -> list[str | Path]:
    file = tmp_path / "measured.py"
    file.write_text(text)
    return [sys.executable, file]


@pytest.fixture(autouse=True)
def _checkout_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))


def test_a_program_runs_round_after_round_beside_others(tmp_path: Path) -> None:
    argv = _python(tmp_path, COUNTS)
    with program(argv, {"FIRST": "0"}) as one, program(argv, {"FIRST": "2"}) as two:
        found = interleaved(
            [Contestant("alone", one), Contestant("both", beside([one, two]))],
            rounds=2,
            seconds=0.05,
        )
        took = beside([one, two])(0.05)
    assert found["alone"].median_ms >= 1
    assert found["both"].per_s > 0
    assert len(took.calls) >= 4
    assert took.elapsed >= 0.05


def test_a_program_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    argv = _python(tmp_path, """print('{"failed": "no such server"}')""")
    with pytest.raises(NotRun, match=r"^no such server$"), program(argv):
        pass


def test_a_program_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with (
        pytest.raises(NotRun, match=r"no-such-program: No such file"),
        program([tmp_path / "no-such-program"]),
    ):
        pass


def test_what_a_program_says_as_it_ends_too_soon_is_shown(tmp_path: Path) -> None:
    argv = _python(tmp_path, "raise SystemExit('the database is away')")
    with pytest.raises(NotRun, match=r"^it ended with 1: the database is away$"), program(argv):
        pass


def test_a_program_that_has_ended_between_two_rounds_is_missed(tmp_path: Path) -> None:
    argv = _python(tmp_path, """print('{"ready": true}')""")
    with program(argv) as run, pytest.raises(NotRun, match=r"^it ended with 0$"):
        run(0.01)


def test_a_round_that_fails_says_why(tmp_path: Path) -> None:
    text = """
from bench.programs import serve

def make():
    def work(client):
        raise ValueError("the 101st seat of a hundred")
    return work

serve(make, clients=1)
"""
    with (
        program(_python(tmp_path, text)) as run,
        pytest.raises(NotRun, match=r"ValueError: the 101st seat of a hundred$"),
    ):
        run(0.01)


def test_a_program_that_says_something_else_is_quoted(tmp_path: Path) -> None:
    argv = _python(tmp_path, "print('Debugger is active!')")
    with pytest.raises(NotRun, match=r"^it said 'Debugger is active!'$"), program(argv):
        pass


def test_a_program_that_says_nothing_is_ended(tmp_path: Path) -> None:
    argv = _python(tmp_path, "import time; time.sleep(60)")
    with (
        pytest.raises(NotRun, match=r"^nothing was heard of it for 0 s$"),
        program(argv, timeout_s=0.2),
    ):
        pass
