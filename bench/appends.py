"""What recording costs: one event, a seat, a redemption; against a plain insert of equal rows.

Ours and theirs are durable when they are answered: both commit, and both databases sync. `raw` is
what a plain program does, each client with a connection and prepared statements (bench.ledgers).
Clients are threads of one process, or of several.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from eventsourcing.persistence import StoredEvent

from bench.ledgers import CLIENTS, STATE, Bench, context, open_raw, open_services
from bench.measure import Effort, Measure, rates
from bench.rounds import Contestant, Measured, Run, Work, crew, interleaved, threads
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from ledger.limits import SEATS_MAX
from ledger.streams.account.stream import ACCOUNT

LONGEST_WAIT_MS: Final = 300.0
REDEMPTIONS_PER_S: Final = 4_000  # so many codes are issued for a second, which is more than we can
RAW: Final = "raw insert + commit"
RAW_TWO: Final = "raw insert of two rows + commit"


class Shape(NamedTuple):
    """How many clients there are, in how many processes; and the goal for that, by database."""

    processes: int
    clients: int
    goals: dict[str, float]

    def __str__(self) -> str:
        if self.clients == 1:
            return f"{self.processes} processes" if self.processes > 1 else "1 thread"
        return f"{f'{self.processes} × ' if self.processes > 1 else ''}{self.clients} threads"


SHAPES: Final = (
    Shape(1, 1, {"PostgreSQL": 0.80, "SQLite": 0.90}),
    Shape(1, CLIENTS, {"PostgreSQL": 1.0, "SQLite": 1.5}),
    Shape(2, CLIENTS, {"PostgreSQL": 1.0}),
    Shape(CLIENTS, 1, {"PostgreSQL": 0.70, "SQLite": 0.85}),
)
COMMANDS: Final = Shape(2, CLIENTS, {})


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    for shape in SHAPES:
        yield from _append(bench, effort, shape)
    yield _occupies(bench, effort)
    yield from _hot_account(bench, effort)
    yield from _redeems(bench, effort)


def _append(bench: Bench, effort: Effort, shape: Shape) -> Iterator[Measure]:
    what = f"append one event, {shape}"
    found = _race(bench, effort, shape, partial(_appending, bench.url), _raw(bench))
    yield rates(what, RAW, found["ours"], found["raw"], shape.goals.get(bench.name))
    if bench.name == "SQLite" and shape.processes > 1:
        waited = found["ours"].max_ms
        yield Measure(
            f"{what}: the longest wait",
            f"{LONGEST_WAIT_MS:.0f} ms",
            waited / LONGEST_WAIT_MS,
            1,
            at_least=False,
            detail=f"{waited:.0f} ms, raw {found['raw'].max_ms:.0f} ms",
        )


def _occupies(bench: Bench, effort: Effort) -> Measure:
    """Each client fills an account of its own, one seat after another."""
    accounts = [
        _account_with_seats(bench.services, f"occupy-{client}")
        for client in range(COMMANDS.processes * COMMANDS.clients)
    ]
    found = _race(bench, effort, COMMANDS, partial(_occupying, bench.url, accounts), _raw(bench))
    goal = 0.60 if bench.name == "PostgreSQL" else None
    return rates(
        f"occupy_seat, {COMMANDS}, an account each", RAW, found["ours"], found["raw"], goal
    )


def _hot_account(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """All clients fill one account; nobody may be refused a seat that there is."""
    account = _account_with_seats(bench.services, "hot")
    occupy = _occupying(bench.url, [account] * CLIENTS)
    completed = itertools.count()

    def work(client: int) -> None:
        occupy(client)
        next(completed)

    found = interleaved(
        [Contestant("ours", threads(work, CLIENTS)), Contestant("raw", threads(work))],
        rounds=effort.rounds,
        seconds=effort.seconds,
    )
    what = f"occupy_seat, {CLIENTS} threads, one hot account"
    yield rates(what, "one client on it", found["ours"], found["raw"], 0.80)
    taken = bench.services.book.load(ACCOUNT, account).state
    assert len(taken.seats) == next(completed), "each has the seat it got"


def _redeems(bench: Bench, effort: Effort) -> Iterator[Measure]:
    for shape in (Shape(1, 1, {}), COMMANDS):
        clients = shape.processes * shape.clients
        codes = _codes(bench.services, int(effort.rounds * effort.seconds * REDEMPTIONS_PER_S))
        each = [codes[client::clients] for client in range(clients)]
        raw = partial(_inserting, bench.url, 2)
        found = _race(bench, effort, shape, partial(_redeeming, bench.url, each), raw)
        goal = 0.50 if shape is COMMANDS else None
        yield rates(f"redeem_key, {shape}", RAW_TWO, found["ours"], found["raw"], goal)


def _race(
    bench: Bench,
    effort: Effort,
    shape: Shape,
    ours: Callable[[], Work],
    raw: Callable[[], Work],
) -> dict[str, Measured]:
    with ExitStack() as stack:

        def run(make: Callable[[], Work]) -> Run:
            if shape.processes == 1:
                return threads(make(), shape.clients)
            return stack.enter_context(crew(make, shape.processes, shape.clients))

        return interleaved(
            [Contestant("ours", run(ours)), Contestant("raw", run(raw))],
            rounds=effort.rounds,
            seconds=effort.seconds,
        )


# What clients do: each of these is called once in each process


def _raw(bench: Bench) -> Callable[[], Work]:
    return partial(_inserting, bench.url, 1)


def _inserting(url: str, rows: int) -> Work:
    raw = open_raw(url)
    insert = raw.insert if rows == 1 else raw.insert_two
    fresh = _fresh("raw")
    return lambda client: insert(fresh(client), 1)


def _appending(url: str) -> Work:
    store = open_services(url).book.store
    fresh = _fresh("bench")

    def append(client: int) -> None:
        store.insert_events([StoredEvent(fresh(client), 1, "account.seat_occupied@1", STATE)])

    return append


def _occupying(url: str, accounts: Sequence[str]) -> Work:
    services = open_services(url)
    fresh = _fresh("till")

    def occupy(client: int) -> None:
        wanted = Sitting(accounts[client], "cloud_pos", None, fresh(client))
        occupy_seat(services, context(), wanted)

    return occupy


def _redeeming(url: str, codes: Sequence[Sequence[str]]) -> Work:
    services = open_services(url)
    left = [iter(each) for each in codes]
    fresh = _fresh("redeem")

    def redeem(client: int) -> None:
        redeem_key(services, context(), Try(fresh(client), "s", next(left[client])))

    return redeem


def _fresh(kind: str) -> Callable[[int], str]:
    """Return a name that no other client, process or round has."""
    number = itertools.count()
    process = os.urandom(4).hex()
    return lambda client: f"{kind}-{process}-{client}-{next(number)}"


def _account_with_seats(services: Services, account: str) -> str:
    order = Order("cloud_pos", None, seats=SEATS_MAX, months=12, count=1, reseller="bench")
    code = issue_keys(services, context(), order).keys[0].code
    redeem_key(services, context(), Try(account, "s", code))
    return account


def _codes(services: Services, needed: int) -> list[str]:
    codes: list[str] = []
    while len(codes) < needed:
        order = Order("cloud_pos", None, seats=5, months=12, count=1000, reseller="bench")
        codes += [key.code for key in issue_keys(services, context(), order).keys]
    return codes
