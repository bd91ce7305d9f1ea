"""What may be slow, or down, is told of as it was last."""

from __future__ import annotations

import threading

import pytest

from tests.cli.program import PATIENCE_S, wait_until
from web.app.last_known import LastKnown


def test_an_answer_is_known_once_it_came_and_fresh_when_it_came_now() -> None:
    answers = iter([1, 2])
    lately = LastKnown(lambda: next(answers))
    seen = [(False, lately.known)]
    seen += [(lately.is_fresh(PATIENCE_S), lately.known) for _ in range(3)]
    # There is no third: it fails, and the second is still what is known.
    assert seen == [(False, None), (True, 1), (True, 2), (False, 2)]


def test_an_answer_is_kept_for_its_least_age_and_for_longer_when_it_took_long() -> None:
    now, takes, asked = [0.0], [0.0], []

    def ask() -> int:
        asked.append(now[0])
        now[0] += takes[0]
        return len(asked)

    lately = LastKnown(ask, least_age_s=60, clock=lambda: now[0])

    def known_at(at: float) -> int | None:
        now[0] = at
        assert lately.is_fresh(PATIENCE_S)
        return lately.known

    assert [known_at(at) for at in (0, 1, 59, 60, 61, 119)] == [1, 1, 1, 2, 2, 2]
    takes[0] = 10.0
    # It takes ten seconds, and so one part in twenty of the time.
    assert [known_at(at) for at in (120, 190, 329, 331)] == [3, 3, 3, 4]


def test_what_failed_is_asked_for_again_at_once() -> None:
    def ask() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise ValueError
        return "known"

    asked: list[int] = []
    lately = LastKnown(ask, least_age_s=60)
    assert [lately.is_fresh(PATIENCE_S) for _ in range(3)] == [False, True, True]
    assert (lately.known, len(asked)) == ("known", 2)


def test_where_no_thread_can_be_started_it_is_asked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lately = LastKnown(lambda: 1)
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", cannot_start)
    assert not lately.is_fresh(PATIENCE_S)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert lately.is_fresh(PATIENCE_S)


def cannot_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_one_asks_however_many_want_to_know() -> None:
    asked, let_go = [], threading.Event()

    def ask() -> str:
        asked.append(1)
        let_go.wait()
        return "late"

    lately = LastKnown(ask)
    for _ in range(10):
        assert not lately.is_fresh(0.01)
    assert len(asked) == 1
    let_go.set()
    wait_until(lambda: lately.known == "late")
    assert lately.is_fresh(PATIENCE_S)
