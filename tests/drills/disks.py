"""Disks that are full, read-only, or cannot be read, under eight clients or one."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import psycopg

from tests.cli.program import Server, wait_until
from tests.drills import hampered
from tests.drills.clients import BROKEN, REFUSED, Clients
from tests.drills.meanwhile import (
    HAMPERED,
    MIB,
    SEAT,
    CannotTry,
    Seen,
    admin_of,
    asked,
    filled,
    mounted,
    ordered,
    seat_a_till,
    watched,
)
from tests.drills.places import Kind, Place, place, served
from tests.postgres_server import OwnServer

WithoutRoom = Callable[[Server], contextlib.AbstractContextManager[None]]

ROOM_MIB: Final = 16
POSTGRES_ROOM_MIB: Final = 200
FULL_S_QUICK, FULL_S = 3.0, 20.0
SHED: Final = "Nothing was looked at"  # by a server that is busy being refused by its disk


def full(kind: Kind, *, quick: bool, planted: str = "") -> Seen:
    """Fill the disk of a ledger under eight clients; then make room."""
    seen = Seen()
    for_s = FULL_S_QUICK if quick else FULL_S
    with _on_a_small_disk(kind) as (at, without_room):
        at.program.settings |= {hampered.PLANTED: planted} if planted else {}
        at.program.command = HAMPERED if planted else at.program.command
        token = admin_of(at)
        with served(at.program, "--workers", "2") as running:
            server = running.server
            seat_a_till(server, token)
            with at.book() as book:
                before = book.head()
            workers = server.workers()
            clients = Clients(server.port, token, 0)
            with clients.going_on():
                clients.wait_for_more()
                with without_room(server):
                    filled_at = time.monotonic()
                    with watched(server, token, "/healthz", SEAT) as watch:
                        wait_until(lambda: bool(clients.calls_since(filled_at, REFUSED)))
                        time.sleep(for_s)
                    ready = asked(server, token, "GET", "/readyz")
                    refused = clients.calls_since(filled_at, REFUSED)
                    told = len(clients.journal.told)
                room_at = time.monotonic()
                again_s = clients.first_answer_after(room_at)
            seen.faults += watch.other_than(200)
            seen.hold(server.workers() == workers, "a worker died")
            seen.hold(clients.count_since(0, BROKEN) == 0, "connections broke")
        said = [json.loads(one.said)["detail"] for one in refused]
        silent = [one for one in said if "make room" not in one and SHED not in one]
        seen.hold(not silent, f"a refusal does not say that the disk is full: {silent[:1]}")
        seen.hold(any("make room" in one for one in said), "no refusal says that it is full")
        seen.faults += clients.journal.wrong
        with at.book() as book:
            seen.faults += clients.journal.compared_with(book.follow(before))
        seen.faults += at.verified()
    seen.figures = {
        "acknowledged before; refused": f"{told}; {len(refused)}",
        "/readyz": str(ready),
        "/healthz and a seat": str(watch),
        "first answer once there was room": f"{again_s:.2f} s",
    }
    return seen


@contextlib.contextmanager
def _on_a_small_disk(kind: Kind) -> Iterator[tuple[Place, WithoutRoom]]:
    """Make a ledger whose disk can be filled, and return with it how."""
    if kind == "PostgreSQL":
        with place(kind) as at:
            assert at.database
            data = at.database.data
            with _moved(at.database):
                yield at, lambda _: filled(data)
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            stack.enter_context(mounted(folder, ROOM_MIB))
        except CannotTry:
            yield stack.enter_context(place(kind, within=folder)), _of_no_size
            return
        yield stack.enter_context(place(kind, within=folder)), lambda _: filled(folder)


@contextlib.contextmanager
def _moved(database: OwnServer) -> Iterator[None]:
    """Have a database's files in a small file system of their own.

    Raises:
        CannotTry: none can be mounted.
    """
    data = database.data
    kept = data.with_name("kept")
    database.stop()
    data.rename(kept)
    data.mkdir(mode=0o700)
    with mounted(data, POSTGRES_ROOM_MIB):
        subprocess.check_call(["cp", "-Rp", f"{kept}/.", str(data)])
        database.start()
        try:
            yield
        finally:
            database.stop()


@contextlib.contextmanager
def _of_no_size(server: Server) -> Iterator[None]:
    """Let no file of the workers' grow, nor be written where it has grown to."""
    for worker in server.workers():
        hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        for worker in server.workers():
            hard = resource.prlimit(worker, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (hard, hard))


def full_for_files_of_the_moment() -> Seen:
    """Fill the folder in `TMPDIR`: nothing goes there, so nothing fails."""
    seen = Seen()
    with (
        tempfile.TemporaryDirectory() as folder,
        mounted(Path(folder), 1),
        place("SQLite", TMPDIR=folder) as at,
        filled(Path(folder)),
    ):
        token = admin_of(at)
        with served(at.program, "--workers", "2") as running:
            server = running.server
            wait_until(lambda: len(server.workers()) == 2)
            workers = server.workers()
            orders = [ordered(server, token, f"o-{n}", 200) for n in range(5)]
            large = {"ref": "x" * (MIB - 4096)}
            uploads = [asked(server, token, "POST", "/v1/timeline/search", large) for _ in range(5)]
            figures = [server.get("/metrics")[0] for _ in range(5)]
            seen.hold(server.workers() == workers, "a worker died")
        refused = [str(one) for one in orders if one.status != 201]
        seen.hold(not refused, f"orders were answered {refused}")
        seen.hold({one.status for one in uploads} == {422}, f"uploads: {uploads[0]}")
        seen.hold(set(figures) == {200}, f"/metrics was answered {set(figures)}")
        seen.faults += at.verified()
    seen.figures["orders, uploads, figures"] = "15 requests, all answered as ever"
    return seen


