"""The application as a server runs it: a process of its own, bodies in pieces, logs, forks."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until

CODE = "POS-ABCD-EFGH-7K2M"
ORDER = {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "Northwind"}
MIB = 2**20


class Running(NamedTuple):
    keyfold: Program
    server: Server
    token: str

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)

    def logged(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.server.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    keyfold = Program(tmp_path_factory.mktemp("served"))
    keyfold.done("db", "upgrade")
    token = str(keyfold.json("tokens", "create", "--role", "admin")["token"])
    with keyfold.served() as server:
        yield Running(keyfold, server, token)


def sent_in_pieces(running: Running, pieces: list[bytes]) -> tuple[int, dict[str, object]]:
    """Send an order whose length is not told before, and answer what came of it."""
    headers = {"Authorization": f"Bearer {running.token}", "Content-Type": "application/json"}
    with closing(running.connection()) as connection:
        connection.request("POST", "/v1/keys", iter(pieces), headers, encode_chunked=True)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_a_body_in_pieces_is_read_whole(running: Running) -> None:
    whole = json.dumps(ORDER).encode()
    status, body = sent_in_pieces(running, [whole[:20], whole[20:]])
    assert (status, len(body["keys"])) == (201, 1)  # type: ignore[arg-type]


def test_a_body_in_pieces_may_not_be_too_large_either(running: Running) -> None:
    status, problem = sent_in_pieces(running, [b" " * 65536] * 17)
    assert (status, problem["code"]) == (413, "payload_too_large")


def test_any_of_several_workers_has_the_figures_of_all_and_of_those_that_have_ended(
    tmp_path: Path,
) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    with keyfold.served("--workers", "2") as server:
        counted = 'keyfold_http_requests_total{method="GET",route="/readyz",status="%d"} %d.0'
        for _ in range(20):
            wait_until(lambda: server.get("/readyz")[0] == 200)
        wait_until(lambda: counted % (200, 20) in server.get("/metrics")[1])
        time.sleep(1.5)  # a worker writes down what it counted every half second
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
        wait_until(lambda: counted % (200, 20) in server.get("/metrics")[1])
        assert "keyfold_ledger_position 0.0" in server.get("/metrics")[1]


def test_a_server_says_no_more_of_itself_than_it_must(running: Running) -> None:
    with closing(running.connection()) as connection:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        response.read()
    assert response.headers.get_all("Server") == ["keyfold"]


def test_its_log_has_a_line_of_json_for_each_request_and_no_secrets(running: Running) -> None:
    assert running.server.post("/v1/keys", ORDER, running.token)[0] == 201
    assert running.server.get(f"/v1/keys/{CODE}?reseller={CODE}", running.token)[0] == 422
    assert running.server.get("/nowhere/jane.doe", running.token)[0] == 404
    lines = running.logged()
    assert {"POST", "GET"} <= {line.get("method") for line in lines}
    assert [line["status"] for line in lines[-3:]] == [201, 422, 404]
    log = running.server.log.read_text()
    assert not any(secret in log for secret in (CODE, running.token, "jane.doe"))


def run(keyfold: Program, script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=keyfold.folder,
        env=keyfold.environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_application_opens_nothing(tmp_path: Path) -> None:
    bare = Program(tmp_path)
    run(bare, "import web.wsgi")
    assert list(tmp_path.iterdir()) == []


def test_an_application_that_cannot_be_made_says_which_setting_is_wrong(tmp_path: Path) -> None:
    script = """
from web.app.settings import SettingError
try:
    from web.wsgi import app
except SettingError as error:
    print(error.variable)
"""
    assert run(Program(tmp_path), script) == "KEYFOLD_DATABASE_URL\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_process_that_was_forked_opens_the_ledger_for_itself(tmp_path: Path) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    script = """
import os, sys
from werkzeug.test import Client
from web.wsgi import app

before = app.application
assert Client(app).get("/readyz").status_code == 200
assert app.application is before
child = os.fork()
if not child:
    ready = Client(app).get("/readyz").status_code == 200
    os._exit(0 if ready and app.application is not before else 1)
_, status = os.waitpid(child, 0)
assert Client(app).get("/readyz").status_code == 200
print(os.waitstatus_to_exitcode(status))
"""
    assert run(keyfold, script) == "0\n"
