"""A worker, the database, or the whole machine under it is killed: what was acknowledged is there.

Meanwhile `/healthz` is answered, and changes are answered 201, or 503 with `Retry-After`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from tests.postgres_server import OwnServer

WRITERS = 6
ROUNDS = 2
SECRET = "c2VjcmV0" * 6


class Writing:
    """Many who take seats, each one after the other, and what they were answered.

    Attributes:
        taken: the holders whose seats were acknowledged.
        answers: how often each status came; 0 where the connection broke.
    """

    def __init__(self, server: Server, token: str) -> None:
        self.server, self.token = server, token
        self.taken: set[str] = set()
        self.asked: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.without_retry_after = 0
        self._over = threading.Event()

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str | None, str]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            page = response.read().decode()
            return response.status, response.getheader("Retry-After"), page

    def _write(self, writer: int) -> None:
        turn = 0
        while not self._over.is_set():
            turn += 1
            holder = f"till-{writer}-{turn}"
            self.asked.add(holder)
            try:
                status, retry, _ = self.ask(
                    "PUT", f"/v1/accounts/acme/seats/cloud_pos/{holder}", "{}"
                )
            except (OSError, http.client.HTTPException):
                status, retry = 0, "1"
            self.answers[status] += 1
            self.without_retry_after += status == 503 and retry is None
            if status in {200, 201}:
                self.taken.add(holder)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(self._write, number) for number in range(WRITERS)]
            try:
                yield
            finally:
                self._over.set()
                for writer in writers:
                    writer.result(2 * PATIENCE_S)

    def wait_for_more(self) -> None:
        before = len(self.taken)
        wait_until(lambda: len(self.taken) > before)

    def hold_to_what_was_acknowledged(self, keyfold: Program) -> None:
        """What was answered 201 is there, once; nothing is there that nobody asked for."""
        holders: list[str] = []
        path: str | None = "/v1/accounts/acme/seats?limit=500"
        while path:
            status, _, page = self.ask("GET", path)
            assert status == 200
            found = json.loads(page)
            holders += [one["holder"] for one in found["items"]]
            following = found["next"]
            path = following and f"/v1/accounts/acme/seats?limit=500&cursor={following}"
        assert len(holders) == len(set(holders))
        assert self.taken <= set(holders) <= self.asked
        assert set(self.answers) <= {0, 201, 503}
        assert self.without_retry_after == 0
        keyfold.done("replay", "--verify")
        keyfold.done("audit", "verify")


def healthy(server: Server) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.get("/healthz")[0] == 200
    return False


def ready(server: Server) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.get("/readyz")[0] == 200
    return False


@contextlib.contextmanager
def writing(keyfold: Program) -> Iterator[Writing]:
    """Serve with two workers, and have seats to take."""
    token = str(keyfold.json("tokens", "create", "--role", "admin")["token"])
    order = ("--product", "cloud_pos", "--seats", "100000", "--months", "1", "--reseller", "N")
    code = str(keyfold.json("keys", "issue", *order)["keys"][0]["code"])
    with keyfold.served("--workers", "2") as server:
        sent = {"account": "acme", "session": "s", "code": code}
        assert server.post("/v1/keys/redeem", sent, token)[0] == 201
        work = Writing(server, token)
        with work.going_on():
            work.wait_for_more()
            yield work
            work.wait_for_more()
        work.hold_to_what_was_acknowledged(keyfold)


def on(bare: Program, url: str) -> Program:
    bare.settings |= {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": SECRET}
    bare.done("db", "upgrade")
    return bare


def test_workers_that_are_killed_among_writers_lose_nothing_on_sqlite(keyfold: Program) -> None:
    with writing(keyfold) as work:
        _kill_workers(work)


def test_workers_that_are_killed_among_writers_lose_nothing_on_postgres(
    bare: Program, postgres_url: str
) -> None:
    with writing(on(bare, postgres_url)) as work:
        _kill_workers(work)


def _kill_workers(work: Writing) -> None:
    for _ in range(ROUNDS):
        wait_until(lambda: len(work.server.workers()) == 2)
        for worker in work.server.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: healthy(work.server))
        work.wait_for_more()


@pytest.mark.parametrize("end", [OwnServer.kill, OwnServer.stop], ids=["killed", "restarted"])
def test_a_database_that_comes_back_has_all_that_was_acknowledged(
    bare: Program, durable_postgres_server: OwnServer, end: Callable[[OwnServer], None]
) -> None:
    database = durable_postgres_server
    with writing(on(bare, database.admin_url)) as work:
        refused = work.answers[503]
        end(database)
        assert healthy(work.server)
        wait_until(lambda: work.answers[503] > refused)
        assert healthy(work.server)
        database.start()
        wait_until(lambda: ready(work.server))
        work.wait_for_more()
    assert work.answers[0] == 0


def test_a_fail_over_to_a_synchronous_standby_loses_nothing(
    bare: Program, durable_postgres_server: OwnServer, session_folder: Path
) -> None:
    primary = durable_postgres_server
    on(bare, primary.admin_url)
    standby = primary.add_standby(session_folder)
    try:
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
        any_url = primary.admin_url.replace(f"127.0.0.1:{primary.port}", hosts)
        bare.settings["KEYFOLD_DATABASE_URL"] = f"{any_url}?target_session_attrs=read-write"
        with writing(bare) as work:
            primary.kill()
            assert healthy(work.server)
            with psycopg.connect(standby.admin_url, autocommit=True) as session:
                session.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
                session.execute("SELECT pg_promote()")
            wait_until(lambda: ready(work.server))
            assert healthy(work.server)
            work.wait_for_more()
        assert work.answers[0] == 0
    finally:
        standby.remove()
