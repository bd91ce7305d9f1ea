"""What may be slow, or down, is told of as it was last."""

from __future__ import annotations

import threading

from tests.cli.program import PATIENCE_S, wait_until
from web.lately import Lately


def test_an_answer_is_known_once_it_came_and_fresh_when_it_came_now() -> None:
    answers = iter([1, 2])
    lately = Lately(lambda: next(answers))
    seen = [(False, lately.known)]
    seen += [(lately.is_fresh(PATIENCE_S), lately.known) for _ in range(3)]
    # There is no third: it fails, and the second is still what is known.
    assert seen == [(False, None), (True, 1), (True, 2), (False, 2)]


def test_one_asks_however_many_want_to_know() -> None:
    asked, let_go = [], threading.Event()

    def ask() -> str:
        asked.append(1)
        let_go.wait()
        return "late"

    lately = Lately(ask)
    for _ in range(10):
        assert not lately.is_fresh(0.01)
    assert len(asked) == 1
    let_go.set()
    wait_until(lambda: lately.known == "late")
    assert lately.is_fresh(PATIENCE_S)
