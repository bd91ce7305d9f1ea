"""The threads of one process that handle requests: each kind has a share of them.

What has waited too long for one is refused, and so is at once, while that goes on, what would have
to wait for as long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, get_args

from web.app.thread_shares import Share, half_of

WAITING_S: Final = 0.7
DELIVERY_WAITING_S: Final = 5.0  # Stripe waits longer, and delivers again after hours only
WAITING_MAX: Final = 64  # for each thread
_ALWAYS: Final[frozenset[Share]] = frozenset({"health", "refusal"})  # however long they waited

_log = logging.getLogger("keyfold.server")


class Request(Protocol):
    """What is asked."""

    @property
    def share(self) -> Share:
        """Return which threads it is for."""


class Waiter(Protocol):
    """A connection with a request that is whole.

    Attributes:
        will_close: whether it is closed soon.
    """

    will_close: bool

    @property
    def requests(self) -> Sequence[Request]:
        """Return what it asks; the first is handled next."""

    def service(self) -> None:
        """Handle the first request."""

    def overload(self) -> None:
        """Have the request that is first refused, since it has waited for too long."""


class _Waiting(NamedTuple):
    since: float
    channel: Waiter


class Threads:
    """The threads that handle requests, and what waits for one.

    Attributes:
        oldest_s: how long the request that has been worked on the longest has taken.

    Args:
        count: threads for all but `health` and `metrics`, which have one each. There is one more
            for each request that may wait for events, so that those who do take none from the
            others; one for reads that call nobody; and one each for `seat`, `webhook` and `refusal`
            alone.
    """

    def __init__(self, count: int) -> None:
        # A quarter is kept free of changes, half of what may ask Stripe, or is said to come of it,
        # and of refusals.
        half = max(1, count // 2)
        self._most: dict[Share, int] = {
            "change": count - count // 4,
            "page": half,
            "refusal": half,
            "webhook": half,
        }
        self._count = count
        self._waiting_max = WAITING_MAX * count
        self._waiting: dict[Share, deque[_Waiting]] = {share: deque() for share in get_args(Share)}
        self._running: Counter[Share] = Counter()
        # Of this stretch of `WAITING_S` and of the one before: what was begun, what was refused.
        self._began: Counter[Share] = Counter()
        self._began_before: Counter[Share] = Counter()
        self._refused: set[Share] = set()
        self._refused_before: set[Share] = set()
        self._stretch_ends = 0.0
        self._busy: dict[int, float] = {}
        self._lock = threading.Lock()
        self._free: dict[tuple[Share, ...], threading.Condition] = {}
        self._stopped = False
        self._threads: list[threading.Thread] = []
        self._start(("health",), 1)
        self._start(("metrics",), 1)
        self._start(("refusal",), 1)
        self._start(("seat",), 1)
        self._start(("webhook",), 1)
        self._start(("seat", "read"), 1)
        # One among many that are busy would get too few moments to refuse as much as comes.
        every: tuple[Share, ...] = ("seat", "read", "wait", "page", "webhook", "change", "refusal")
        self._start(every, count + half_of(count))

    def _start(self, shares: tuple[Share, ...], count: int) -> None:
        self._free[shares] = threading.Condition(self._lock)
        for number in range(count):
            name = f"{'-'.join(shares)}-{number}"
            thread = threading.Thread(target=self._run, args=(shares,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def add_task(self, channel: Waiter) -> None:
        """Have a request answered when there is a thread for it, or refused when it waits long."""
        with self._lock:
            share = channel.requests[0].share
            if share not in _ALWAYS and len(self._waiting[share]) >= self._may_wait(share):
                self._refused.add(share)
                channel.overload()
                share = "refusal"
            self._waiting[share].append(_Waiting(time.monotonic(), channel))
            self._wake(share)

    def refuse_late(self) -> None:
        """Have what has waited for too long refused."""
        with self._lock:
            for share in self._waiting:
                self._refuse_late(share)
            if (now := time.monotonic()) > self._stretch_ends:
                self._stretch_ends = now + WAITING_S
                self._began_before, self._began = self._began, Counter()
                self._refused_before, self._refused = self._refused, set()

    def _may_wait(self, share: Share) -> int:
        """Return how many may wait. While some are refused: as many as are begun before it is late.

        So what cannot be answered is refused when it comes, and not after having waited for it.
        """
        if share == "webhook" or share not in self._refused | self._refused_before:
            return self._waiting_max
        return max(self._count, self._began_before[share], self._began[share])

    def _refuse_late(self, share: Share) -> None:
        waiting = self._waiting[share]
        too_old = time.monotonic() - (DELIVERY_WAITING_S if share == "webhook" else WAITING_S)
        while share not in _ALWAYS and waiting and waiting[0].since < too_old:
            late = waiting.popleft()
            self._refused.add(share)
            late.channel.overload()
            self._waiting["refusal"].append(late)
            self._wake("refusal")

    @property
    def oldest_s(self) -> float:
        """Return for how many seconds the oldest request has been handled; 0 when there is none."""
        began = min(list(self._busy.values()), default=None)
        return 0.0 if began is None else time.monotonic() - began

    @property
    def is_idle(self) -> bool:
        """Return whether no request is being handled, or waits to be."""
        return not self._busy and not any(self._waiting.values())

    def _wake(self, share: Share) -> None:
        for shares, free in self._free.items():
            if share in shares:
                free.notify()

    def _run(self, shares: tuple[Share, ...]) -> None:
        me = threading.get_ident()
        while True:
            with self._lock:
                while (taken := self._take(shares)) is None:
                    if self._stopped:
                        return
                    self._free[shares].wait()
                share, channel = taken
                self._running[share] += 1
                self._began[share] += 1
                self._busy[me] = time.monotonic()
            try:
                channel.service()
            except Exception as error:  # a thread that ends would be missing for ever
                _log.error("a connection broke: %s", type(error).__name__)
                channel.will_close = True
            with self._lock:
                del self._busy[me]
                self._running[share] -= 1
                if share in self._most and self._waiting[share]:
                    self._wake(share)

    def _take(self, shares: tuple[Share, ...]) -> tuple[Share, Waiter] | None:
        """Take what has waited the longest of what may be begun now."""
        found: Share | None = None
        for share in shares:
            self._refuse_late(share)  # else those who come next would wait as long for nothing
            waiting = self._waiting[share]
            most = self._most.get(share)
            if not waiting or (most is not None and self._running[share] >= most):
                continue
            if found is None or waiting[0].since < self._waiting[found][0].since:
                found = share
        return None if found is None else (found, self._waiting[found].popleft().channel)

    def stop(self) -> None:
        """Let the threads end that have nothing to do."""
        with self._lock:
            self._stopped = True
            for free in self._free.values():
                free.notify_all()
