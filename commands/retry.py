"""Decide again when another writer came between."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from ledger.store.contract import VersionConflict

ResultT = TypeVar("ResultT")

TRIES_MAX = 100
PAUSE_MAX_S = 0.02


class LedgerBusy(Exception):
    """Others kept writing to the same stream; nothing was recorded: try again."""


def retry_on_conflict(
    attempt: Callable[[], ResultT], turn: AbstractContextManager[None] | None = None
) -> ResultT:
    """Run one round of load, decide, append until it goes through or is refused.

    Args:
        turn: taken for each round, where many threads are likely to want the same stream
            (`Book.lock`).

    Raises:
        LedgerBusy: a hundred rounds lost to others.
    """
    turn = turn or nullcontext()
    for tried in range(TRIES_MAX):
        try:
            with turn:
                return attempt()
        except VersionConflict:
            # The first loss is answered at once; after that, waiting a little spreads the writers.
            time.sleep(random.uniform(0, min(tried * 0.001, PAUSE_MAX_S)))  # noqa: S311
    raise LedgerBusy
