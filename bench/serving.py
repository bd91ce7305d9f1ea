"""What Keyfold costs over HTTP, beside a plain Flask application on the same server.

Both are served as `keyfold serve` serves, with as many workers and threads, and are
asked by one process over 16 connections that are kept (`bench.load`). What the plain one does, and
does not do, is told in `bench.serving_plain`; both write to the same database. Keyfold is as it is
always served: it looks the token up in the ledger, validates, counts, and logs each request. Each
PUT takes a seat for a new holder, in one of a few hundred accounts.

A view asks the database what is new at each request, and the plain GET asks it nothing: what that
costs shows beside the plain one when it also reads one row by its primary key, as a row without a
goal.

Capacity is how many are answered when each connection sends its next request as soon as it has its
answer. Times are taken under half and under four fifths of it, with requests due on a schedule.
Each side is given its own capacity's part, so that both are as busy: a plain application at the
load that nearly fills Keyfold would be idle for the most part, and its times those of an idle
machine. (Where Keyfold's capacity is the larger, it is given no more than the plain one is.) The
times of both under the one load are shown, too, without a goal. Any answer but 2xx fails the row.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from bench import load
from bench.ledgers import SECRET, Bench, context
from bench.load import Answers, Job, Load
from bench.measure import Effort, Measure
from bench.serving_plain import LOOKED_UP, Answer, Plain
from commands.give_access import create_token
from commands.issue_keys import Order, issue_keys
from commands.redeem_key import Try, redeem_key
from tests.cli.program import Program
from web.cli.serve import THREADS_DEFAULT, WORKERS_DEFAULT

ACCOUNTS: Final = 300
SEATS: Final = 100_000
PART: Final = 0.45  # of a round's usual time
RATE_GOAL: Final = 0.5
P99_GOAL: Final = 2.0
LOADS: Final = (0.5, 0.8)  # of capacity
AGAINST: Final = "plain Flask, same server"
_BODY: Final = '{"tier": null, "label": null}'
_HEAD: Final = "HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n"
# The number of the first is a header that nobody reads.
_SHOW: Final = f"GET /v1/accounts/http-%d/subscriptions {_HEAD}X-Number: %d\r\n\r\n"
_TAKE: Final = (
    f"PUT /v1/accounts/http-%d/seats/cloud_pos/till-%d {_HEAD}"
    f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n{_BODY}"
)
_UP_WITHIN_S: Final = 30.0
# Of the answer that the plain one repeats: the server writes these itself.
_WRITTEN_BY_SERVER: Final = frozenset({"date", "connection", "transfer-encoding"})


class Side(NamedTuple):
    """What is asked of whom: the request is as `bench.load.Job` has it."""

    port: int
    request: str


class Workload(NamedTuple):
    """A kind of request, of both servers.

    Attributes:
        looking: the plain one, when it also reads one row before it answers; for reads only.
    """

    what: str
    ours: Side
    plain: Side
    lookup: Side | None = None


class Run(NamedTuple):
    """What rounds need; no number is given twice."""

    load: Load
    rounds: int
    seconds: float
    numbers: Iterator[int]

    def once(self, side: Side, rate: float | None) -> Answers:
        first = next(self.numbers) * 1_000_000
        return self.load.run(Job(side.port, side.request, ACCOUNTS, first, self.seconds, rate))


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    token = create_token(bench.services, context(), "admin").secret
    _fill(bench)
    show, take = (request.replace("{token}", token) for request in (_SHOW, _TAKE))
    with ExitStack() as stack:
        ours = stack.enter_context(_keyfold(bench))
        answers = _answer_of(Side(ours, show)), _answer_of(Side(ours, take))
        plain = stack.enter_context(_plain(bench, token, *answers))
        run = Run(
            stack.enter_context(load.started()),
            max(1, effort.rounds - 1),
            effort.seconds * PART,
            itertools.count(1),
        )
        lookup = Side(plain, show.replace("/subscriptions", LOOKED_UP))
        for workload in (
            Workload("GET subscriptions", Side(ours, show), Side(plain, show), lookup),
            Workload("PUT seat", Side(ours, take), Side(plain, take)),
        ):
            yield from _measures(run, workload)


def _measures(run: Run, workload: Workload) -> Iterator[Measure]:
    what = f"{workload.what}, {load.CONNECTIONS} connections"
    ours, plain, lookup = workload.ours, workload.plain, workload.lookup
    sides = [side for side in (ours, plain, lookup) if side]
    for side in sides:
        run.once(side, None)  # what is done once is done now
    found = _interleaved(run, dict.fromkeys(sides))
    rates = {side: statistics.median(one.per_s for one in found[side]) for side in sides}
    mine, theirs = rates[ours], rates[plain]
    yield _capacity(found, rates, what, ours, plain, RATE_GOAL)
    if lookup:
        yield _capacity(found, rates, what, ours, lookup, None)
    for part in LOADS:
        found = _interleaved(run, {ours: min(mine, theirs) * part, plain: theirs * part})
        yield _p99(found, ours, plain, f"{what}: p99 at {part:.0%} of capacity", P99_GOAL)
    rate = mine * LOADS[-1]
    found = _interleaved(run, {ours: rate, plain: rate})
    yield _p99(found, ours, plain, f"{what}: p99 at {rate:,.0f}/s for both", None)


def _interleaved(run: Run, rates: dict[Side, float | None]) -> dict[Side, list[Answers]]:
    found: dict[Side, list[Answers]] = {side: [] for side in rates}
    for number in range(run.rounds):
        for side in rates if number % 2 == 0 else reversed(rates):
            found[side].append(run.once(side, rates[side]))
    return found


def _capacity(
    found: dict[Side, list[Answers]],
    rates: dict[Side, float],
    what: str,
    ours: Side,
    theirs: Side,
    goal: float | None,
) -> Measure:
    return _row(
        found,
        f"{what}: capacity",
        AGAINST if goal else f"{AGAINST}, and one SELECT by primary key",
        rates[ours] / rates[theirs],
        goal,
        at_least=True,
        detail=f"{rates[ours]:,.0f}/s against {rates[theirs]:,.0f}/s",
    )


def _p99(
    found: dict[Side, list[Answers]], ours: Side, plain: Side, what: str, goal: float | None
) -> Measure:
    # The median of the rounds: a stall of the machine's is in one of them.
    mine, theirs = (statistics.median(one.p99_ms for one in found[side]) for side in (ours, plain))
    return _row(
        found,
        what,
        AGAINST,
        mine / theirs,
        goal,
        at_least=False,
        detail=f"{mine:.1f} ms at {_rate(found[ours])} against {theirs:.1f} ms at"
        f" {_rate(found[plain])}",
    )


def _rate(answers: list[Answers]) -> str:
    return f"{statistics.median(one.per_s for one in answers):,.0f}/s"


def _row(
    found: dict[Side, list[Answers]],
    what: str,
    against: str,
    ratio: float,
    goal: float | None,
    *,
    at_least: bool,
    detail: str,
) -> Measure:
    failed = sum(one.failed for answers in found.values() for one in answers)
    if failed:
        return Measure(what, against, 0, 1, at_least=True, detail=f"{failed} were not answered 2xx")
    return Measure(what, against, ratio, goal, at_least, detail)


# What is asked


def _answer_of(side: Side) -> Answer:
    """Return what a server answers to one such request, so that the other can answer the same."""
    head, _, body = (side.request % (0, 0)).partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    method, path, _ = line.split(" ")
    connection = http.client.HTTPConnection("127.0.0.1", side.port, timeout=_UP_WITHIN_S)
    connection.request(method, path, body or None, dict(one.split(": ", 1) for one in fields))
    response = connection.getresponse()
    got = response.read().decode()
    assert 200 <= response.status < 300, got
    kept = [one for one in response.getheaders() if one[0].lower() not in _WRITTEN_BY_SERVER]
    connection.close()
    return Answer(response.status, kept, got)


def _fill(bench: Bench) -> None:
    order = Order(
        product="cloud_pos", tier=None, seats=SEATS, months=12, count=ACCOUNTS, reseller="bench"
    )
    for number, key in enumerate(issue_keys(bench.services, context(), order).keys):
        redeem_key(bench.services, context(), Try(f"http-{number}", "s", key.code))


# The servers


@contextmanager
def _keyfold(bench: Bench) -> Iterator[int]:
    settings = {
        "KEYFOLD_DATABASE_URL": bench.url,
        "KEYFOLD_SECRET": base64.b64encode(SECRET).decode(),
    }
    with (
        tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder,
        Program(Path(folder), settings).served() as server,
    ):
        yield server.port


@contextmanager
def _plain(bench: Bench, token: str, shown: Answer, taken: Answer) -> Iterator[int]:
    port = _free_port()
    config = Plain(bench.url, port, WORKERS_DEFAULT, THREADS_DEFAULT, token, shown, taken)
    argv = [sys.executable, "-m", "bench.serving_plain", json.dumps(config._asdict())]
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(argv, stderr=log) as process:
        try:
            _wait_for(port, process, log)
            yield port
        finally:
            process.terminate()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes], log: IO[str]) -> None:
    until = time.monotonic() + _UP_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if process.poll() is not None:
                log.seek(0)
                raise AssertionError(f"the plain server has ended: {log.read()}") from None
            assert time.monotonic() < until, "the plain server does not come up"
            time.sleep(0.05)
        else:
            return
