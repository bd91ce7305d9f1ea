"""Other processes for the tests: forked, so that they begin at once and can be killed."""

from __future__ import annotations

import multiprocessing
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

FORK = multiprocessing.get_context("fork")
PATIENCE_S = 60

# Forked from a process that was started for that and has never opened a ledger.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["tests.store.test_processes", "tests.webhooks.sender"])


def start(function: Callable[..., Any], *args: Any) -> ForkProcess:
    """Start a function in a process of its own."""
    process = FORK.Process(target=function, args=args, daemon=True)
    with warnings.catch_warnings():
        # The child uses no lock that a thread of ours may hold now: that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def start_clean(function: Callable[..., Any], *args: Any) -> Any:
    """Start a function of a module in a process that inherits nothing of this one.

    SQLite keeps in its process who holds which lock. A process that is forked while a thread of
    ours is inside SQLite believes that it holds what that thread holds, and reads pages that others
    are writing: it finds a malformed file. So who follows a ledger in SQLite starts others by this.
    """
    process = CLEAN.Process(target=function, args=args, daemon=True)
    process.start()
    return process


def in_processes(
    count: int,
    function: Callable[..., Any],
    *args: Any,
    meanwhile: Callable[[], object] = lambda: None,
) -> list[Any]:
    """Call `function(number, *args)` in as many processes, all at once; answer the results.

    Args:
        meanwhile: what this process does while they run.

    Raises:
        AssertionError: one of them raised; the message is its traceback.
    """
    results: SimpleQueue = FORK.SimpleQueue()
    ready = FORK.Barrier(count)
    processes = [start(_run, results, ready, number, function, args) for number in range(count)]
    meanwhile()
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join(PATIENCE_S)
    for number, _, error in answers:
        assert error is None, f"process {number}:\n{error}"
    return [answer for _, answer, _ in sorted(answers, key=lambda answer: answer[0])]


def _run(
    results: SimpleQueue, ready: Any, number: int, function: Callable[..., Any], args: tuple
) -> None:
    try:
        ready.wait(PATIENCE_S)
        results.put((number, function(number, *args), None))
    except BaseException:
        results.put((number, None, traceback.format_exc()))
        raise
