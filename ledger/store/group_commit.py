"""Group commit: appends of several threads share one commit, and each keeps its own outcome.

A commit costs the disk or the network a fixed time, whether it carries one event or fifty. So a
thread that wants to append while another one commits does not start a commit of its own: it queues.

1. A thread that finds nobody at work is the *leader*. It commits what it came with at once: a
   single caller waits for nothing and nobody.
2. A thread that finds a leader at work queues as a *follower* and sleeps.
3. A leader takes the queue as it is, itself included, and commits it: in one batch, in several if
   it is too heavy for one. Then the first of those who queued meanwhile becomes the next leader,
   and the followers wake to their outcomes. So nobody leads for ever, and nobody is passed over.

    A leads  [A] ────────┐
    B queues   ·         ├ leads [B C D] ────┐
    C queues     ·       │   ·               ├ leads [E A] …
    D queues       ·     │   ·               │
    E queues             │        ·          │

Those whom a commit has just let go are likely to come back with their next append. A leader that
began without them would commit alone, and every second commit would be for one. So while fewer
queue than the last commit held, it waits for them, at most an eighth of the time that commit took.
After a commit for one, nobody waits.

There is no thread of its own and no timer. What must never happen is a follower that sleeps for
ever. So until an append is taken by a leader it stands in the queue; taking the queue is one
assignment, which no signal can split; and leadership is passed on, and every follower woken, in a
`finally` whose steps can be repeated. An exception of any kind, at any point, costs at most what
was under way: those followers are told `OutcomeUnknown`, since nobody can say how far it came.

An interrupted caller (Ctrl-C) that still queues is withdrawn: its append is not recorded. If its
append is under way, it is recorded or not as if the caller had waited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Generic, TypeVar

from ledger.store.contract import OutcomeUnknown

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")

WAITED_PART = 1 / 8  # of the last commit's time
PAUSE_S = 0.00002

Commit = Callable[[Sequence[WorkT]], Sequence[ResultT | Exception]]


class _Place(Generic[WorkT, ResultT]):
    """One caller's place: what it brought, what it waits at, and what came of it.

    Attributes:
        gate: of who has to wait: released when there is an outcome, or when it is our turn.
        taken: the places that this one leads, itself among them.
        successor: who leads next, once this one has led.
    """

    __slots__ = ("gate", "outcome", "successor", "taken", "work")

    def __init__(self, work: WorkT) -> None:
        self.work = work
        self.gate: Lock | None = None
        self.outcome: ResultT | Exception | None = None
        self.taken: Sequence[_Place[WorkT, ResultT]] = ()
        self.successor: _Place[WorkT, ResultT] | None = None

    def close(self) -> None:
        """Have the caller wait."""
        self.gate = Lock()
        self.gate.acquire()

    def open(self) -> None:
        """Let the caller go on. May be repeated: nobody waits at a gate twice."""
        if self.gate is not None and self.gate.locked():
            self.gate.release()


class GroupCommit(Generic[WorkT, ResultT]):
    """Hands the work of concurrent threads to `commit` in batches, one batch at a time.

    Args:
        commit: takes the work of a batch, answers one outcome for each in the same order: its
            result, or an exception made for it alone, which its caller raises. What `commit` itself
            raises makes every outcome of the batch unknown.
        weight: how heavy a piece of work is.
        weight_max: how heavy a batch may become; a heavier piece is committed by itself.
    """

    def __init__(
        self,
        commit: Commit[WorkT, ResultT],
        weight: Callable[[WorkT], int],
        weight_max: int,
    ) -> None:
        self._commit = commit
        self._weight = weight
        self._weight_max = weight_max
        self._mutex = Lock()
        self._queue: list[_Place[WorkT, ResultT]] = []  # the leader too, until it takes the queue
        self._leader: _Place[WorkT, ResultT] | None = None
        self._last_size = 1
        self._wait_until = 0.0

    def submit(self, work: WorkT) -> ResultT:
        """Commit `work`, alone or with what others bring; return or raise its own outcome."""
        place: _Place[WorkT, ResultT] = _Place(work)
        try:
            with self._mutex:
                if self._leader is None:
                    self._leader = place
                else:
                    place.close()
                self._queue.append(place)
            if place.gate is not None:
                place.gate.acquire()
            if self._leader is place:
                self._lead(place)
        finally:
            try:
                self._leave(place)
            except BaseException:  # interrupted in the middle
                self._leave(place)
                raise
        outcome = place.outcome
        if isinstance(outcome, Exception):
            raise outcome
        assert outcome is not None, "every place that was waited for has an outcome"
        return outcome

    @property
    def waiting(self) -> int:
        """Return how many callers wait for a leader to take them."""
        return len(self._queue)

    def _lead(self, place: _Place[WorkT, ResultT]) -> None:
        while len(self._queue) < self._last_size and time.monotonic() < self._wait_until:
            time.sleep(PAUSE_S)
        with self._mutex:
            place.taken, self._queue = self._queue, []
        self._last_size = len(place.taken)
        if self._last_size == 1:
            self._commit_batch(place.taken)
            return
        began_at = time.monotonic()
        for batch in self._batches(place.taken):
            self._commit_batch(batch)
        ended_at = time.monotonic()
        self._wait_until = ended_at + (ended_at - began_at) * WAITED_PART

    def _commit_batch(self, batch: Sequence[_Place[WorkT, ResultT]]) -> None:
        try:
            outcomes = self._commit([each.work for each in batch])
            for each, outcome in zip(batch, outcomes, strict=True):
                each.outcome = outcome
        except Exception as fault:
            _settle(batch, fault)

    def _batches(
        self, places: Sequence[_Place[WorkT, ResultT]]
    ) -> list[Sequence[_Place[WorkT, ResultT]]]:
        batches, start, weight = [], 0, 0
        for index, place in enumerate(places):
            weight += self._weight(place.work)
            if weight > self._weight_max and index > start:
                batches.append(places[start:index])
                start, weight = index, self._weight(place.work)
        return [*batches, places[start:]]

    def _leave(self, place: _Place[WorkT, ResultT]) -> None:
        """Leave the queue, pass leadership on, wake the followers: whichever is still to do.

        May be broken off at any point and repeated.
        """
        if place.outcome is None or self._leader is place:
            with self._mutex:
                if place in self._queue:
                    self._queue.remove(place)
                if self._leader is place:
                    place.successor = self._queue[0] if self._queue else None
                    self._leader = place.successor
        if place.successor is not None:
            place.successor.open()
        if len(place.taken) > 1:
            _settle(place.taken, None)
            for each in place.taken:
                if each is not place:
                    each.open()
        place.taken = ()  # it holds us in turn: nothing is left to the garbage collector


def _settle(places: Sequence[_Place[WorkT, ResultT]], cause: Exception | None) -> None:
    """Make unknown the outcomes that a commit left open when it broke off."""
    for place in places:
        if place.outcome is None:
            unknown = OutcomeUnknown("the commit that this append was part of broke off")
            unknown.__cause__ = cause
            place.outcome = unknown
