"""One event delivered two hundred times at once, to four workers, one of which is killed."""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cli.program import Program, wait_until
from tests.stripe.payloads import WEBHOOK_SECRET, changed, signature, subscription
from web.app.clock import system_clock

DELIVERIES = 200
TRIES = 20


@pytest.fixture(params=["sqlite", "postgresql"])
def keyfold(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    settings = {"STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    if request.param == "postgresql":
        settings["KEYFOLD_DATABASE_URL"] = request.getfixturevalue("postgres_ledger_url")
        settings["KEYFOLD_SECRET"] = base64.b64encode(secrets.token_bytes(32)).decode()
    program = Program(tmp_path, settings)
    program.done("db", "upgrade")
    return program


def deliver(port: int, body: bytes) -> int:
    """Deliver as Stripe does: what was not answered is sent again."""
    for _ in range(TRIES):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            headers = {"Stripe-Signature": signature(body, system_clock())}
            connection.request("POST", "/webhooks/stripe", body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return 0


def test_it_counts_once_and_every_delivery_is_answered(keyfold: Program) -> None:
    body = json.dumps(changed(subscription(), at=system_clock(), id="evt_fire")).encode()
    with keyfold.served("--workers", "4") as server:
        wait_until(lambda: len(server.workers()) == 4)
        with ThreadPoolExecutor(32) as pool:
            answers = [pool.submit(deliver, server.port, body) for _ in range(DELIVERIES)]
            os.kill(min(server.workers()), signal.SIGKILL)
            statuses = {answer.result() for answer in answers}
        server.stop()
    assert statuses == {200}
    exported = keyfold.done("audit", "export", "-").out
    events = [json.loads(line) for line in exported.splitlines()]
    assert Counter(event["type"] for event in events if "type" in event) == {
        "stripe_event.received@1": 1,
        "stripe.customer_linked@1": 2,
        "stripe_customer.subscription_assigned@1": 1,
        "stripe.subscription_reported@1": 1,
        "stripe_object.owned@1": 1,
    }