def read_only_file() -> Seen:
    """Serve a SQLite ledger that may only be read, and let it be written again."""
    seen = Seen()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if os.geteuid() == 0:
            stack.enter_context(mounted(folder, ROOM_MIB))
        at = stack.enter_context(place("SQLite", within=folder))
        token = admin_of(at)
        log = Path(stack.enter_context(tempfile.NamedTemporaryFile()).name)
        _let_be_written(at, folder, False)
        try:
            with served(at.program, log=log) as running:
                server = running.server
                workers = server.workers()
                refused = ordered(server, token, "o")
                ready = asked(server, token, "GET", "/readyz")
                health = asked(server, token, "GET", "/healthz")
                _let_be_written(at, folder, True)
                began = time.monotonic()
                wait_until(lambda: ordered(server, token, "o").status == 201)
                again_s = time.monotonic() - began
                seen.hold(server.workers() == workers, "a worker died")
        finally:
            _let_be_written(at, folder, True)
        seen.hold(health.status == 200, f"/healthz: {health}")
        seen.hold(refused.status == 503, f"an order was answered {refused}")
        seen.hold(ready.status == 503 or "written" in str(ready.page), f"/readyz: {ready}")
        seen.faults += at.verified()
    seen.figures = {
        "an order; /readyz": f"{refused}; {ready}",
        "as before, once it may be written": f"{again_s:.2f} s",
    }
    return seen


def _let_be_written(at: Place, folder: Path, may: bool) -> None:
    if os.geteuid() == 0:
        mode = "rw" if may else "ro"
        subprocess.check_call(["mount", "-o", f"remount,{mode}", str(folder)])
        return
    for path in [at.program.folder, *at.program.folder.glob("*.db*")]:
        path.chmod((0o700 if path.is_dir() else 0o600) if may else 0o500)


def read_only_database() -> Seen:
    """Let a PostgreSQL only be read under eight clients, and then be written again."""
    seen = Seen()
    with place("PostgreSQL") as at:
        token = admin_of(at)
        with served(at.program, "--workers", "2") as running:
            server = running.server
            seat_a_till(server, token)
            with at.book() as book:
                before = book.head()
            clients = Clients(server.port, token, 0)
            with clients.going_on():
                clients.wait_for_more()
                _set_read_only(at.url, True)
                began = time.monotonic()
                with watched(server, token, "/healthz", SEAT) as watch:
                    wait_until(lambda: len(clients.calls_since(began, REFUSED)) > 8)
                refused = clients.calls_since(began, REFUSED)
                _set_read_only(at.url, False)
                again_s = clients.first_answer_after(time.monotonic())
            seen.faults += [*watch.other_than(200), *clients.journal.wrong]
        said = {json.loads(one.said)["detail"] for one in refused}
        seen.hold(any("only be read" in one for one in said), f"the refusals say {said}")
        with at.book() as book:
            seen.faults += clients.journal.compared_with(book.follow(before))
        seen.faults += at.verified()
    seen.figures = {
        "refused": f"{len(refused)}: {' '.join(sorted(said))}",
        "as before, once it may be written": f"{again_s:.2f} s",
    }
    return seen


def _set_read_only(url: str, only: bool) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(
            f"ALTER SYSTEM SET default_transaction_read_only = {'on' if only else 'off'}"
        )
        connection.execute("SELECT pg_reload_conf()")


def unreadable(planted: str = "") -> Seen:
    """Let reads of the file fail, in SQLite's own words for a disk that cannot be read."""
    seen = Seen()
    with place("SQLite") as at:
        gone = at.program.folder / "unreadable"
        at.program.settings |= {hampered.UNREADABLE: str(gone), hampered.PLANTED: planted}
        at.program.command = HAMPERED
        token = admin_of(at)
        with served(at.program) as running:
            server = running.server
            seat_a_till(server, token)
            gone.touch()
            asks = [("GET", SEAT), ("GET", "/v1/keys"), ("GET", "/readyz"), ("PUT", SEAT + "-2")]
            answers = {
                f"{method} {path}": asked(
                    server, token, method, path, {} if method == "PUT" else None
                )
                for method, path in asks
            }
            health = asked(server, token, "GET", "/healthz")
            gone.unlink()
            wait_until(lambda: asked(server, token, "GET", SEAT).status == 200)
        seen.hold(health.status == 200, f"/healthz: {health}")
        for what, answer in answers.items():
            said = answer.status == 503 and "cannot be read" in answer.detail
            seen.hold(said, f"{what} was answered {answer}")
        seen.faults += at.verified()
    seen.figures["a seat, a list, /readyz, a change"] = str(next(iter(answers.values())))
    return seen
