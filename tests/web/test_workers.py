"""Workers that cannot be started are tried again, ever more seldom."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from web.server.processes import PAUSE_S, PAUSE_S_MAX, _Workers


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let this process open nothing more, so that no process can be started."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_one_that_cannot_be_started_is_tried_ever_more_seldom(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tried: list[float] = []
    with socket.socket() as listener:
        workers = _Workers(listener, 1, 1, dict)  # type: ignore[arg-type]
        with no_more_files():
            for _ in range(400):
                workers.start_due()
                if len(caplog.messages) > len(tried):
                    tried.append(now)
                now += PAUSE_S
    assert workers.alive == {}
    pauses = [later - before for before, later in pairwise(tried)]
    assert sorted(pauses) == pauses
    assert pauses[0] <= 2 * PAUSE_S
    assert PAUSE_S_MAX / 2 < pauses[-1] <= PAUSE_S_MAX
