"""Too few files, too little memory, a lock that is held, a database that hangs, wrong clocks."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from ledger.streams.batch import KeysIssued
from tests.cli.program import PATIENCE_S, Server, wait_until
from tests.drills import hampered
from tests.drills.clients import BROKEN, REFUSED, Clients
from tests.drills.meanwhile import (
    HAMPERED,
    MIB,
    SEAT,
    Answer,
    CannotTry,
    Seen,
    admin_of,
    asked,
    ordered,
    seat_a_till,
    watched,
)
from tests.drills.places import Kind, Place, place, served

FILES: Final = 64
IDLE: Final = 200
GETS_IN_S: Final = 5.0
KEYS: Final = 10_000
OURS: Final = 500
# How much more memory than it has a worker may take, from nothing to all that the order takes.
MORE_MIB_QUICK: Final = (0, 2, 4, 6, 16)
MORE_MIB: Final = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 48)
LOCKED_S_QUICK, LOCKED_S = 7.0, 30.0
HUNG_S_QUICK, HUNG_S = 8.0, 20.0
HUNG_READ_S: Final = 6.0
READ_S: Final = 2.0
CHANGE_S: Final = 20.0
OFF: Final = {
    "an hour ahead": timedelta(hours=1),
    "an hour behind": timedelta(hours=-1),
    "a day behind": timedelta(days=-1),
    "ten years ahead": timedelta(days=3652),
}


def files(planted: str = "") -> Seen:
    """Allow few files, and hold many more connections that ask nothing: a new one gets in."""
    seen = Seen()
    with place("SQLite") as at, contextlib.ExitStack() as stack:
        token = admin_of(at)
        at.program.settings |= {hampered.FILES: str(FILES), hampered.PLANTED: planted}
        at.program.command = HAMPERED
        server = stack.enter_context(served(at.program)).server
        seat_a_till(server, token)
        workers = server.workers()
        for _ in range(IDLE):
            one = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
            stack.enter_context(contextlib.closing(one))
        began = time.monotonic()
        read = asked(server, token, "GET", SEAT)
        change = ordered(server, token, "o") if read.status == 200 else read
        took_s = time.monotonic() - began
        seen.hold(change.status == 201, f"a new connection was answered: {change}")
        seen.hold(took_s < GETS_IN_S, f"a new connection got in after {took_s:.0f} s")
        seen.hold(server.workers() == workers, "a worker died")
    seen.figures[f"{FILES} files, {IDLE} idle: a read and a change"] = f"{took_s:.2f} s"
    return seen


def memory(*, quick: bool, planted: str = "") -> Seen:
    """Order many keys where there is no memory for them, then again where there is."""
    seen = Seen()
    refused = broken = ours = 0
    tried = MORE_MIB_QUICK if quick else MORE_MIB
    with place("SQLite") as at:
        token = admin_of(at)
        at.program.settings[hampered.PLANTED] = planted
        at.program.command = HAMPERED
        with served(at.program) as running:
            server = running.server
            wait_until(lambda: server.get("/readyz")[0] == 200)
            workers = server.workers()
            for more in tried:
                with _no_more_memory_than(server, more):
                    answer = ordered(server, token, f"o-{more}", KEYS)
                    health = asked(server, token, "GET", "/healthz")
                refused += answer.status == REFUSED
                broken += answer.status == BROKEN
                ours += answer.status == OURS
                clear = answer.status != REFUSED or "memory" in answer.detail
                known = answer.status in {201, REFUSED, BROKEN, OURS}
                seen.hold(clear and known, f"an order was answered {answer}")
                seen.hold(health.status in {200, REFUSED}, f"/healthz: {health}")
                again = ordered(server, token, f"o-{more}", KEYS)
                seen.hold(again.status == 201, f"with memory again, it was answered {again}")
            seen.hold(server.workers() == workers, "a worker died")
        # Not every library says that it has too little memory.
        seen.hold(refused > ours, f"{refused} orders were refused, {ours} answered {OURS}")
        with at.book() as book:
            batches = sum(isinstance(event.fact, KeysIssued) for event in book.follow(0))
        seen.hold(batches == len(tried), f"{len(tried)} orders, {batches} recorded")
    seen.figures[f"{len(tried)} orders of {KEYS} keys at the limit"] = (
        f"{refused} refused with the reason, {ours} without, {broken} answers cut off;"
        " each recorded once in the end"
    )
    return seen


@contextlib.contextmanager
def _no_more_memory_than(server: Server, more_mib: int) -> Iterator[None]:
    """Let the one worker take so much more memory, meanwhile."""
    if not hasattr(resource, "prlimit"):
        raise CannotTry("this system sets no limit of another process")
    (worker,) = server.workers()
    status = Path(f"/proc/{worker}/status").read_text().splitlines()
    (has_kib,) = (int(line.split()[1]) for line in status if line.startswith("VmData:"))
    before = resource.prlimit(worker, resource.RLIMIT_DATA)
    limit = has_kib * 1024 + more_mib * MIB
    resource.prlimit(worker, resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(worker, resource.RLIMIT_DATA, before)


def locked(*, quick: bool) -> Seen:
    """Hold SQLite's lock by another process under eight clients; then give it up."""
    seen = Seen()
    for_s = LOCKED_S_QUICK if quick else LOCKED_S
    with place("SQLite") as at, _under_clients(at, seen) as (server, token, clients):
        file = at.url.removeprefix("sqlite:///")
        other = sqlite3.connect(file, isolation_level=None)
        with contextlib.closing(other), watched(server, token, "/healthz", SEAT) as watch:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            time.sleep(for_s)
            refused = clients.calls_since(began, REFUSED)
            other.execute("ROLLBACK")
        again_s = clients.first_answer_after(time.monotonic())
        seen.faults += watch.other_than(200)
        seen.hold(watch.slowest_s[SEAT] < READ_S, f"a read took {watch.slowest_s[SEAT]:.1f} s")
        said = [json.loads(one.said)["detail"] for one in refused]
        seen.hold(any("lock" in one for one in said), f"no refusal names the lock: {said[:1]}")
        seen.figures = {
            f"locked for {for_s:.0f} s: changes refused": str(len(refused)),
            "/healthz and a seat": str(watch),
            "first answer afterwards": f"{again_s:.2f} s",
        }
    return seen


