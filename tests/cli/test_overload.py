"""Too much is asked at once: it is shed, and whoever asks what must be told soon is told."""

from __future__ import annotations

import http.client
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from email.message import Message
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.cli.program import PATIENCE_S, Program, Server, wait_until
from tests.stripe.payloads import WEBHOOK_SECRET, changed, signature, subscription
from tests.stripe.test_silent_stripe import Silent
from web.app.clock import system_clock

SEATS = "/v1/accounts/acme/seats/cloud_pos"
SEAT = f"{SEATS}/till"
MANY = 400
TYPE = "application/json"


class Answer(NamedTuple):
    status: int
    code: str
    retry_after: str | None


def prepared(folder: Path, **settings: str) -> tuple[Program, str]:
    keyfold = Program(folder, settings)
    keyfold.done("db", "upgrade")
    return keyfold, str(keyfold.json("tokens", "create", "--role", "admin")["token"])


@contextmanager
def served(keyfold: Program, token: str, *arguments: str) -> Iterator[Server]:
    order = ["--product", "cloud_pos", "--seats", "9000", "--months", "1", "--reseller", "N"]
    code = str(keyfold.json("keys", "issue", *order)["keys"][0]["code"])
    with keyfold.served(*arguments) as server:
        wait_until(lambda: server.get("/readyz")[0] == 200)
        sent = {"account": "acme", "session": "s", "code": code}
        assert server.post("/v1/keys/redeem", sent, token)[0] == 201
        assert server.request("PUT", SEAT, token, "{}")[0] == 201
        yield server


def asked(server: Server, method: str, path: str, token: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2 * PATIENCE_S)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(connection):
        connection.request(method, path, "{}" if method == "PUT" else None, headers)
        response = connection.getresponse()
        found = json.loads(response.read())
        return Answer(response.status, found.get("code", ""), response.getheader("Retry-After"))


@contextmanager
def meanwhile(count: int, ask: Callable[[int], Answer]) -> Iterator[Counter[Answer]]:
    """Have many ask again and again, for as long as the block lasts."""
    answers: Counter[Answer] = Counter()
    over = threading.Event()

    def go_on(number: int) -> None:
        while not over.is_set():
            answers[ask(number)] += 1

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(go_on, number) for number in range(count)]
        try:
            yield answers
        finally:
            over.set()
            for one in running:
                one.result()


def test_what_cannot_be_answered_soon_is_refused_and_seats_are_told_of(tmp_path: Path) -> None:
    keyfold, token = prepared(tmp_path, STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET)
    blocker = tmp_path / "keyfold.db"
    with served(keyfold, token, "--threads", "2") as server:
        with closing(sqlite3.connect(blocker, isolation_level=None)) as writer:
            # Nobody can write meanwhile, so changes hold all threads that they may have.
            writer.execute("BEGIN IMMEDIATE")
            with meanwhile(
                MANY // 2, lambda number: asked(server, "PUT", f"{SEATS}/till-{number}", token)
            ) as answers:
                wait_until(lambda: any(one.code == "overloaded" for one in answers))
                for _ in range(20):
                    assert server.get(SEAT, token)[0] == 200
                    assert server.get("/healthz")[0] == 200
                    assert server.get("/metrics")[0] == 200
                    # It is looked at, and needs no writing.
                    assert asked(server, "POST", "/webhooks/stripe", token).status == 400
                writer.execute("ROLLBACK")
        wait_until(lambda: asked(server, "PUT", f"{SEATS}/afterwards", token).status == 201)
    refused = [one for one in answers if one.status == 503]
    assert {one.code for one in refused} <= {"overloaded", "ledger_busy", "ledger_unavailable"}
    assert all(one.retry_after for one in refused)
    assert {one.status for one in answers} <= {200, 201, 503}


