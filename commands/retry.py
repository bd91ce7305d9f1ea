"""Decide again when another writer came between."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Generic, NamedTuple, TypeVar

from commands.services import Services
from ledger.book import Change
from ledger.events import Fact, RequestContext, Stream
from ledger.loaded import Loaded
from ledger.store.contract import VersionConflict

ResultT = TypeVar("ResultT")
StateT = TypeVar("StateT")

TRIES_MAX = 100
PAUSE_MAX_S = 0.02

# Of this process: a figure to watch, which nothing is decided on.
ROUNDS: Final[Counter[str]] = Counter(lost=0)


class LedgerBusy(Exception):
    """Others kept writing to the same stream; nothing was recorded: try again."""


def retry_on_conflict(
    attempt: Callable[[], ResultT], turn: AbstractContextManager[None] | None = None
) -> ResultT:
    """Run a round of load, decide, append until it goes through or is refused; return its result.

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
            ROUNDS["lost"] += 1
            # The first loss is answered at once; after that, waiting a little spreads the writers.
            time.sleep(random.uniform(0, min(tried * 0.001, PAUSE_MAX_S)))  # noqa: S311
    raise LedgerBusy


class Decided(NamedTuple, Generic[StateT]):
    """A stream just after a decision about it, and the ledger's position then.

    Attributes:
        replayed: the same request had been carried out before.
    """

    loaded: Loaded[StateT]
    position: int
    replayed: bool = False


def decide(
    services: Services,
    context: RequestContext,
    stream: Stream[StateT],
    id: str,
    decision: Callable[[Loaded[StateT]], Sequence[Fact]],
) -> Decided[StateT]:
    """Load a stream, record what is decided about it, and return the stream just after.

    If another writer came between, it is loaded again, and decided about anew.

    Raises:
        LedgerBusy: as `retry_on_conflict`.
    """

    def attempt() -> Decided[StateT]:
        loaded = services.book.load(stream, id)
        appended = services.book.append(context, Change(loaded, decision(loaded)))
        return Decided(appended.loaded[0], appended.position)

    return retry_on_conflict(attempt)
