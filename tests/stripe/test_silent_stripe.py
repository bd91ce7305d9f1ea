"""Stripe takes connections and says nothing: few wait for it, briefly, and soon nobody does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from commands.gateways import stripe as gateways
from commands.gateways.stripe import (
    FAILED_MAX,
    PERSONS_MAX,
    StripeGateway,
    StripeRefused,
    StripeUnavailable,
)
from tests.cli.program import PATIENCE_S, Program, wait_until
from tests.stripe_server.server import StripeServer


class Silent:
    """Takes connections, and counts them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.taken: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                self.taken.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self.taken):
            one.close()


@pytest.fixture
def stripe() -> Iterator[StripeServer]:
    with StripeServer() as server:
        yield server


@pytest.fixture
def silent() -> Iterator[Silent]:
    silent = Silent()
    yield silent
    silent.close()


def asked_in_vain(gateway: StripeGateway) -> None:
    with pytest.raises(StripeUnavailable):
        gateway.subscription("sub_1")


def test_after_a_few_calls_in_vain_stripe_is_not_asked_for_a_while(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "PERSON_READ_S", 0.2)
    gateway = StripeGateway("sk_test_x", silent.url, for_persons=True)
    for _ in range(3 * FAILED_MAX):
        asked_in_vain(gateway)
    assert len(silent.taken) == FAILED_MAX


def test_few_wait_for_it_at_once(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "PERSON_WAITS_S", 0.01)
    gateway = StripeGateway("sk_test_x", silent.url, for_persons=True)
    gateway.warm_up()
    with ThreadPoolExecutor(4 * PERSONS_MAX) as pool:
        for done in [pool.submit(asked_in_vain, gateway) for _ in range(4 * PERSONS_MAX)]:
            done.result(PATIENCE_S)
    assert len(silent.taken) <= PERSONS_MAX


def test_it_is_asked_once_and_then_by_all_when_it_is_back(
    stripe: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = StripeGateway(stripe.api_key, stripe.url, for_persons=True)
    stripe.fail("500", times=FAILED_MAX)
    for _ in range(FAILED_MAX):
        asked_in_vain(gateway)
    asked_in_vain(gateway)
    monkeypatch.setattr(gateways, "REST_S", 0.0)
    gateway._breaker._closed_at = 0.0  # as if the time had passed  # noqa: SLF001
    for _ in range(2 * FAILED_MAX):
        with pytest.raises(StripeRefused):
            gateway.subscription("sub_nowhere")


def test_what_stripe_refuses_is_no_failure_of_stripes(stripe: StripeServer) -> None:
    gateway = StripeGateway(stripe.api_key, stripe.url, for_persons=True)
    for _ in range(3 * FAILED_MAX):
        with pytest.raises(StripeRefused):
            gateway.subscription("sub_nowhere")


def test_what_has_time_asks_each_time(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "READ_S", 0.1)
    monkeypatch.setattr(gateways, "TRIES_AGAIN", 0)
    gateway = StripeGateway("sk_test_x", silent.url)
    for _ in range(2 * FAILED_MAX):
        asked_in_vain(gateway)
    assert len(silent.taken) == 2 * FAILED_MAX


def test_whoever_asks_whether_a_till_may_work_is_answered_meanwhile(
    tmp_path: Path, silent: Silent
) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    keyfold.settings |= {"STRIPE_API_KEY": "sk_test_x", "STRIPE_API_BASE": silent.url}
    token = str(keyfold.json("tokens", "create", "--role", "admin")["token"])
    order = ["--product", "cloud_pos", "--seats", "10", "--months", "1", "--reseller", "N"]
    code = str(keyfold.json("keys", "issue", *order)["keys"][0]["code"])
    wanted = {
        "product": "cloud_pos",
        "seats": 1,
        "interval": "month",
        "success_url": "http://127.0.0.1:8000/done",
        "cancel_url": "http://127.0.0.1:8000/done",
    }
    with keyfold.served() as server, ThreadPoolExecutor(16) as pool:
        sent = {"account": "acme", "session": "s", "code": code}
        assert server.post("/v1/keys/redeem", sent, token)[0] == 201
        seat = "/v1/accounts/acme/seats/cloud_pos/till"
        assert server.request("PUT", seat, token, "{}")[0] == 201
        clicks = [
            pool.submit(server.post, f"/v1/accounts/buyer-{number}/checkout", wanted, token)
            for number in range(16)
        ]
        wait_until(lambda: len(silent.taken) > 0)
        while not all(click.done() for click in clicks):
            assert server.get(seat, token)[0] == 200
            assert server.get("/healthz")[0] == 200
        answers = [click.result() for click in clicks]
    assert {status for status, _ in answers} == {503}
    codes = {json.loads(body)["code"] for _, body in answers}
    assert "stripe_unavailable" in codes
    assert codes <= {"stripe_unavailable", "overloaded"}
    assert len(silent.taken) <= 2 * PERSONS_MAX