def test_what_is_refused_unseen_is_told_as_any_problem_and_counted(tmp_path: Path) -> None:
    keyfold, token = prepared(tmp_path)
    named = {"X-Request-Id": "order-17", "Authorization": f"Bearer {token}"}
    with served(keyfold, token, "--threads", "2") as server:

        def refused(path: str, more: Mapping[str, str]) -> tuple[Message, str]:
            """Return the first answer that says so; what is asked is asked again until then."""
            found: list[tuple[Message, str]] = []

            def once() -> bool:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                with closing(connection):
                    connection.request("PUT", path, "{}", {"Content-Type": TYPE, **more})
                    response = connection.getresponse()
                    body = response.read().decode()
                    if '"overloaded"' in body:
                        found.append((response.headers, body))
                return bool(found)

            wait_until(once)
            return found[0]

        with closing(sqlite3.connect(tmp_path / "keyfold.db", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            with meanwhile(
                MANY // 2, lambda number: asked(server, "PUT", f"{SEATS}/till-{number}", token)
            ):
                headers, body = refused(f"{SEATS}/POS-ABCD-EFGH-7K2M-kf_abcdefgh?a=b", named)
                secret = {**named, "X-Request-Id": "kf_abcdefghijklmnop"}
                others, _ = refused(SEAT, secret)
                writer.execute("ROLLBACK")
        usual = server.get(SEAT + "-none")
        figures = server.get("/metrics")[1]
    problem = json.loads(body)
    assert problem.keys() == json.loads(usual[1]).keys()
    assert problem["request_id"] == headers["X-Request-Id"] == "order-17"
    assert problem["instance"] == quote(f"{SEATS}/POS-••••-••••-7K2M-kf_…")
    assert headers["Content-Type"] == "application/problem+json"
    assert (headers["Retry-After"], headers["Cache-Control"]) == ("1", "no-store")
    assert headers["Server"] == "keyfold"
    assert others["X-Request-Id"].startswith("req_")
    assert 'keyfold_problems_total{code="overloaded"}' in figures
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    logged = [line for line in lines if line.get("request_id") == "order-17"]
    assert [(line["method"], line["status"]) for line in logged][-1] == ("PUT", 503)


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_long_polls_hold_up_nobody(tmp_path: Path, threads: str) -> None:
    keyfold, token = prepared(tmp_path)
    with (
        served(keyfold, token, "--threads", threads) as server,
        ThreadPoolExecutor(16) as pool,
    ):
        after = json.loads(server.get("/readyz")[1])["position"]
        polls = [
            pool.submit(asked, server, "GET", f"/v1/events?after={after}&wait=25", token)
            for _ in range(16)
        ]
        # Those without a place are answered at once; the others wait until something is written.
        wait_until(lambda: any(one.done() for one in polls))
        assert server.get("/v1/keys", token)[0] == 200
        assert server.get("/console/sign-in")[0] == 200
        assert not all(one.done() for one in polls)
        assert server.request("PUT", f"{SEATS}/another", token, "{}")[0] == 201
        assert {one.result().status for one in polls} == {200}


@pytest.mark.parametrize("threads", ["1", "4", "8"])
def test_slow_billing_pages_do_not_hold_up_who_may_work(tmp_path: Path, threads: str) -> None:
    silent = Silent()
    keyfold, token = prepared(
        tmp_path,
        STRIPE_API_KEY="sk_test_x",
        STRIPE_API_BASE=silent.url,
        STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
    )
    try:
        with (
            served(keyfold, token, "--threads", threads) as server,
            ThreadPoolExecutor(16) as pool,
        ):
            for number in range(4):
                link(server, number)
            seen = len(silent.taken)
            pages = [
                pool.submit(asked, server, "GET", f"/v1/accounts/c-{number % 4}/billing", token)
                for number in range(16)
            ]
            wait_until(lambda: len(silent.taken) > seen)
            while not all(page.done() for page in pages):
                assert server.get(SEAT, token)[0] == 200
                assert server.get("/healthz")[0] == 200
            assert {page.result().status for page in pages} <= {200, 503}
    finally:
        silent.close()


def link(server: Server, number: int) -> None:
    """Have Stripe tell of a subscription of an account's."""
    now = system_clock()
    told = subscription(f"sub_{number}", account=f"c-{number}", began=now, customer=f"cus_{number}")
    body = json.dumps(changed(told, at=now, id=f"evt_{number}")).encode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=2 * PATIENCE_S)
    with closing(connection):
        headers = {"Stripe-Signature": signature(body, now)}
        connection.request("POST", "/webhooks/stripe", body, headers)
        assert connection.getresponse().status == 200


def test_a_flood_of_refusals_does_not_delay_health(tmp_path: Path) -> None:
    keyfold, token = prepared(tmp_path)
    with served(keyfold, token, "--threads", "1") as server:

        def broken(_number: int) -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
            with closing(connection):
                connection.putrequest("GET", "/healthz")
                connection.putheader("Content-Length", "-1")
                connection.endheaders()
                return Answer(connection.getresponse().status, "", None)

        with meanwhile(32, broken) as answers:
            wait_until(lambda: sum(answers.values()) > MANY)
            for _ in range(20):
                assert server.get("/healthz")[0] == 200
                assert server.get(SEAT, token)[0] == 200
    assert {one.status for one in answers} == {400}
