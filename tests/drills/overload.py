"""More is asked than can be answered: three times as much, and by clients that will not be served.

Meanwhile one asks whether a till may work, and Stripe delivers. What was refused was not done, and
what was done was answered: there are as many orders on the ledger as were acknowledged.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench import load
from bench.load import Job, Load
from ledger.streams.batch import KeysIssued
from tests.cli.program import PATIENCE_S, Server, wait_until
from tests.drills.places import KINDS, Kind, Place, place, served
from tests.drills.report import Report
from tests.stripe.payloads import WEBHOOK_SECRET, event, signature
from web.app.clock import system_clock

TIMES_CAPACITY: Final = 3
ROUND_S_QUICK, ROUND_S = 4.0, 30.0
CONNECTIONS: Final = 800
IDLE: Final = 1_000
WITHIN_MS: Final = 1000.0
SEAT_MS: Final = 100.0
NORMAL_S: Final = 2.0
TOO_LONG_MS: Final = 1500.0
MORE_MIB: Final = 256
SEAT: Final = "/v1/accounts/acme/seats/cloud_pos/till"
ORDER: Final = json.dumps(
    {"product": "cloud_pos", "seats": 1, "months": 1, "reseller": "Northwind"}
)
WITHOUT_SHEDDING: Final = (sys.executable, "-m", "tests.drills.without_shedding")


class Seen(NamedTuple):
    """What became of one ledger; `faults` hold on any machine, `late` on one that is quiet."""

    figures: dict[str, str]
    faults: list[str]
    late: list[str]


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    del seed  # nothing is drawn
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        seen = _overloaded(kind, ROUND_S_QUICK if quick else ROUND_S)
        figures |= {f"{kind}: {name}": figure for name, figure in seen.figures.items()}
        told = seen.faults if quick else [*seen.faults, *seen.late]
        faults += [f"{kind}: {one}" for one in told]
    if planted:
        seen = _overloaded("SQLite", ROUND_S_QUICK, WITHOUT_SHEDDING)
        found["a server that lets everybody wait"] = seen.faults
    return Report(figures, faults, found)


def _overloaded(kind: Kind, seconds: float, command: tuple[str, ...] = ()) -> Seen:
    with place(kind, STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET) as at, load.started() as crowd:
        token = at.program.json("tokens", "create", "--role", "admin")["token"]
        at.program.command = command or at.program.command
        with served(at.program) as running:
            its = _Overload(running.server, token, crowd)
            its.prepare()
            its.ask_too_much(seconds)
            its.be_a_nuisance()
        its.compare(at)
        return Seen(its.figures, its.faults, its.late)


class _Overload:
    """One ledger, and who asks too much of it."""

    def __init__(self, server: Server, token: str, crowd: Load) -> None:
        self.figures: dict[str, str] = {}
        self.faults: list[str] = []
        self.late: list[str] = []
        self._server = server
        self._token = token
        self._crowd = crowd
        self._acknowledged = 0

    def prepare(self) -> None:
        """Have a till that may work, and find out how many orders are taken in a second."""
        self._asked("POST", "/v1/keys", ORDER, {"Idempotency-Key": "first"})
        order = json.dumps({**json.loads(ORDER), "seats": 2})
        _, page = self._asked("POST", "/v1/keys", order, {"Idempotency-Key": "second"})
        code = json.loads(page)["keys"][0]["code"]
        self._acknowledged += 2
        self._asked(
            "POST",
            "/v1/keys/redeem",
            json.dumps({"account": "acme", "session": "s", "code": code}),
        )
        self._asked("PUT", SEAT, "{}")
        found = self._crowd.run(self._job(0, 2.0, None, 8))
        self._acknowledged += len(found.ms) - found.failed
        self._capacity = found.per_s
        self.figures["capacity"] = f"{found.per_s:.0f} orders a second"

    def _job(self, first: int, seconds: float, rate: float | None, connections: int) -> Job:
        request = "\r\n".join(
            [
                "POST /v1/keys HTTP/1.1",
                "Host: x",
                f"Authorization: Bearer {self._token}",
                "Content-Type: application/json",
                "Idempotency-Key: %d-%d",
                f"Content-Length: {len(ORDER)}",
                "",
                ORDER,
            ]
        )
        return Job(self._server.port, request, 1, first, seconds, rate, connections)

    def ask_too_much(self, seconds: float) -> None:
        """Ask three times as much as can be answered; then something can be done again, soon."""
        before = self._memory_mib()
        with self._bystanders(webhooks=True) as times:
            rate = TIMES_CAPACITY * self._capacity
            found = self._crowd.run(self._job(1_000_000, seconds, rate, CONNECTIONS))
            more = self._memory_mib() - before
        ended = time.monotonic()
        wait_until(lambda: self._ordered("afterwards") == http.HTTPStatus.CREATED)
        normal_s = time.monotonic() - ended
        refused = found.refused_ms
        self._acknowledged += len(found.ms) - found.failed + 1
        if found.failed > len(refused):
            self.faults.append(f"{found.failed - len(refused)} were answered otherwise than by 503")
        if not refused and found.ms[-1] > TOO_LONG_MS:
            self.faults.append(f"nobody was refused, and some waited {found.ms[-1] / 1000:.1f} s")
        if more > MORE_MIB:
            self.faults.append(f"{more} MiB more were used")
        if refused and refused[-1] > WITHIN_MS:
            self.late.append(f"refused after {refused[-1]:.0f} ms")
        if normal_s > NORMAL_S:
            self.late.append(f"{normal_s:.1f} s until it was as before")
        shed = f"{len(refused)} of {len(found.ms)} refused"
        took = (
            f", after {refused[len(refused) // 2]:.0f} to {refused[-1]:.0f} ms" if refused else ""
        )
        self.figures[f"{TIMES_CAPACITY} times that, {CONNECTIONS} connections"] = f"{shed}{took}"
        self.figures["more memory meanwhile; as before after"] = f"{more} MiB; {normal_s:.2f} s"
        self._tell("meanwhile", times)

    def be_a_nuisance(self) -> None:
        """Hold connections, send bodies that never end, and wait for what does not come."""
        after = json.loads(self._server.get("/readyz")[1])["position"]
        dripping = b"POST /portal/open HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        asks = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        poll = f"GET /v1/events?after={after}&wait=25{asks}".encode()
        ahead = f"GET {SEAT}?min_position={after + 1000}{asks}".encode()
        with contextlib.ExitStack() as stack:
            for count, sent in ((IDLE, b""), (64, dripping), (100, poll), (48, ahead)):
                for _ in range(count):
                    one = socket.create_connection(("127.0.0.1", self._server.port), PATIENCE_S)
                    stack.enter_context(contextlib.closing(one))
                    one.sendall(sent)
            with self._bystanders(webhooks=False) as times:
                time.sleep(3.0)
        self._tell(f"{IDLE} idle, 64 silent bodies, 100 polls, 48 ahead", times)

    def compare(self, at: Place) -> None:
        """Hold what was acknowledged against the ledger."""
        with at.book() as book:
            orders = sum(isinstance(event.fact, KeysIssued) for event in book.follow(0))
        if orders != self._acknowledged:
            self.faults.append(f"{self._acknowledged} orders acknowledged, {orders} recorded")
        self.figures["orders acknowledged, recorded"] = f"{self._acknowledged}, {orders}"

    @contextlib.contextmanager
    def _bystanders(self, *, webhooks: bool) -> Iterator[list[float]]:
        """Ask whether a till may work, again and again, and deliver what Stripe sends."""
        times: list[float] = []
        over = threading.Event()

        def seat() -> None:
            while not over.wait(0.05):
                began = time.monotonic()
                status, _ = self._asked("GET", SEAT)
                times.append((time.monotonic() - began) * 1000)
                if status != http.HTTPStatus.OK:
                    self.faults.append(f"may this till work? {status}")

        def webhook() -> None:
            while not over.wait(0.2):
                now = system_clock()
                body = json.dumps(event("plan.created", {"object": "plan", "id": "p"}, at=now))
                signed = {"Stripe-Signature": signature(body.encode(), now)}
                status, _ = self._asked("POST", "/webhooks/stripe", body, signed)
                if status != http.HTTPStatus.OK:
                    self.faults.append(f"what Stripe delivered was answered {status}")

        threads = [threading.Thread(target=one) for one in (seat, *([webhook] * webhooks))]
        for thread in threads:
            thread.start()
        try:
            yield times
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _tell(self, when: str, times: list[float]) -> None:
        ordered = sorted(times)
        median, p99 = (ordered[int((len(ordered) - 1) * share)] for share in (0.5, 0.99))
        if p99 > SEAT_MS:
            self.late.append(f"{when}: may this till work? p99 {p99:.0f} ms")
        self.figures[f"may this till work? {when}"] = f"median {median:.0f} ms, p99 {p99:.0f} ms"

    def _ordered(self, name: str) -> int:
        return self._asked("POST", "/v1/keys", ORDER, {"Idempotency-Key": name})[0]

    def _asked(
        self, method: str, path: str, body: str | None = None, more: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE_S)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        with contextlib.closing(connection):
            connection.request(method, path, body, {**headers, **(more or {})})
            response = connection.getresponse()
            return response.status, response.read()

    def _memory_mib(self) -> int:
        kept = 0
        for worker in self._server.workers():
            lines = Path(f"/proc/{worker}/status").read_text().splitlines()
            kept += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        return kept // 1024
