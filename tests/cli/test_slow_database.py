"""While the database hangs, everybody is answered: health at once, changes with 503 before long."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.cli.program import Program, Server, wait_until
from tests.postgres_server import FAST, OwnServer, own_server

WRITERS = 24
HUNG_S = 12.0
# Far more than it takes, far less than for ever.
HEALTH_S = 5.0
ANSWER_S = 25.0


class Running(NamedTuple):
    database: OwnServer
    server: Server
    token: str

    def status(self, method: str, path: str, timeout_s: float) -> int:
        body = "{}" if method == "PUT" else None
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            response.read()
            return response.status


@pytest.fixture
def running(bare: Program, session_folder: Path) -> Iterator[Running]:
    database = own_server(session_folder, FAST)
    try:
        bare.settings |= {
            "KEYFOLD_DATABASE_URL": database.admin_url,
            "KEYFOLD_SECRET": "c2VjcmV0" * 6,
        }
        bare.done("db", "upgrade")
        token = str(bare.json("tokens", "create", "--role", "admin")["token"])
        order = ["--product", "cloud_pos", "--seats", "1000", "--months", "1", "--reseller", "N"]
        code = str(bare.json("keys", "issue", *order)["keys"][0]["code"])
        with bare.served() as server:
            sent = {"account": "acme", "session": "s", "code": code}
            assert server.post("/v1/keys/redeem", sent, token)[0] == 201
            yield Running(database, server, token)
    finally:
        database.remove()


@contextlib.contextmanager
def turn_taken(database: OwnServer) -> Iterator[None]:
    with psycopg.connect(database.admin_url) as connection:
        connection.execute("SELECT keyfold_take_turn()")
        yield


@contextlib.contextmanager
def writing(running: Running, answers: Counter[int]) -> Iterator[None]:
    """Have many take seats for as long as the block lasts, and count what they are answered."""
    over = threading.Event()

    def write(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            path = f"/v1/accounts/acme/seats/cloud_pos/till-{number}-{turn}"
            answers[running.status("PUT", path, ANSWER_S)] += 1

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            yield
        finally:
            over.set()
            for writer in writers:
                writer.result(2 * ANSWER_S)


def ask(running: Running, paths: list[str], for_s: float) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        for path in paths:
            found[path, running.status("GET", path, HEALTH_S)] += 1
        time.sleep(0.2)
    return found


def works_again(running: Running) -> bool:
    path = "/v1/accounts/acme/seats/cloud_pos/afterwards"
    return running.status("PUT", path, ANSWER_S) in {200, 201}


SEATS = "/v1/accounts/acme/seats"
SEAT = f"{SEATS}/cloud_pos/till"


def metric(running: Running, name: str) -> str:
    status, page = running.server.get("/metrics")
    assert status == 200
    return dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")[name]


@pytest.mark.parametrize("for_s", [HUNG_S, pytest.param(20.0, marks=pytest.mark.long)])
def test_a_database_that_hangs_leaves_health_answered_and_changes_refused(
    running: Running, for_s: float
) -> None:
    answers: Counter[int] = Counter()
    assert metric(running, "keyfold_ledger_up") == "1.0"
    position = metric(running, "keyfold_ledger_position")
    with writing(running, answers):
        wait_until(lambda: answers[201] > 0)
        with running.database.hung():
            assert set(ask(running, ["/healthz"], for_s)) == {("/healthz", 200)}
            wait_until(lambda: answers[503] > 0)
            assert metric(running, "keyfold_ledger_up") == "0.0"
            assert float(metric(running, "keyfold_ledger_position")) >= float(position)
            assert running.status("GET", SEATS, ANSWER_S) == 503
        wait_until(lambda: works_again(running))
        wait_until(lambda: metric(running, "keyfold_ledger_up") == "1.0")
    assert set(answers) == {201, 503}


def whole_answer(port: int, asked: str) -> bytes:
    """Return all that is sent to a request that ends its connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(f"{asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_database_that_is_down_leaves_figures_answered(running: Running) -> None:
    running.database.stop()
    assert metric(running, "keyfold_ledger_up") == "0.0"
    (worker,) = running.server.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: running.server.workers() - {worker} != set())
    # A worker that cannot begin tells what those before it had counted.
    assert metric(running, "keyfold_ledger_up") == "0.0"
    wait_until(lambda: "cannot serve yet" in running.server.log.read_text())
    lines = [json.loads(line) for line in running.server.log.read_text().splitlines()]
    causes = [one["message"] for one in lines if one["message"].startswith("cannot serve yet")]
    assert f"port {running.database.port} failed" in causes[0]
    password = urlsplit(running.database.admin_url).password
    assert password
    assert password not in running.server.log.read_text()
    assert "keyfold_http_requests_total" in running.server.get("/metrics")[1]
    status, page = running.server.get(SEATS)
    problem = json.loads(page)
    assert (status, problem["code"]) == (503, "ledger_unavailable")
    assert problem["instance"] == "/"
    assert problem["request_id"].startswith("req_")
    for asked in ("/healthz", SEATS, "/metrics"):
        assert whole_answer(running.server.port, f"HEAD {asked}").endswith(b"\r\n\r\n")
    running.database.start()
    wait_until(lambda: running.server.get("/readyz")[0] == 200)
    assert metric(running, "keyfold_ledger_up") == "1.0"


