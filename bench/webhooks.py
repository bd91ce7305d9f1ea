"""What taking an event of Stripe's costs: verified, read, recorded in three streams, answered.

Each event is a new one, an update of one of a thousand accounts' subscriptions, signed as Stripe
signs; the whole application answers it, but for the server's sockets.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import stripe

from bench.ledgers import Bench
from bench.measure import FULL, Effort, Measure
from ledger.secret import Secret
from tests.stripe.payloads import changed, item, subscription
from web.app import create_app
from web.settings import Settings, StripeSettings
from web.wiring import wire

SECRET: Final = "whsec_of_the_benchmark"
MEDIAN_MAX_MS: Final = 50.0
ACCOUNTS: Final = 1_000
EVENTS_FULL: Final = 2_000
EVENTS_QUICK: Final = 300
RAW_STREAM: Final = "raw-webhook"


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    url = bench.ports.book.env["KEYFOLD_DATABASE_URL"]
    settings = Settings(
        url, Secret(bytes(range(32))), bench.ports.catalog, "http://127.0.0.1:8000", None, ACCOUNTS
    )
    wiring = wire(settings._replace(stripe=StripeSettings(webhook_secrets=(SECRET,))))
    client = create_app(wiring).test_client()
    ours: list[float] = []
    raw: list[float] = []
    for number in range(EVENTS_FULL if effort == FULL else EVENTS_QUICK):
        body, headers = _delivery(number)
        began = time.perf_counter()
        answer = client.post("/webhooks/stripe", data=body, headers=headers)
        ours.append(1e3 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.data
        began = time.perf_counter()
        bench.raw.insert(f"{RAW_STREAM}-{next(_numbers)}", 1)
        raw.append(1e3 * (time.perf_counter() - began))
    wiring.close()
    median, plain = statistics.median(ours), statistics.median(raw)
    told = f"median {median:.2f} ms, p99 {sorted(ours)[int(len(ours) * 0.99)]:.2f} ms"
    yield Measure(
        "an event of Stripe's taken",
        f"{MEDIAN_MAX_MS:.0f} ms",
        median / MEDIAN_MAX_MS,
        1,
        at_least=False,
        detail=told,
    )
    yield Measure(
        "an event of Stripe's taken",
        "raw insert + commit of one row",
        median / plain,
        12,
        at_least=False,
        detail=f"{median:.2f} ms against {plain:.2f} ms",
    )


_numbers = itertools.count()


def _delivery(number: int) -> tuple[bytes, dict[str, str]]:
    id = f"{number % ACCOUNTS:04}"
    told = subscription(
        f"sub_{id}",
        items=[item("cloud_pos_month", number % 7 + 1)],
        account=f"bench-{id}",
        customer=f"cus_{id}",
    )
    now = datetime.now(UTC)
    body = json.dumps(changed(told, at=now)).encode()
    header = stripe.WebhookSignature.generate_signature_header(
        body.decode(), SECRET, timestamp=int(now.timestamp())
    )
    return body, {"Stripe-Signature": header, "Content-Type": "application/json"}
