"""Eight clients on pairs of accounts, over HTTP: one order of all that was answered explains it.

They take seats, leave them, redeem keys, move subscriptions between the two accounts of a pair, and
read, with `min_position` too; workers are killed on the way. Each pair is searched as a whole,
since a move is of both accounts at once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from random import Random
from typing import Any, Final, NamedTuple

from tests.cli.program import PATIENCE_S, Program, Server
from tests.drills.linearizable import UNKNOWN, Searched, Timed, search
from tests.drills.places import KINDS, place, served
from tests.drills.report import Report

PAIRS: Final = 2
CLIENTS_EACH: Final = 4
CALLS: Final = 60  # of each client
ROUNDS: Final = 40
KILLS: Final = 2  # a round: what nobody heard of makes the search grow
SEATS: Final = 2
KEYS: Final = 4  # of each pair
HOLDERS: Final = ("anna", "ben", "carl", "dora")
SIDES: Final = ("left", "right")
TRIES_MAX: Final = 12  # with those in the end fewer than block an account


class State(NamedTuple):
    """A pair of accounts: who sits on each side, and what each key gives its seats to.

    Attributes:
        keys: the key, its side, and whether it was ever moved.
    """

    left: frozenset[str] = frozenset()
    right: frozenset[str] = frozenset()
    keys: frozenset[tuple[int, str, bool]] = frozenset()

    def sitting(self, side: str) -> frozenset[str]:
        return self.left if side == "left" else self.right

    def seats(self, side: str) -> int:
        return SEATS * sum(where == side for _, where, _ in self.keys)

    def with_sitting(self, side: str, holders: frozenset[str]) -> State:
        return self._replace(left=holders) if side == "left" else self._replace(right=holders)


def step(state: State, asked: tuple[Any, ...]) -> tuple[State, Any]:
    """Return what a call makes of a pair, and what it is answered: its status, or what was read."""
    do, side, what = asked
    sitting = state.sitting(side)
    match do:
        case "read":
            return state, (tuple(sorted(sitting)), state.seats(side))
        case "occupy" if what in sitting:
            return state, 200
        case "occupy" if len(sitting) < state.seats(side):
            return state.with_sitting(side, sitting | {what}), 201
        case "release" if what in sitting:
            return state.with_sitting(side, sitting - {what}), 204
        case "redeem" if all(key != what for key, _, _ in state.keys):
            return state._replace(keys=state.keys | {(what, side, False)}), 201
        case "transfer":
            return _transferred(state, side, what)
    return state, REFUSED[do]


# What a call is answered when it does nothing.
REFUSED: Final = {"occupy": 409, "release": 404, "redeem": 409}


def _transferred(state: State, side: str, key: int) -> tuple[State, int]:
    """Move a key's seats; what is not there has been moved already, or never was there."""
    other = SIDES[1 - SIDES.index(side)]
    for moved in (False, True):
        if (key, side, moved) in state.keys:
            return state._replace(
                keys=state.keys - {(key, side, moved)} | {(key, other, True)}
            ), 200
    return state, 200 if (key, other, True) in state.keys else 404


