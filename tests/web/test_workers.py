"""Workers that cannot be started are tried again, ever more seldom."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from web.serving import PAUSE_S, PAUSE_S_MAX, _Workers


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
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as listener:
        workers = _Workers(listener, 1, 1, dict)  # type: ignore[arg-type]
        workers._began[0] = time.monotonic() - 100  # noqa: SLF001 - the one before lived long
        pauses = []
        with no_more_files():
            for _ in range(10):
                workers._start_at[0] = 0.0  # noqa: SLF001
                workers.start_due()
                pauses.append(round(workers._start_at[0] - time.monotonic(), 1))  # noqa: SLF001
    assert workers.alive == {}
    assert len(caplog.messages) == len(pauses)
    assert sorted(pauses) == pauses
    assert PAUSE_S_MAX / 2 < pauses[-1] <= PAUSE_S_MAX
    assert pauses[0] <= 2 * PAUSE_S
