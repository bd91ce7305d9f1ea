"""Progress of work on events: a bar with how many a second, and how long it will still take.

On a terminal only, on standard error, and only when the work takes a while; nothing is left of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from web.cli.output import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHOWN_AFTER_S: Final = 0.5

OnEvents = Callable[[int, int], None]


@contextmanager
def event_progress(what: str) -> Iterator[OnEvents]:
    """Show how fast work on events goes.

    Yields what to call when some more events are done: with their number, and that of all.
    """
    if not is_terminal(sys.stderr):
        yield lambda _events, _total: None
        return
    bar = _Bar(what)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    """A bar that appears once the work has taken a while."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._done = 0
        self._began = time.monotonic()
        self._shown: tuple[Progress, TaskID] | None = None

    def advance(self, events: int, total: int) -> None:
        self._done += events
        if self._shown is None and time.monotonic() - self._began > SHOWN_AFTER_S:
            self._shown = self._show(total)
        if self._shown is not None:
            bar, task = self._shown
            per_s = self._done / (time.monotonic() - self._began)
            bar.update(task, completed=self._done, total=total, per_s=f"{per_s:,.0f} events/s")

    def stop(self) -> None:
        if self._shown is not None:
            self._shown[0].stop()

    def _show(self, total: int) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[per_s]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=Console(stderr=True),
            transient=True,
        )
        task = bar.add_task(self._what, total=total, per_s="")
        bar.start()
        return bar, task
