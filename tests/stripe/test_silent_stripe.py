"""Stripe takes connections and says nothing: few wait for it, briefly, and soon nobody does."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from commands.gateways import breaker
from commands.gateways import stripe as gateways
from commands.gateways.breaker import FAILED_MAX
from commands.gateways.stripe import PERSONS_MAX, StripeGateway
from commands.gateways.stripe_responses import StripeRefused, StripeUnavailable
from ledger.catalog import builtin
from ledger.store import schema
from tests.cli.program import PATIENCE_S, Program, wait_until
from tests.stripe.payloads import WEBHOOK_SECRET, changed, signature, subscription
from tests.stripe_server.server import StripeServer
from tests.web.api import PUBLIC_URL
from tests.worlds import SECRET
from web.app.services import Wiring, wire
from web.app.settings import Settings, StripeSettings
from web.app.thread_shares import webhooks_of
from web.create_app import create_app


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
    monkeypatch.setattr(breaker, "REST_S", 0.0)
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


# Webhooks beside persons


@pytest.fixture
def served(tmp_path: Path, silent: Silent) -> Iterator[tuple[Wiring, Any]]:
    """Yield the wiring as a server has it, and its application, with a Stripe that is silent."""
    url = f"sqlite:///{tmp_path / 'keyfold.db'}"
    schema.upgrade(url)
    stripe = StripeSettings("sk_test_x", (WEBHOOK_SECRET,), silent.url)
    settings = Settings(url, SECRET, builtin(), PUBLIC_URL, None, 100)._replace(stripe=stripe)
    wiring = wire(settings, for_persons=True)
    yield wiring, create_app(wiring)
    wiring.close()


def deliveries(wiring: Wiring, app: Any, count: int) -> ThreadPoolExecutor:
    """Begin to deliver events about which Stripe must be asked, each of another subscription."""
    pool = ThreadPoolExecutor(count)

    def deliver(number: int) -> int:
        of = subscription(f"sub_{number}")
        of["items"] |= {"data": [], "has_more": True}
        body = json.dumps(changed(of)).encode()
        signed = {"Stripe-Signature": signature(body, wiring.clock())}
        return int(
            app.test_client().post("/webhooks/stripe", data=body, headers=signed).status_code
        )

    for number in range(count):
        pool.submit(deliver, number)
    return pool


def test_what_stripe_delivers_takes_no_persons_place(
    served: tuple[Wiring, Any], silent: Silent
) -> None:
    wiring, app = served
    assert wiring.services.stripe is not None
    with deliveries(wiring, app, 3 * PERSONS_MAX):
        wait_until(lambda: len(silent.taken) >= 1)
        with wiring.services.stripe.slot():
            pass  # it was free


def test_persons_take_no_place_of_what_stripe_delivers(
    served: tuple[Wiring, Any], silent: Silent
) -> None:
    wiring, app = served
    assert wiring.services.stripe is not None
    with ExitStack() as all_slots:
        with suppress(StripeUnavailable):
            while True:
                all_slots.enter_context(wiring.services.stripe.slot())
        assert silent.taken == []
        with deliveries(wiring, app, 1):
            wait_until(lambda: len(silent.taken) == 1)


def test_what_stripe_does_not_answer_to_deliveries_is_no_failure_of_persons(
    served: tuple[Wiring, Any], silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "INTERACTIVE_READ_S", 0.2)
    wiring, app = served
    assert wiring.services.stripe is not None
    for number in range(FAILED_MAX):
        deliveries(wiring, app, number + 1).shutdown()
    before = len(silent.taken)
    monkeypatch.setattr(gateways, "PERSON_READ_S", 0.2)
    asked_in_vain(wiring.services.stripe)
    assert len(silent.taken) == before + 1


@pytest.mark.parametrize(("places", "webhooks"), [(1, 1), (2, 1), (4, 1), (8, 2)])
def test_a_quarter_of_the_places_is_for_what_stripe_delivers(places: int, webhooks: int) -> None:
    assert webhooks_of(places) == webhooks


# Served


def test_whoever_asks_whether_a_till_may_work_is_answered_meanwhile(
    tmp_path: Path, silent: Silent
) -> None:
    keyfold = Program(tmp_path)
    keyfold.done("db", "upgrade")
    keyfold.settings |= {"STRIPE_API_KEY": "sk_test_x", "STRIPE_API_BASE": silent.url}
    keyfold.settings["KEYFOLD_PUBLIC_URL"] = "http://127.0.0.1:8000"
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
