"""What taking an event of Stripe's costs: verified, read, recorded in its streams, answered.

Each event is a new one, an update of one of a few dozen subscriptions, signed as Stripe signs. The
whole application answers it, by WSGI; only the server and its sockets are left out. On PostgreSQL
the same events also go into dj-stripe, by the same call and with as many threads: what it does is
told in `bench.others.djstripe_webhooks`. Keyfold records each event with what it reports, so that
the account's history can be asked for any moment; dj-stripe keeps the events beside the last state.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from bench.deliveries import (
    ACCOUNTS,
    EVENT,
    ID,
    OBJECT,
    QUANTITY,
    SECOND,
    SECRET,
    Deliveries,
    Pattern,
    post,
)
from bench.ledgers import CLIENTS, Bench, new_database
from bench.measure import Effort, Measure, rates
from bench.programs import NotRun, not_run, program, python
from bench.rounds import Contestant, Run, Work, crew, interleaved, threads
from ledger.catalog import builtin
from ledger.secret import Secret
from tests.stripe.payloads import changed, item, subscription
from web.app.services import wire
from web.app.settings import Settings, StripeSettings
from web.create_app import create_app

WHAT: Final = "an event of Stripe's taken"
AGAINST: Final = "dj-stripe"
MEDIAN_MAX_MS: Final = 50.0
RAW_STREAM: Final = "raw-webhook"
# In short rounds, since a machine that others use too drifts within a second.
PART: Final = 0.4
ROUNDS_IN_ONE: Final = 2


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    url = bench.services.book.env["KEYFOLD_DATABASE_URL"]
    with crew(partial(_ours, url, "one"), 1) as ours:
        yield from _alone(bench, ours, effort)
        if bench.name == "PostgreSQL":
            yield from _beside(url, ours, effort)


def _alone(bench: Bench, ours: Run, effort: Effort) -> Iterator[Measure]:
    numbers = itertools.count()

    def insert(_client: int) -> None:
        bench.raw.insert(f"{RAW_STREAM}-{next(numbers)}", 1)

    found = interleaved(
        [Contestant("ours", ours), Contestant("raw", threads(insert))],
        rounds=effort.rounds * ROUNDS_IN_ONE,
        seconds=effort.seconds * PART / ROUNDS_IN_ONE,
    )
    median, plain = found["ours"].median_ms, found["raw"].median_ms
    yield Measure(
        WHAT,
        f"{MEDIAN_MAX_MS:.0f} ms",
        median / MEDIAN_MAX_MS,
        1,
        at_least=False,
        detail=f"median {median:.2f} ms, p99 {found['ours'].p99_ms:.2f} ms",
    )
    yield Measure(
        WHAT,
        "raw insert + commit of one row",
        median / plain,
        12,
        at_least=False,
        detail=f"{median:.2f} ms against {plain:.2f} ms",
    )


def _beside(url: str, ours: Run, effort: Effort) -> Iterator[Measure]:
    with (
        new_database(url) as theirs,
        crew(partial(_ours, url, "many"), 1, CLIENTS) as ours_by_many,
    ):
        for what, run, clients in (
            (WHAT, ours, 1),
            (f"{WHAT}, {CLIENTS} threads", ours_by_many, CLIENTS),
        ):
            try:
                with _djstripe(theirs, clients) as djstripe:
                    yield _rates(what, run, djstripe, effort)
            except NotRun as error:
                yield not_run(what, AGAINST, error)


def _rates(what: str, ours: Run, djstripe: Run, effort: Effort) -> Measure:
    found = interleaved(
        [Contestant("ours", ours), Contestant("dj-stripe", djstripe)],
        rounds=effort.rounds * ROUNDS_IN_ONE,
        seconds=effort.seconds * PART / ROUNDS_IN_ONE,
    )
    return rates(what, AGAINST, found["ours"], found["dj-stripe"], 3.0)


@contextmanager
def _djstripe(url: str, clients: int) -> Iterator[Run]:
    made = python("bench.others.djstripe_webhooks", url, str(clients), f"of{clients}x", *_pattern())
    with program(made) as run:
        yield run


def _ours(url: str, name: str) -> Work:
    settings = Settings(
        url, Secret(bytes(range(32))), builtin(), "http://127.0.0.1:8000", None, 1_000
    )
    wiring = wire(settings._replace(stripe=StripeSettings(webhook_secrets=(SECRET,))))
    application = create_app(wiring)
    deliveries = Deliveries(_pattern(), f"{name}x")

    def work(_client: int) -> bytes:
        return post(application, "/webhooks/stripe", deliveries.next())

    for _ in range(ACCOUNTS):
        assert json.loads(work(0))["outcome"] == "reported"
    return work


def _pattern() -> Pattern:
    """Return the event of the tests, with what dj-stripe will not do without."""
    bought = item("cloud_pos_month", QUANTITY, id=f"si_{ID}", subscription=f"sub_{ID}")
    bought["price"] |= {"active": True, "created": 1_700_000_000, "type": "recurring"}
    reported = subscription(
        f"sub_{ID}", items=[bought], account=f"bench-{ID}", customer=f"cus_{ID}"
    )
    event = changed({}, id=EVENT)
    event |= {"created": SECOND, "data": {"object": OBJECT}}
    return Pattern(json.dumps(event), json.dumps(reported))