def hung(*, quick: bool) -> Seen:
    """Stop all processes of PostgreSQL under eight clients; then let them go on."""
    seen = Seen()
    for_s = HUNG_S_QUICK if quick else HUNG_S
    with place("PostgreSQL") as at, _under_clients(at, seen) as (server, token, clients):
        assert at.database
        with at.database.hung():
            began = time.monotonic()
            with watched(server, token, "/healthz") as watch:
                read = asked(server, token, "GET", SEAT)
                read_s = time.monotonic() - began
                time.sleep(max(0.0, for_s - read_s))
        calls = clients.calls_since(began, REFUSED)
        again_s = clients.first_answer_after(time.monotonic())
        longest_s = max((one.ended - one.began for one in clients.journal.calls), default=0.0)
        seen.faults += watch.other_than(200)
        seen.hold(
            read.status == REFUSED and read_s < HUNG_READ_S, f"a read: {read}, {read_s:.1f} s"
        )
        seen.hold(longest_s < for_s + CHANGE_S, f"a change took {longest_s:.0f} s")
        seen.figures = {
            f"hung for {for_s:.0f} s: refused": f"{len(calls)}, a read after {read_s:.1f} s",
            "/healthz": str(watch),
            "first answer afterwards": f"{again_s:.2f} s",
        }
    return seen


@contextlib.contextmanager
def _under_clients(at: Place, seen: Seen) -> Iterator[tuple[Server, str, Clients]]:
    """Serve a ledger to eight clients, whose journal is compared with it in the end."""
    token = admin_of(at)
    with served(at.program, "--workers", "2") as running:
        server = running.server
        wait_until(lambda: len(server.workers()) == 2)
        seat_a_till(server, token)
        with at.book() as book:
            before = book.head()
        workers = server.workers()
        clients = Clients(server.port, token, 0)
        with clients.going_on():
            clients.wait_for_more()
            yield server, token, clients
            clients.wait_for_more()
        seen.hold(server.workers() == workers, "a worker died")
        seen.hold(clients.count_since(0, BROKEN) == 0, "connections broke")
    seen.faults += clients.journal.wrong
    with at.book() as book:
        seen.faults += clients.journal.compared_with(book.follow(before))
    seen.faults += at.verified()


def clocks(kind: Kind, planted: str = "") -> Seen:
    """Set the machine's clock wrong and right again; nobody loses a seat, or a day, by it."""
    seen = Seen()
    with place(kind) as at:
        clock = at.program.folder / "clock"
        clock.write_text("0")
        at.program.settings |= {hampered.CLOCK: str(clock), hampered.PLANTED: planted}
        token = admin_of(at)
        at.program.command = HAMPERED
        with served(at.program) as running:
            server = running.server
            seat_a_till(server, token)
            for name, off in OFF.items():
                clock.write_text(str(off.total_seconds()))
                change = ordered(server, token, f"o-{name.replace(' ', '-')}")
                ready = asked(server, token, "GET", "/readyz")
                away = asked(server, token, "GET", SEAT)
                clock.write_text("0")
                back = asked(server, token, "GET", SEAT)
                again = ordered(server, token, f"r-{name.replace(' ', '-')}")
                notices = _notices(server, token)
                figure = f"{change}; /readyz {ready.status}"
                seen.figures[name] = f"{figure} {' '.join(notices)}".strip()
                licensed = back.status == 200 and back.page["licensed"]
                seen.hold(licensed, f"{name}: afterwards the till has no seat: {back}")
                seen.hold(away.status == 200, f"{name}: may it work? {away}")
                seen.hold(again.status == 201, f"{name}: afterwards an order was answered {again}")
                _hold_to_what_is_said(seen, kind, name, off, change, ready, notices)
        seen.faults += at.verified()
    return seen


def _hold_to_what_is_said(
    seen: Seen,
    kind: Kind,
    name: str,
    off: timedelta,
    change: Answer,
    ready: Answer,
    notices: list[str],
) -> None:
    if kind == "PostgreSQL":
        for what in (change, ready):
            said = what.status == REFUSED and "clock" in what.detail
            seen.hold(said, f"{name}: with a clock that is wrong, it was answered {what}")
        return
    seen.hold(change.status == 201, f"{name}: an order was answered {change}")
    told = any("ahead of the clock" in one for one in notices)
    if off > timedelta(0):
        seen.hold(told, f"{name}: nothing says that the ledger is ahead of the clock")


def _notices(server: Server, token: str) -> list[str]:
    page = asked(server, token, "GET", "/readyz").page
    return list(page.get("notices", []))
