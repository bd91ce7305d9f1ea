"""Taking a seat, the limit guarded: against what a team would write instead, on one PostgreSQL.

Instead of Keyfold there would be a table of subscriptions with a counter, and a table of seats. A
seat is taken in one transaction: the subscription's row is locked, the counter held against the
limit, the seat inserted, the counter updated; commit. Once with Django's ORM and once with
SQLAlchemy (`bench.others`). They keep no history, nor a row for an audit.

Keyfold does all that it does for a request but HTTP: `occupy_seat` loads the account, decides, and
appends. The history is kept, and is what the next decision is made from.

Each side runs in new processes of eight threads, each with its own pool of connections, and answers
when the commit is durable. What counts is the faster of the other two.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from bench.ledgers import CLIENTS, Bench, context, new_database, open_services
from bench.measure import Effort, Measure
from bench.programs import NotRun, beside, not_run, program, python
from bench.rounds import Contestant, Run, Work, crew, interleaved
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from ledger.limits import SEATS_MAX

OTHERS: Final = {
    "Django": "bench.others.django_seats",
    "SQLAlchemy": "bench.others.sqlalchemy_seats",
}
AGAINST: Final = "Django or SQLAlchemy: row lock, counter, commit"
# There are nine of them, so each gets less time than others have; in short rounds, since a machine
# that others use too drifts within a second.
PART: Final = 0.4
ROUNDS_IN_ONE: Final = 2
OURS: Final = "Keyfold"
Accounts = Sequence[Sequence[str]]  # for each process, those that its clients fill

OWN: Final = [[f"own-{process}-{client}" for client in range(CLIENTS)] for process in range(2)]
HOT: Final = [["hot"]]


class Side(NamedTuple):
    """One way of taking seats: a run for each of its processes."""

    name: str
    processes: list[Run]


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure on the server of a ledger in PostgreSQL."""
    if bench.name != "PostgreSQL":
        return
    threads = f"{CLIENTS} threads"
    with new_database(bench.url) as url, ExitStack() as stack:
        try:
            own = list(_sides(stack, url, OWN))
            alone = [Side(name, processes[:1]) for name, processes in own]
            yield _row(f"seat taken, {threads}, an account each", None, alone, effort)
            yield _row(f"seat taken, 2 × {threads}, an account each", 1.0, own, effort)
            hot = list(_sides(stack, url, HOT))
            yield _row(f"seat taken, {threads}, one hot account", None, hot, effort)
        except NotRun as error:
            yield not_run("seat taken", AGAINST, error)


def _row(what: str, goal: float | None, sides: list[Side], effort: Effort) -> Measure:
    found = interleaved(
        [Contestant(side.name, beside(side.processes)) for side in sides],
        rounds=effort.rounds * ROUNDS_IN_ONE,
        seconds=effort.seconds * PART / ROUNDS_IN_ONE,
    )
    fastest = max(found[name].per_s for name in OTHERS)
    details = (
        f"{name} {one.per_s:,.0f}/s (p99 {one.p99_ms:.1f} ms)" for name, one in found.items()
    )
    ratio = found[OURS].per_s / fastest
    return Measure(what, AGAINST, ratio, goal, at_least=True, detail=", ".join(details))


def _sides(stack: ExitStack, url: str, accounts: Accounts) -> Iterator[Side]:
    made = [partial(_ours, url, its) for its in accounts]
    yield Side(OURS, [stack.enter_context(crew(make, 1, CLIENTS)) for make in made])
    for name, module in OTHERS.items():
        programs = [python(module, url, str(CLIENTS), *its) for its in accounts]
        yield Side(name, [stack.enter_context(program(one)) for one in programs])


def _ours(url: str, accounts: Sequence[str]) -> Work:
    services = open_services(url)
    for account in accounts:
        order = Order(
            product="cloud_pos", tier=None, seats=SEATS_MAX, months=12, count=1, reseller="bench"
        )
        code = issue_keys(services, context(), order).keys[0].code
        redeem_key(services, context(), Try(account, "s", code))
    numbers = itertools.count()

    def work(client: int) -> None:
        account = accounts[client % len(accounts)]
        occupy_seat(
            services, context(), Sitting(account, "cloud_pos", None, f"till-{next(numbers)}")
        )

    return work
