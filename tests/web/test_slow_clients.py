"""No client can hold up the others by being slow, by sending much, or by being many."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from web.server.http_server import CONNECTIONS_MAX, REQUEST_S

MIB = 1024 * 1024
OPEN = ("/webhooks/stripe", "/portal/open", "/console/sign-in")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keyfold = Program(tmp_path_factory.mktemp("slow"), {"STRIPE_WEBHOOK_SECRET": "whsec_test"})
    keyfold.done("db", "upgrade")
    with keyfold.served() as server:
        wait_until(lambda: server.get("/readyz")[0] == 200)
        yield server


def head(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *fields, "", ""]).encode()


@contextlib.contextmanager
def connected(server: Server, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
            stack.enter_context(contextlib.closing(one))
            one.sendall(sent)
            made.append(one)
        yield made


def answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


@pytest.mark.parametrize("path", OPEN)
def test_silent_bodies_hold_no_thread(server: Server, path: str) -> None:
    sent = head(path, "Content-Length: 100", "Stripe-Signature: t=1,v1=x")
    with connected(server, 64, sent):
        for _ in range(5):
            assert server.get("/healthz")[0] == 200
            assert server.get("/readyz")[0] == 200


def test_bodies_in_pieces_and_those_that_wait_to_be_asked_hold_no_thread(server: Server) -> None:
    pieces = head("/console/sign-in", "Transfer-Encoding: chunked") + b"5\r\nhel"
    asking = head("/console/sign-in", "Content-Length: 100", "Expect: 100-continue")
    with connected(server, 32, pieces), connected(server, 32, asking):
        assert server.get("/readyz")[0] == 200


def test_unfinished_heads_hold_no_thread(server: Server) -> None:
    with connected(server, 64, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-More"):
        assert server.get("/readyz")[0] == 200


def test_dripping_bodies_hold_no_thread_and_are_given_up(server: Server) -> None:
    with connected(server, 20, head("/portal/open", "Content-Length: 1000")) as held:
        over = threading.Event()

        def drip() -> None:
            while not over.wait(0.2):
                for one in held:
                    with contextlib.suppress(OSError):
                        one.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert server.get("/readyz")[0] == 200
            assert answer(held[0])[0] == 408
            assert server.get("/readyz")[0] == 200
        finally:
            over.set()
            dripping.join()


def test_a_request_that_never_comes_is_told_so(server: Server) -> None:
    began = time.monotonic()
    with connected(server, 1, head("/portal/open", "Content-Length: 10")) as (one,):
        assert answer(one)[0] == 408
    assert time.monotonic() - began >= REQUEST_S


def test_many_idle_connections_make_room_for_others(server: Server) -> None:
    with connected(server, min(CONNECTIONS_MAX, 1_000), b""):
        assert server.get("/readyz")[0] == 200


def test_an_answer_that_nobody_takes_holds_no_thread(server: Server) -> None:
    asking = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server, 64, asking):
        assert server.get("/readyz")[0] == 200


@pytest.mark.parametrize("size", [MIB + 1, MIB + 100_000, 5 * MIB])
def test_a_body_over_one_mib_is_answered_as_a_problem_and_the_connection_goes_on(
    server: Server, size: int
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/keys", b" " * size, {"Content-Type": "application/json"})
        assert problem(connection) == (413, "payload_too_large")
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_a_body_without_end_is_answered_and_not_read_on(server: Server) -> None:
    sent = head("/v1/keys", "Content-Type: application/json", f"Content-Length: {1 << 40}")
    with connected(server, 1, sent) as (one,):
        status, body = answer(one)
        assert (status, json.loads(body)["code"]) == (413, "payload_too_large")


def test_a_large_body_that_waits_to_be_asked_for_is_not_asked_for(server: Server) -> None:
    sent = head("/v1/keys", f"Content-Length: {2 * MIB}", "Expect: 100-continue")
    with connected(server, 1, sent) as (one,):
        assert answer(one)[0] == 413


def test_a_small_one_is(server: Server) -> None:
    sent = head(
        "/v1/keys", "Content-Length: 2", "Expect: 100-continue", "Content-Type: application/json"
    )
    with connected(server, 1, sent) as (one,):
        assert one.recv(100).startswith(b"HTTP/1.1 100 ")
        one.sendall(b"{}")
        assert answer(one)[0] == 401


def problem(connection: http.client.HTTPConnection) -> tuple[int, Any]:
    response = connection.getresponse()
    return response.status, json.loads(response.read())["code"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_and_nothing_breaks(server: Server, sent: bytes) -> None:
    with connected(server, 1, sent) as (one,):
        assert 400 <= answer(one)[0] < 600
    assert server.get("/healthz")[0] == 200


def test_a_connection_is_kept_unless_its_client_says_otherwise(server: Server) -> None:
    both = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n"
    with connected(server, 1, both + b"Connection: close\r\n\r\n") as (one,):
        said = b"".join(iter(lambda: one.recv(65536), b""))
    assert said.count(b"HTTP/1.1 200 OK") == 1
    assert said.count(b"HTTP/1.1 404 ") == 1
    assert b"\r\nVia:" not in said
    assert said.count(b"\r\nServer: keyfold\r\n") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system to fill")
def test_a_full_disk_for_files_of_the_moment_stops_nothing(tmp_path: Path) -> None:
    moment = tmp_path / "moment"
    moment.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", moment],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        keyfold = Program(tmp_path, {"TMPDIR": str(moment)})
        keyfold.done("db", "upgrade")
        token = keyfold.json("tokens", "create", "--role", "admin")["token"]
        with pytest.raises(OSError, match="No space left"):
            (moment / "full").write_bytes(b"x" * MIB)
        with keyfold.served("--workers", "2") as server:
            wait_until(lambda: server.get("/readyz")[0] == 200)
            wait_until(lambda: len(server.workers()) == 2)
            workers = server.workers()
            body = json.dumps({"ref": "x" * 900_000})
            for _ in range(10):
                assert server.request("POST", "/v1/timeline/search", token, body)[0] == 422
                assert server.get("/metrics")[0] == 200
            assert server.workers() == workers
    finally:
        subprocess.run(["umount", moment], check=False)


def test_nothing_is_buffered_in_files(tmp_path: Path) -> None:
    nowhere = tmp_path / "not there"
    keyfold = Program(tmp_path, {"TMPDIR": str(nowhere)})
    keyfold.done("db", "upgrade")
    token = keyfold.json("tokens", "create", "--role", "admin")["token"]
    with keyfold.served("--workers", "2") as server:
        wait_until(lambda: server.get("/readyz")[0] == 200)
        body = json.dumps({"ref": "x" * 900_000})
        assert server.request("POST", "/v1/timeline/search", token, body)[0] == 422
        assert server.get("/metrics")[0] == 200