class Pair:
    """Two accounts, and what was asked of them and answered."""

    def __init__(self, server: Server, token: str, name: str, codes: Sequence[str]) -> None:
        self._server = server
        self._token = token
        self._name = name
        self._codes = codes
        self._subscriptions: dict[int, str] = {}
        self._tries = 0
        self._sessions = count()
        self.calls: list[Timed] = []
        self.alone_from = math.inf
        self.wrong: list[str] = []

    def live(self, calls: int, random: Random) -> None:
        """Be one client."""
        position = 0
        for _ in range(calls):
            do = random.choice(
                ("occupy", "occupy", "release", "read", "read", "redeem", "transfer")
            )
            side = random.choice(SIDES)
            what: Any = random.choice(HOLDERS)
            if do in ("redeem", "transfer"):
                what = random.randrange(KEYS)
            if do == "transfer" and what not in self._subscriptions:
                do = "read"
            if do == "redeem":
                self._tries += 1
                do = "redeem" if self._tries < TRIES_MAX else "read"
            position = self.call((do, side, what), position)

    def end(self) -> None:
        """Ask one thing after the other, so that what is planted among them must show."""
        self.alone_from = time.monotonic()
        calls: list[tuple[str, str, Any]] = [
            *(("redeem", "left", key) for key in range(KEYS)),
            *(("release", "left", holder) for holder in HOLDERS),
            ("read", "left", ""),
            ("occupy", "left", "emil"),
            ("read", "left", ""),
            ("release", "left", "emil"),
            ("read", "left", ""),
            *(("occupy", "left", f"more-{n}") for n in range(SEATS * KEYS + 1)),
        ]
        for asked in calls:
            self.call(asked, 0)

    def call(self, asked: tuple[str, str, Any], position: int) -> int:
        """Ask, and note it; return the highest position that is known to be there."""
        method, path, body = self._request(asked, position)
        began = time.monotonic()
        status, page, reached = self._ask(method, path, body)
        ended = time.monotonic()
        answer: Any = status
        if status in {0, 503}:
            self.calls.append(Timed(asked, UNKNOWN, began))
            return position
        if asked[0] == "read":
            found = json.loads(page)
            totals = {one["product"]: one["seats"] for one in found["totals"]}
            holders = tuple(sorted(one["holder"] for one in found["items"]))
            answer = (holders, totals.get("cloud_pos", 0))
            if found["position"] < position:
                self.wrong.append(f"asked from {position}, it was read at {found['position']}")
        if asked[0] == "redeem" and status == 201:
            self._subscriptions[asked[2]] = json.loads(page)["subscription"]["subscription"]
        self.calls.append(Timed(asked, answer, began, ended))
        return max(position, reached)

    def _request(self, asked: tuple[str, str, Any], position: int) -> tuple[str, str, Any]:
        do, side, what = asked
        account = f"{self._name}-{side}"
        seat = f"/v1/accounts/{account}/seats/cloud_pos/{what}"
        match do:
            case "occupy":
                return "PUT", seat, {}
            case "release":
                return "DELETE", seat, None
            case "redeem":
                session = f"{self._name}-{next(self._sessions)}"
                code = {"account": account, "session": session, "code": self._codes[what]}
                return "POST", "/v1/keys/redeem", code
            case "transfer":
                path = f"/v1/accounts/{account}/subscriptions/{self._subscriptions[what]}/transfer"
                other = SIDES[1 - SIDES.index(side)]
                return "POST", path, {"to": f"{self._name}-{other}", "reason": "To and fro"}
        return "GET", f"/v1/accounts/{account}/seats?min_position={position}", None

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, str, int]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            try:
                sent = None if body is None else json.dumps(body)
                connection.request(method, path, sent, headers)
                response = connection.getresponse()
                page = response.read().decode()
            except (OSError, http.client.HTTPException):
                return 0, "", 0
            return response.status, page, int(response.getheader("Keyfold-Position") or 0)


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    figures: dict[str, str] = {}
    faults: list[str] = []
    found: dict[str, list[str]] = {}
    for kind in KINDS:
        every: list[Timed] = []
        states = 0
        with place(kind) as at:
            token = at.program.json("tokens", "create", "--role", "admin")["token"]
            with served(at.program, "--workers", "2") as running:
                for number in range(1 if quick else ROUNDS):
                    pairs = _pairs(at.program, running.server, token, number)
                    _live(running.server, pairs, f"{seed}-{number}")
                    for pair in pairs:
                        searched = search(pair.calls, State(), step)
                        faults += [*pair.wrong, *_told(pair.calls, searched)]
                        every += pair.calls
                        states += searched.states
            faults += at.verified()
        unknown = sum(call.answer is UNKNOWN for call in every)
        figures[kind] = (
            f"{len(every)} calls, {unknown} of unknown outcome; all {states} states searched"
        )
        if planted and not faults:
            found |= {f"{kind}: {name}": said for name, said in _planted(pairs[0]).items()}
    return Report(figures, faults, found)


def _pairs(program: Program, server: Server, token: str, number: int) -> list[Pair]:
    order = ["--product", "cloud_pos", "--seats", str(SEATS), "--months", "12"]
    order += ["--reseller", "Northwind", "--count", str(PAIRS * KEYS)]
    codes = [key["code"] for key in program.json("keys", "issue", *order)["keys"]]
    return [
        Pair(server, token, f"pair-{number}-{n}", codes[n * KEYS : (n + 1) * KEYS])
        for n in range(PAIRS)
    ]


def _live(server: Server, pairs: Sequence[Pair], seed: str) -> None:
    random = Random(f"histories-{seed}")
    with ThreadPoolExecutor(PAIRS * CLIENTS_EACH) as pool:
        clients = [
            pool.submit(pair.live, CALLS, Random(f"{seed}-{n}-{m}"))
            for n, pair in enumerate(pairs)
            for m in range(CLIENTS_EACH)
        ]
        for _ in range(KILLS):
            time.sleep(random.uniform(0.2, 0.8))
            if len(workers := sorted(server.workers())) > 1:
                os.kill(random.choice(workers), signal.SIGKILL)
        for client in clients:
            client.result()
    for pair in pairs:
        pair.end()


def _told(calls: Sequence[Timed], searched: Searched) -> list[str]:
    if searched.found:
        return []
    return [f"no order explains {len(calls)} calls ({searched.states} states searched)"]


def _planted(pair: Pair) -> dict[str, list[str]]:
    """Plant an answer at a time into the last calls, which were made one after the other.

    What was asked before and never answered has been done by then, or never is: else it could
    explain what is planted.
    """
    calls = [
        call._replace(ended=pair.alone_from)
        if call.answer is UNKNOWN and call.began < pair.alone_from
        else call
        for call in pair.calls
    ]
    reads = [n for n, call in enumerate(calls) if call.asked[0] == "read"][-3:]
    left = next(n for n in reversed(range(len(calls))) if calls[n].asked[:1] == ("release",))
    full = len(calls) - 1
    histories = {
        "a read that is stale": _with(calls, reads[1], calls[reads[0]].answer),
        "a seat that is given though all are taken": _with(calls, full, 201),
        "a release that nobody asked for": [*calls[:left], *calls[left + 1 :]],
        "a release that was told and not done": _with(calls, reads[2], calls[reads[1]].answer),
    }
    return {
        name: _told(history, search(history, State(), step)) for name, history in histories.items()
    }


def _with(calls: Sequence[Timed], n: int, answer: Any) -> list[Timed]:
    return [*calls[:n], calls[n]._replace(answer=answer), *calls[n + 1 :]]
