"""A past byte is changed: processes that are asked whether they are ready say so within an hour."""

from __future__ import annotations

import http.client
import json
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random
from typing import Final

from projections.audit.past_check import PastCheck
from projections.audit.tree import TABLE
from tests.cli.program import Server, wait_until
from tests.drills.places import KINDS, place, served
from tests.drills.report import Report
from tests.proof.attacks import Attacker, attacker
from tests.proof.ledgers import Ledger, opened

EVENTS_QUICK, EVENTS = 3_000, 200_000
TIMES_QUICK, TIMES = 2, 20
ASKED_EVERY_S: Final = 60.0
HOUR_S: Final = 3600.0
SAID_WITHIN_S: Final = 150.0  # by a process that rests for twenty times what a share took
HURRIED: Final = (sys.executable, "-m", "tests.drills.hurried")

Does = Callable[[Attacker, int], object]

# Done twice, each of these is undone.
TAKEN_BACK: Final[dict[str, Does]] = {
    "a byte of an event is another": Attacker.change_state,
    "two events are swapped": lambda evil, position: evil.swap(position - 1, position),
}
FOR_GOOD: Final[dict[str, Does]] = {
    "hashes of the tree are others": lambda evil, _: evil.run(
        f"UPDATE {TABLE} SET hashes = ? WHERE level = 0 AND number = 1", b"x" * 8192
    ),
    "an event is deleted": Attacker.delete,
}


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    random = Random(f"past-{seed}")
    count = EVENTS_QUICK if quick else EVENTS
    times = TIMES_QUICK if quick else TIMES
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        with place(kind) as at, closing(opened(at.url)) as ledger:
            ledger.add(count)
            _said_within_an_hour(ledger)  # now all of it has been hashed once
            began = time.monotonic()
            said, _ = _said_within_an_hour(ledger)
            took = time.monotonic() - began
            faults += [f"{kind}: nothing was changed, and it says: {one}" for one in said]
            figures[f"{kind}: {count} events hashed again"] = f"{took:.1f} s of each hour"
            if planted:
                its = _planted(ledger, random, times, count)
                found |= {f"{kind}: {name}": said for name, said in its.items()}
    if planted:
        found["the served program's /readyz"] = _served_readiness(random)
    return Report(figures, faults, found)


def _said_within_an_hour(ledger: Ledger) -> tuple[list[str], float]:
    """Ask every minute of a clock; return what a new process says, and after how many s."""
    now = 0.0
    check = PastCheck(ledger.book, ledger.tables, lambda: now)
    while now < HOUR_S:
        now += ASKED_EVERY_S
        if said := check.check_share():
            return [said], now
    return [], now


def _planted(ledger: Ledger, random: Random, times: int, count: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, does in TAKEN_BACK.items():
        for _ in range(times):
            position = random.randint(2, count)
            with attacker(ledger.url) as evil:
                does(evil, position)
            said, after_s = _said_within_an_hour(ledger)
            with attacker(ledger.url) as evil:
                does(evil, position)
            found[f"{name}, at {position}"] = [f"after {after_s:.0f} s: {one}" for one in said]
    found["it is put right"] = [] if _said_within_an_hour(ledger)[0] else ["nothing is said"]
    for name, does in FOR_GOOD.items():
        with attacker(ledger.url) as evil:
            does(evil, random.randint(2, count))
        found[name] = _said_within_an_hour(ledger)[0]
    return found


def _served_readiness(random: Random) -> list[str]:
    """Change a byte under the program itself, in a hurry: it says so, and not before."""
    with place("SQLite") as at:
        at.program.done("demo")
        with at.book() as book:
            position = random.randint(1, book.head())
        at.program.command = HURRIED
        with served(at.program, "--workers", "2") as running:
            # What was never hashed could be anything.
            at.program.done("audit", "checkpoint")
            before = _ready(running.server)
            with attacker(at.url) as evil:
                evil.change_state(position)
            said: list[tuple[int, str]] = []

            def all_say_so() -> bool:
                said[:] = [_ready(running.server) for _ in range(8)]  # both workers are among them
                return all(status == http.HTTPStatus.SERVICE_UNAVAILABLE for status, _ in said)

            with suppress(AssertionError):
                wait_until(all_say_so, SAID_WITHIN_S)
        is_right = before[0] == http.HTTPStatus.OK and all(
            "was changed" in told for _, told in said
        )
        return [f"{status}: {told}" for status, told in said[:1]] if is_right else []


def _ready(server: Server) -> tuple[int, str]:
    status, page = server.get("/readyz")
    return status, json.loads(page).get("detail", "")
