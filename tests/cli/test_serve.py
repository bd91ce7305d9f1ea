"""The server starts, answers, survives its workers and stops as it should."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from tests.postgres_server import FAST, own_server
from web.server.processes import HUNG_S


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def token(keyfold: Program) -> str:
    return str(keyfold.json("tokens", "create", "--role", "admin")["token"])


def code(keyfold: Program) -> str:
    order = ("--product", "cloud_pos", "--seats", "1", "--months", "1", "--reseller", "North")
    return str(keyfold.json("keys", "issue", *order)["keys"][0]["code"])


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_says_where_it_listens_once_it_answers_and_stops_when_told(
    keyfold: Program, by: signal.Signals
) -> None:
    with keyfold.served() as server:
        assert server.log.read_text() == ""  # what it says first is where it listens
        assert server.get("/healthz")[0] == 200
        workers = server.workers()
        assert len(workers) == 1
        assert server.stop(by) == 0
        assert all(map(gone, workers))
        assert server.line() == ""
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_of_the_whole_group_stops_it_as_cleanly(
    keyfold: Program, by: signal.Signals
) -> None:
    with keyfold.served("--workers", "2") as server:
        wait_until(lambda: len(server.workers()) == 2)
        # As a terminal does for Ctrl-C, and systemd, and somebody who cannot wait.
        with contextlib.suppress(ProcessLookupError):
            for _ in range(20):
                os.killpg(server.process.pid, by)
                time.sleep(0.002)
        assert server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.log.read_text()


def test_what_is_being_answered_is_finished_before_it_stops(keyfold: Program) -> None:
    admin = token(keyfold)
    order = {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "North"}
    with keyfold.served() as server, ThreadPoolExecutor() as pool:
        with closing(
            sqlite3.connect(keyfold.folder / "keyfold.db", isolation_level=None)
        ) as blocker:
            # Nobody can write now, so the order is under way for as long as we like.
            blocker.execute("BEGIN IMMEDIATE")
            answer = pool.submit(server.post, "/v1/keys", order, admin)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert not answer.done()
            blocker.execute("ROLLBACK")
        blocker.close()
        assert answer.result(PATIENCE_S)[0] == 201
        assert server.process.wait(PATIENCE_S) == 0
    assert len(keyfold.json("keys", "list")["items"]) == 1


def test_an_idle_connection_does_not_hold_it_up(keyfold: Program) -> None:
    with keyfold.served() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        assert server.stop() == 0
        connection.close()


def test_a_worker_that_is_killed_is_replaced_and_the_other_goes_on(keyfold: Program) -> None:
    admin = token(keyfold)
    with keyfold.served("--workers", "2") as server:
        wait_until(lambda: len(server.workers()) == 2)
        first, second = server.workers()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(server.workers() - {first}) == 2)
        assert second in server.workers()
        wait_until(lambda: _answers(server))
        for _ in range(20):
            assert server.get("/v1/keys", admin)[0] == 200
        assert server.stop() == 0


def _answers(server: Server) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return server.get("/healthz")[0] == 200
    return False


def test_no_worker_outlives_a_server_that_was_killed(keyfold: Program) -> None:
    with keyfold.served("--workers", "2") as server:
        wait_until(lambda: len(server.workers()) == 2)
        workers = server.workers()
        server.process.kill()
        wait_until(lambda: all(map(gone, workers)))


def test_two_workers_see_each_others_writes_and_put_their_figures_together(
    keyfold: Program,
) -> None:
    admin = token(keyfold)
    order = {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "North"}
    with keyfold.served("--workers", "2") as server:
        wait_until(lambda: len(server.workers()) == 2)
        for made in range(1, 11):
            assert server.post("/v1/keys", order, admin)[0] == 201
            assert server.get("/v1/keys", admin)[1].count('"status":"issued"') == made
        wait_until(lambda: _posts(server) == 10)


def _posts(server: Server) -> float:
    """Return how many POSTs all workers say they have answered."""
    lines = server.get("/metrics")[1].splitlines()
    asked = [one for one in lines if "requests_total" in one and 'method="POST"' in one]
    return sum(float(one.rpartition(" ")[2]) for one in asked)


@contextlib.contextmanager
def _taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_links_lead_to_the_port_that_serves_unless_a_setting_says_where(keyfold: Program) -> None:
    portal = keyfold.json("tokens", "create", "--role", "portal")["token"]

    def link(server: Server) -> str:
        status, body = server.post("/v1/accounts/acme/portal-session", {}, portal)
        assert status == 201, body
        return str(json.loads(body)["url"])

    with keyfold.served("--workers", "2") as server:
        assert link(server).startswith(f"http://{server.address}/portal/open?link=")
    (keyfold.folder / "env").write_text("KEYFOLD_PUBLIC_URL=https://keys.example\n")
    keyfold.settings["KEYFOLD_ENV_FILE"] = str(keyfold.folder / "env")
    with keyfold.served() as server:
        assert link(server).startswith("https://keys.example/portal/open?link=")


def test_a_server_for_other_machines_says_where_its_links_lead(keyfold: Program) -> None:
    keyfold.settings["KEYFOLD_DATABSE_URL"] = "x"
    with keyfold.served("--host", "0.0.0.0") as server:  # noqa: S104
        lines = [json.loads(line)["message"] for line in server.log.read_text().splitlines()]
    assert (
        "KEYFOLD_DATABSE_URL is no setting of Keyfold's, and is not read: did you mean" in lines[0]
    )
    said = f"links lead to http://127.0.0.1:{server.port}, which only this machine can open"
    assert lines[1].endswith(said)


def test_a_port_in_use_is_told_in_one_line(keyfold: Program) -> None:
    with _taken_port() as port:
        ran = keyfold.run("serve", "--port", str(port))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert f"port {port}: Address already in use" in ran.err
    assert "--port" in ran.err


def test_a_second_server_does_not_share_the_port_of_the_first(keyfold: Program) -> None:
    with keyfold.served("--workers", "2") as server:
        ran = keyfold.run("serve", "--port", str(server.port))
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert server.get("/healthz")[0] == 200


def test_a_host_that_is_not_ours_is_told_in_one_line(keyfold: Program) -> None:
    for host in ("nobody.invalid", "192.0.2.1"):
        ran = keyfold.run("serve", "--host", host, "--port", "0")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert host in ran.err


def test_nothing_secret_is_logged(keyfold: Program) -> None:
    admin, good = token(keyfold), code(keyfold)
    body = {"account": "acme", "session": "s1"}
    with keyfold.served() as server:
        redeem = "/v1/keys/redeem"
        assert server.post(redeem, {**body, "code": "POS-AAAA-BBBB-CCCC"}, admin)[0] == 409
        assert server.post(redeem, {**body, "code": good}, admin)[0] == 201
        assert server.get(f"/v1/keys/{good}?seen={good}", admin)[0] == 422
        assert server.get("/v1/accounts/somebody/subscriptions", admin)[0] == 200
        assert server.request("POST", redeem, admin, f'{{"code": "{good}')[0] == 400
        assert server.stop() == 0
        logged = server.log.read_text()
    assert '"status":201' in logged
    for secret in (admin, good, good.lower(), "POS-AAAA-BBBB-CCCC", "somebody"):
        assert secret not in logged + "".join(server.said)


def test_it_serves_a_ledger_on_postgres(bare: Program, postgres_url: str) -> None:
    bare.settings |= {"KEYFOLD_DATABASE_URL": postgres_url, "KEYFOLD_SECRET": "c2VjcmV0" * 6}
    bare.done("db", "upgrade")
    admin, good = token(bare), code(bare)
    with bare.served("--workers", "2", "--threads", "4") as server:
        body = {"account": "acme", "session": "s1", "code": good}
        assert server.post("/v1/keys/redeem", body, admin)[0] == 201
        assert server.stop() == 0
    assert bare.json("subscriptions", "acme")["products"][0]["seats"] == 1


def test_it_stays_when_workers_die_again_and_again(keyfold: Program) -> None:
    with keyfold.served("--workers", "2") as server:
        for _ in range(3):
            wait_until(lambda: len(server.workers()) == 2)
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
        wait_until(lambda: _answers(server))
        assert server.stop() == 0
        for line in server.log.read_text().splitlines():
            assert json.loads(line)


def test_a_worker_that_hangs_is_replaced(keyfold: Program) -> None:
    with keyfold.served() as server:
        (hung,) = server.workers()
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: gone(hung), 3 * HUNG_S)
        wait_until(lambda: _answers(server))


def test_it_waits_for_a_secret_that_was_lost_while_it_ran(keyfold: Program) -> None:
    admin = token(keyfold)
    secret = keyfold.folder / "keyfold.secret"
    with keyfold.served() as server:
        secret.rename(secret.with_suffix(".away"))
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: gone(worker))
        wait_until(lambda: _answers(server))
        assert server.get("/readyz")[0] == 503
        secret.with_suffix(".away").rename(secret)
        wait_until(lambda: server.get("/readyz")[0] == 200)
        assert server.get("/v1/keys", admin)[0] == 200


def test_it_starts_while_the_database_is_down_and_serves_when_it_is_back(
    bare: Program, session_folder: Path
) -> None:
    database = own_server(session_folder, FAST)
    try:
        bare.settings |= {
            "KEYFOLD_DATABASE_URL": database.admin_url,
            "KEYFOLD_SECRET": "c2VjcmV0" * 6,
        }
        bare.done("db", "upgrade")
        database.stop()
        with bare.served() as server:
            assert server.get("/healthz")[0] == 200
            assert server.get("/readyz")[0] == 503
            database.start()
            wait_until(lambda: server.get("/readyz")[0] == 200)
            database.stop()
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: gone(worker))
            wait_until(lambda: _answers(server))
            assert server.get("/readyz")[0] == 503
            database.start()
            wait_until(lambda: server.get("/readyz")[0] == 200)
    finally:
        database.remove()


def test_a_server_that_was_killed_leaves_nothing_in_the_folder_for_files_of_the_moment(
    keyfold: Program, tmp_path: Path
) -> None:
    moment = tmp_path / "moment"
    moment.mkdir()
    keyfold.settings["TMPDIR"] = str(moment)
    with keyfold.served("--workers", "2") as server:
        assert server.get("/metrics")[0] == 200
        server.process.kill()
    assert list(moment.iterdir()) == []
