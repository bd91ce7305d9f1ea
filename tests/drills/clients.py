"""Clients that order, redeem, take seats and leave them, and a journal of what they were answered.

The journal is outside of what is killed. A client that gets no answer, or 503, asks the same once
more, with the same idempotency key, until it is told; now and then it asks again after that.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Final, NamedTuple

from ledger.events import AnyEvent
from ledger.streams.account.facts import SeatOccupied, SeatReleased
from ledger.streams.batch import KeysIssued
from ledger.streams.key import KeyIssued, KeyRedeemed
from tests.cli.program import PATIENCE_S, wait_until

CLIENTS: Final = 8
ACCOUNTS: Final = 4
SEATS: Final = 3
REFUSED: Final = 503
BROKEN: Final = 0


class Call(NamedTuple):
    """One request, from when it was sent until it was answered; 0 for a connection that broke.

    Attributes:
        said: what was answered, if it was refused.
    """

    began: float
    ended: float
    status: int
    said: str = ""


class Told(NamedTuple):
    """What a client was acknowledged: an order's keys, a redemption, a seat, or its release."""

    what: str
    key: str
    answer: str


class Journal:
    """What was answered, outside of the ledger.

    Attributes:
        told: what was acknowledged, in the order in which that was heard of.
        calls: every request.
        wrong: what was answered that cannot be right, whatever the ledger holds.
    """

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.calls: list[Call] = []
        self.wrong: list[str] = []

    def compared_with(self, events: Iterable[AnyEvent]) -> list[str]:
        """Return what was lost, doubled, or is there though nobody was told of it."""
        recorded = Counter(_recorded(events))
        told = Counter({(one.what, one.answer): 1 for one in self.told})
        what = {
            "lost": [one for one in told if not recorded[one]],
            "doubled": [one for one, times in recorded.items() if times > 1],
            "told to nobody": [one for one in recorded if not told[one]],
        }
        return [
            f"{how}: {len(found)}, the first of them {found[0]}"
            for how, found in what.items()
            if found
        ]


def _recorded(events: Iterable[AnyEvent]) -> Iterator[tuple[str, str]]:
    keys: dict[str, list[str]] = {}
    for event in events:
        match event.fact:
            case KeysIssued(batch=batch):
                keys.setdefault(batch, [])
            case KeyIssued(batch=batch, key=key):
                keys.setdefault(batch, []).append(key)
            case KeyRedeemed(subscription=subscription):
                yield "redeemed", subscription
            case SeatOccupied(holder=holder):
                yield "seat", holder
            case SeatReleased(holder=holder):
                yield "left", holder
    yield from (("ordered", " ".join(ids)) for ids in keys.values())


class Clients:
    """Eight of them, on four accounts, while the block runs."""

    def __init__(self, port: int, token: str, seed: int, name: str = "first") -> None:
        self.journal = Journal()
        self._port = port
        self._name = name
        self._token = token
        self._seed = seed
        self._over = threading.Event()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Let them go on for the length of the block, and finish what they have begun."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            every = [pool.submit(self._live, number) for number in range(CLIENTS)]
            try:
                yield
            finally:
                self._over.set()
                for one in every:
                    one.result(2 * PATIENCE_S)

    def wait_for_more(self, count: int = CLIENTS) -> None:
        """Wait until so many more things have been acknowledged."""
        wanted = len(self.journal.told) + count
        wait_until(lambda: len(self.journal.told) >= wanted)

    def first_answer_after(self, moment: float) -> float:
        """Return how many seconds later something asked for after it was acknowledged."""

        def answers() -> list[float]:
            return [
                one.ended
                for one in list(self.journal.calls)
                if one.began >= moment and 200 <= one.status < 300
            ]

        wait_until(lambda: bool(answers()))
        return min(answers()) - moment

    def count_since(self, moment: float, status: int) -> int:
        """Return how many requests have had an outcome since then."""
        return len(self.calls_since(moment, status))

    def calls_since(self, moment: float, status: int) -> list[Call]:
        """Return the requests that have had an outcome since then."""
        calls = list(self.journal.calls)
        return [one for one in calls if one.ended >= moment and one.status == status]

    def _live(self, number: int) -> None:
        random = Random(f"{self._seed}-{number}")
        turn = 0
        while not self._over.is_set():
            turn += 1
            self._turn(f"{self._name}-{number}-{turn}", f"account-{number % ACCOUNTS}", random)

    def _turn(self, name: str, account: str, random: Random) -> None:
        order = {"product": "cloud_pos", "seats": SEATS, "months": 12, "reseller": "Northwind"}
        issued = self._repeated("POST", "/v1/keys", order, f"order-{name}", random)
        self._note("ordered", f"order-{name}", " ".join(key["id"] for key in issued["keys"]))
        code = {"account": account, "session": name, "code": issued["keys"][0]["code"]}
        redeemed = self._repeated("POST", "/v1/keys/redeem", code, f"redeem-{name}", random)
        self._note("redeemed", f"redeem-{name}", redeemed["subscription"]["subscription"])
        for seat in range(SEATS):
            holder = f"till-{name}-{seat}"
            path = f"/v1/accounts/{account}/seats/cloud_pos/{holder}"
            self._repeated("PUT", path, {}, "", random)
            self._note("seat", path, holder)
            if seat == 1:
                self._repeated("DELETE", path, None, "", random)
                self._note("left", path, holder)

    def _note(self, what: str, key: str, answer: str) -> None:
        self.journal.told.append(Told(what, key, answer))

    def _repeated(
        self, method: str, path: str, body: Any, idempotency_key: str, random: Random
    ) -> Any:
        """Ask until there is an answer, and with an idempotency key now and then once more."""
        answer = self._answered(method, path, body, idempotency_key)
        if idempotency_key and random.random() < 0.2:
            again = self._answered(method, path, body, idempotency_key)
            if again != answer:
                self.journal.wrong.append(f"{idempotency_key} was answered {answer}, then {again}")
        return answer

    def _answered(self, method: str, path: str, body: Any, idempotency_key: str) -> Any:
        repeated = False
        while True:
            status, page = self._call(method, path, body, idempotency_key)
            # What was asked for again may have been done: then the seat has been left already.
            if 200 <= status < 300 or (repeated and method == "DELETE" and status == 404):
                return json.loads(page) if page and status != 404 else None
            if status not in (BROKEN, REFUSED):
                self.journal.wrong.append(f"{method} {path}: {status} {page}")
            repeated = True
            time.sleep(0.02)

    def _call(self, method: str, path: str, body: Any, idempotency_key: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        began = time.monotonic()
        status, page = BROKEN, ""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            read = response.read().decode()
            status, page = response.status, read
            if status == REFUSED and not response.getheader("Retry-After"):
                self.journal.wrong.append(f"{method} {path}: 503 without Retry-After")
        said = page if status == REFUSED else ""
        self.journal.calls.append(Call(began, time.monotonic(), status, said))
        return status, page
