"""A primary is lost, and a standby takes its place, while the processes stay up.

With a synchronous standby nothing that was acknowledged is lost. With one that was not waited for
the last commits are: then that is noticed, and nothing is answered that is not in the ledger.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

import psycopg

from tests.cli.program import wait_until
from tests.drills.clients import BROKEN, REFUSED, Clients, Journal
from tests.drills.kills import healthy
from tests.drills.places import Place, Served, place, served
from tests.drills.report import Report
from tests.pairs import Pair
from tests.postgres_server import OwnServer

WORKERS: Final = 2
GAP_S: Final = 1.0
ROUNDS: Final = 5

# How the primary is lost; of one that hangs, the fence comes when the standby has taken over.
Lost = Callable[[OwnServer], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def _killed(primary: OwnServer) -> Iterator[None]:
    primary.kill()
    yield


@contextlib.contextmanager
def _stopped(primary: OwnServer) -> Iterator[None]:
    primary.stop()
    yield


@contextlib.contextmanager
def _hung(primary: OwnServer) -> Iterator[None]:
    with primary.hung():
        yield
        primary.kill()


# The asynchronous one's primary is killed.
WAYS_QUICK: Final[dict[str, Lost]] = {"stopped": _stopped}
WAYS: Final[dict[str, Lost]] = {**WAYS_QUICK, "killed": _killed, "hung and fenced": _hung}


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    random = Random(f"failover-{seed}")
    for way, lose in (WAYS_QUICK if quick else WAYS).items():
        gaps = []
        for _ in range(1 if quick else ROUNDS):
            found, gap_s, said = _synchronous(lose, random)
            faults += [f"{way}: {fault}" for fault in found]
            gaps.append(gap_s)
            figures[f"synchronous, {way}"] = said
        figures[f"synchronous, {way}: first answer"] = f"at most {max(gaps):.2f} s after promotion"
        if not quick and way != "hung and fenced" and max(gaps) >= GAP_S:
            faults.append(f"{way}: the first answer came {max(gaps):.1f} s after promotion")
    found, lost, said = _asynchronous(seed)
    faults += found
    figures["asynchronous"] = said
    its = {"acknowledged commits that a fail-over lost": lost} if planted else {}
    return Report(figures, faults, its)


@contextlib.contextmanager
def _working(running: Served, token: str, seed: int, name: str) -> Iterator[Clients]:
    clients = Clients(running.server.port, token, seed, name)
    with clients.going_on():
        clients.wait_for_more()
        yield clients
        clients.wait_for_more()


def _synchronous(lose: Lost, random: Random) -> tuple[list[str], float, str]:
    with place("PostgreSQL") as at:
        primary = at.database
        assert primary
        token = at.program.json("tokens", "create", "--role", "admin")["token"]
        standby = primary.add_standby(at.session)
        _name_both(at, primary.port, standby.port)
        with served(at.program, "--workers", str(WORKERS)) as running:
            workers = running.server.workers()
            with _working(running, token, random.randint(0, 999), "sync") as clients:
                time.sleep(random.uniform(0, 0.3))
                with lose(primary):
                    _promote(standby)
                    promoted_at = time.monotonic()
                    gap_s = clients.first_answer_after(promoted_at)
                lives = healthy(running.server)
            faults = list(clients.journal.wrong)
            if running.server.workers() != workers or not lives:
                faults.append("the processes did not stay up")
            if broken := clients.count_since(0, BROKEN):
                faults.append(f"{broken} connections broke, instead of being answered 503")
            with at.book() as book:
                faults += clients.journal.compared_with(book.follow(0))
            faults += at.verified()
    said = (
        f"{len(clients.journal.told)} acknowledged, {clients.count_since(0, REFUSED)} answered 503"
    )
    return faults, gap_s, said


def _promote(standby: OwnServer) -> None:
    with psycopg.connect(standby.admin_url, autocommit=True) as session:
        session.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        session.execute("SELECT pg_promote()")


def _name_both(at: Place, primary: int, standby: int) -> None:
    """Name both servers in the ledger's address, for whichever takes writes."""
    hosts = f"127.0.0.1:{primary},127.0.0.1:{standby}"
    url = at.url.replace(f"127.0.0.1:{primary}", hosts)
    at.program.settings["KEYFOLD_DATABASE_URL"] = f"{url}?target_session_attrs=read-write"


def _asynchronous(seed: int) -> tuple[list[str], list[str], str]:
    """Lose the last commits; return what did not hold, what was found lost, what was counted."""
    with place("PostgreSQL") as at:
        assert at.database
        token = at.program.json("tokens", "create", "--role", "admin")["token"]
        pair = Pair(at.database, at.session)
        at.program.settings["KEYFOLD_DATABASE_URL"] = pair.url
        with served(at.program, "--workers", str(WORKERS)) as running:
            with _working(running, token, seed, "kept") as kept:
                pass
            with at.book() as book:
                pair.wait_for_standby(book.head())
            pair.cut()
            with _working(running, token, seed, "lost") as lost:
                pass
            pair.fail_over()
            wait_until(lambda: running.server.get("/readyz")[0] == 200)
            with _working(running, token, seed, "after") as after:
                pass
            noticed = any("went back" in _notices(running) for _ in range(20))
            every = [kept.journal, lost.journal, after.journal]
            faults = [] if noticed else ["nothing says that the ledger went back"]
            faults += [one for journal in every for one in journal.wrong]
            with at.book() as book:
                events = list(book.follow(0))
            faults += _joined(kept.journal, after.journal).compared_with(events)
            found = _joined(*every).compared_with(events)
            faults += at.verified()
    counted = f"{len(lost.journal.told)} acknowledged and lost, noticed; nothing of them answered"
    return faults, found, counted


def _joined(*journals: Journal) -> Journal:
    joined = Journal()
    for one in journals:
        joined.told += one.told
    return joined


def _notices(running: Served) -> str:
    return " ".join(json.loads(running.server.get("/readyz")[1]).get("notices", []))