@pytest.mark.parametrize("for_s", [HUNG_S, pytest.param(20.0, marks=pytest.mark.long)])
def test_a_standby_that_is_gone_leaves_reads_answered_and_changes_refused(
    running: Running, session_folder: Path, for_s: float
) -> None:
    standby = running.database.add_standby(session_folder)
    try:
        wait_until(lambda: works_again(running))
        assert running.status("PUT", SEAT, ANSWER_S) == 201
        answers: Counter[int] = Counter()
        with writing(running, answers):
            wait_until(lambda: answers[201] > 0)
            with standby.hung():
                wait_until(lambda: answers[503] > 0)
                found = ask(running, ["/healthz", "/readyz", SEAT], for_s)
                assert set(found) == {("/healthz", 200), ("/readyz", 200), (SEAT, 200)}
            wait_until(lambda: works_again(running))
        assert set(answers) == {201, 503}
        # What was answered 201 is there; what was answered 503 may be.
        status, page = running.server.get("/v1/overview", running.token)
        assert status == 200
        used = sum(one["used"] for one in json.loads(page)["pools"])
        assert answers[201] <= used - 2 <= answers[201] + answers[503]
    finally:
        standby.remove()


def test_a_token_that_is_used_for_the_first_time_waits_for_no_standby(
    running: Running, bare: Program, session_folder: Path
) -> None:
    assert running.status("PUT", SEAT, ANSWER_S) == 201
    fresh = str(bare.json("tokens", "create", "--role", "portal")["token"])
    standby = running.database.add_standby(session_folder)
    try:
        wait_until(lambda: works_again(running))
        with standby.hung():
            assert running._replace(token=fresh).status("GET", SEAT, HEALTH_S) == 200
        wait_until(lambda: works_again(running))
        uses = {one["id"]: one["last_used_at"] for one in bare.json("tokens", "list")["items"]}
        assert None not in uses.values()
    finally:
        standby.remove()


@pytest.mark.parametrize("for_s", [HUNG_S, pytest.param(20.0, marks=pytest.mark.long)])
def test_somebody_who_holds_the_ledgers_lock_leaves_reads_answered_and_changes_refused(
    running: Running, for_s: float
) -> None:
    assert running.status("PUT", SEAT, ANSWER_S) == 201
    answers: Counter[int] = Counter()
    with writing(running, answers):
        with turn_taken(running.database):
            # What was under way before may be in front.
            wait_until(lambda: answers[503] > 0)
            found = ask(running, ["/healthz", "/readyz", SEAT], for_s)
            assert set(found) == {("/healthz", 200), ("/readyz", 200), (SEAT, 200)}
        wait_until(lambda: works_again(running))
    assert set(answers) == {201, 503}
