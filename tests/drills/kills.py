"""Killed with -9, among eight clients: a worker, all workers, the server, the database.

What the clients were acknowledged is in a journal outside; it is compared with the ledger in the
end: nothing lost, nothing doubled, and the verifiers are content.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.client import HTTPException
from random import Random
from typing import Final

from ledger.events import AnyEvent
from tests.cli.program import Server, wait_until
from tests.drills.clients import BROKEN, REFUSED, Call, Clients, Journal, Told
from tests.drills.places import KINDS, Place, Served, place, served
from tests.drills.report import Report
from tests.losing import lose
from tests.postgres_server import OwnServer

ROUNDS_QUICK: Final = 1  # of each victim, on each database
ROUNDS: Final = 25  # 200 in all
WORKERS: Final = 2
# Until the first answer, half of the times.
ONE_WORKER_S, WHOLE_SERVER_S = 2.0, 5.0


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        with place(kind) as ledger:
            its = _Rounds(ledger, seed)
            with its.running():
                its.all_of_them(ROUNDS_QUICK if quick else ROUNDS)
            with ledger.book() as book:
                events = list(book.follow(0))
            # Of a single kill, and beside other tests, a time says nothing.
            faults += its.faults(hold_to_times=not quick)
            faults += [*its.journal.compared_with(events), *ledger.verified()]
            figures |= {f"{kind}: {name}": figure for name, figure in its.figures().items()}
            if planted:
                found |= {
                    f"{kind}: {name}": said
                    for name, said in _planted(ledger, its.journal, events).items()
                }
    return Report(figures, faults, found)


def _planted(ledger: Place, journal: Journal, events: list[AnyEvent]) -> dict[str, list[str]]:
    """Plant a fault at a time into the journal and into the ledger, and look again."""
    invented = Journal()
    invented.told = [*journal.told, Told("seat", "", "till-invented")]
    unheard = Journal()
    unheard.told = journal.told[:-1]
    found = {
        "an acknowledgement that nobody gave": invented.compared_with(events),
        "an event that nobody was told of": unheard.compared_with(events),
        "an event twice": journal.compared_with([*events, events[-1]]),
    }
    last_seat = max(event.position for event in events if event.name.startswith("account.seat_occ"))
    lose(ledger.url, last_seat)
    with ledger.book() as book:
        found["an acknowledged event deleted"] = journal.compared_with(book.follow(0))
    found["an event deleted, by the verifiers"] = ledger.verified()
    return found


def healthy(server: Server) -> bool:
    """Return whether it says that it answers."""
    with suppress(OSError, HTTPException):
        return server.get("/healthz")[0] == 200
    return False


class _Rounds:
    """The rounds on one database."""

    def __init__(self, ledger: Place, seed: int) -> None:
        self._ledger = ledger
        self._random = Random(f"kills-{seed}")
        self._seed = seed
        self._clients: Clients
        self._served: Served
        self._until_answered: defaultdict[str, list[float]] = defaultdict(list)
        self._refused: defaultdict[str, list[Call]] = defaultdict(list)

    @property
    def journal(self) -> Journal:
        return self._clients.journal

    @contextmanager
    def running(self) -> Iterator[None]:
        token = self._ledger.program.json("tokens", "create", "--role", "admin")["token"]
        with served(self._ledger.program, "--workers", str(WORKERS)) as self._served:
            self._clients = Clients(self._served.server.port, token, self._seed)
            with self._clients.going_on():
                self._clients.wait_for_more()
                yield
                self._clients.wait_for_more()

    def all_of_them(self, rounds: int) -> None:
        victims: dict[str, Callable[[], float]] = {
            "one of two workers": self._one_worker,
            "all workers": self._all_workers,
            "the server": self._server,
        }
        if self._ledger.database:
            victims["the database"] = partial(self._database, OwnServer.kill)
            victims["the database, by a restart"] = partial(self._database, OwnServer.stop)
        order = [*victims] * rounds
        self._random.shuffle(order)
        for victim in order:
            wait_until(lambda: len(self._served.server.workers()) == WORKERS)
            self._clients.wait_for_more()
            time.sleep(self._random.uniform(0, 0.3))
            moment = victims[victim]()
            self._until_answered[victim].append(self._clients.first_answer_after(moment))
            self._refused[victim] += self._clients.calls_since(moment, REFUSED)
            broken = self._clients.count_since(moment, BROKEN)
            if broken and victim.startswith("the database"):
                self.journal.wrong.append(f"{broken} connections broke while there was no database")

    # Each returns the moment at which all of them were dead.

    def _one_worker(self) -> float:
        os.kill(self._random.choice(sorted(self._served.server.workers())), signal.SIGKILL)
        return time.monotonic()

    def _all_workers(self) -> float:
        for worker in self._served.server.workers():
            os.kill(worker, signal.SIGKILL)
        return time.monotonic()

    def _server(self) -> float:
        self._served.kill(whole=self._random.random() < 0.5)
        dead_at = time.monotonic()
        self._served.start_again()
        return dead_at

    def _database(self, end: Callable[[OwnServer], None]) -> float:
        assert self._ledger.database
        end(self._ledger.database)
        dead_at = time.monotonic()
        if not healthy(self._served.server):
            self.journal.wrong.append("/healthz does not answer while there is no database")
        self._ledger.database.start()
        return dead_at

    def faults(self, *, hold_to_times: bool) -> list[str]:
        """Return what did not hold while they wrote."""
        faults = list(self.journal.wrong)
        one = "one of two workers"
        if refused := self._refused[one]:
            said = f"{len(refused)} requests were refused while a worker was replaced"
            faults.append(f"{said}: {refused[0].said}")
        for victim, bound in ((one, ONE_WORKER_S), ("the server", WHOLE_SERVER_S)):
            median = statistics.median(self._until_answered[victim])
            if hold_to_times and median >= bound:
                faults.append(f"{median:.1f} s until the first answer after {victim} was killed")
        return faults

    def figures(self) -> dict[str, str]:
        """Return what was counted and measured."""
        kills = sum(map(len, self._until_answered.values()))
        calls = self.journal.calls
        broken = self._clients.count_since(0, BROKEN)
        counted = (
            f"{kills} kills, {len(self.journal.told)} acknowledged, {broken} connections broke,"
            f" of {len(calls)} requests"
        )
        times = {
            f"first answer after {victim}": (
                f"median {statistics.median(times):.2f} s, at most {max(times):.2f} s"
            )
            for victim, times in self._until_answered.items()
        }
        return {"rounds": counted, **times}
