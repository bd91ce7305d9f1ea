"""The rows of the table: something of ours, against the least that the database could do."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

from eventsourcing.persistence import StoredEvent

from bench.ledgers import CLIENTS, STATE, Bench, stamp
from bench.measure import Effort, Measure
from bench.rounds import Contestant, interleaved, threads
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from ledger.book import Change, unwritten
from ledger.streams.account import ACCOUNT, SeatOccupied, SeatReleased
from projections.account_at import Moment, account_at
from projections.subscriptions import subscriptions

_BY_KEY = "SELECT * FROM keyfold_events WHERE originator_id = ? AND originator_version = ?"


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    yield from _appends(bench, effort)
    yield _occupies(bench, effort)
    yield _redeems(bench, effort)
    yield from _views(bench, effort)
    yield _cold_fold(bench, effort)
    yield _replay(bench, effort)


def _appends(bench: Bench, effort: Effort) -> Iterator[Measure]:
    store = bench.ports.book.store
    numbers = itertools.count()

    def ours(client: int) -> None:
        stream = f"bench-{client}-{next(numbers)}"
        store.insert_events([StoredEvent(stream, 1, "account.seat_occupied@1", STATE)])

    def raw(client: int) -> None:
        bench.raw.insert(f"bench-{client}-{next(numbers)}", 1)

    goals = {"PostgreSQL": (0.80, 1.0), "SQLite": (0.90, 1.5)}[bench.name]
    for clients, goal in zip((1, CLIENTS), goals, strict=True):
        found = interleaved(
            [Contestant("ours", threads(ours, clients)), Contestant("raw", threads(raw, clients))],
            rounds=effort.rounds,
            seconds=effort.seconds,
        )
        mine, theirs = found["ours"], found["raw"]
        yield Measure(
            f"append one event, {clients} thread{'s' if clients > 1 else ''}",
            "raw insert + commit",
            mine.per_s / theirs.per_s,
            goal,
            at_least=True,
            detail=f"{mine.per_s:,.0f}/s (p99 {mine.p99_ms:.1f} ms)"
            f" against {theirs.per_s:,.0f}/s (p99 {theirs.p99_ms:.1f} ms)",
        )


def _compare(
    what: str,
    against: str,
    goal: float,
    ours: Callable[[int], object],
    raw: Callable[[int], object],
    effort: Effort,
    clients: int,
) -> Measure:
    found = interleaved(
        [Contestant("ours", threads(ours, clients)), Contestant("raw", threads(raw, clients))],
        rounds=effort.rounds,
        seconds=effort.seconds,
    )
    mine, theirs = found["ours"], found["raw"]
    detail = f"{mine.per_s:,.0f}/s against {theirs.per_s:,.0f}/s"
    return Measure(what, against, mine.per_s / theirs.per_s, goal, at_least=True, detail=detail)


def _occupies(bench: Bench, effort: Effort) -> Measure:
    """Each client fills accounts of its own, one seat after another."""
    ports = bench.ports
    numbers = itertools.count()
    accounts = {client: _account_with_seats(bench, f"occupy-{client}") for client in range(CLIENTS)}

    def ours(client: int) -> None:
        wanted = Sitting(accounts[client], "cloud_pos", None, f"till-{next(numbers)}")
        occupy_seat(ports, stamp(), wanted)

    def raw(client: int) -> None:
        bench.raw.insert(f"occupy-{client}-{next(numbers)}", 1)

    what = f"occupy_seat, {CLIENTS} threads, an account each"
    return _compare(what, "raw insert + commit", 0.60, ours, raw, effort, CLIENTS)


def _redeems(bench: Bench, effort: Effort) -> Measure:
    ports = bench.ports
    needed = int(effort.rounds * effort.seconds * 3000)
    codes: list[str] = []
    while len(codes) < needed:
        order = Order(
            product="cloud_pos", tier=None, seats=5, months=12, count=1000, reseller="bench"
        )
        codes += [key.code for key in issue_keys(ports, stamp(), order).keys]
    left = iter(codes)
    numbers = itertools.count()

    def ours(client: int) -> None:
        account = f"redeem-{client}-{next(numbers)}"
        redeem_key(ports, stamp(), Try(account, "s", next(left)))

    def raw(client: int) -> None:
        bench.raw.insert_two(f"redeem-{client}-{next(numbers)}", 1)

    what = f"redeem_key, {CLIENTS} threads"
    return _compare(what, "raw insert of two rows + commit", 0.50, ours, raw, effort, CLIENTS)


def _views(bench: Bench, effort: Effort) -> Iterator[Measure]:
    for events in (10, 1_000, 10_000):
        account = _account_of(bench, f"view-{events}", events)

        def ours(_: int, account: str = account) -> None:
            asked = account_at(bench.ports.book, account, Moment(stamp().now))
            subscriptions(asked, bench.ports.catalog)

        def raw(_: int, account: str = account) -> None:
            bench.raw.fetch(_BY_KEY, (f"account-{account}", 1))

        found = interleaved(
            [Contestant("ours", threads(ours)), Contestant("raw", threads(raw))],
            rounds=effort.rounds,
            seconds=effort.seconds / 2,
        )
        slower = found["raw"].per_s / found["ours"].per_s
        detail = f"{1e6 / found['ours'].per_s:.0f} µs against {1e6 / found['raw'].per_s:.0f} µs"
        what = f"Subscriptions now, account of {events:,} events, warm"
        yield Measure(what, "one SELECT by primary key", slower, 1.5, at_least=False, detail=detail)


def _cold_fold(bench: Bench, effort: Effort) -> Measure:
    events = 10_000
    account = _account_of(bench, "fold", events)
    query = (
        "SELECT * FROM keyfold_events WHERE originator_id = ? AND originator_version > ?"
        " ORDER BY originator_version"
    )

    def ours() -> None:
        _, history = bench.ports.book.history(ACCOUNT, account)
        ACCOUNT.fold(ACCOUNT.initial, history)

    def raw() -> None:
        bench.raw.fetch(query, (f"account-{account}", 0))

    return _times(f"cold fold of {events:,} events", "fetching the rows", 2.0, ours, raw, effort)


def _replay(bench: Bench, effort: Effort) -> Measure:
    book = bench.ports.book
    missing = effort.events - book.head()
    if missing > 0:
        _account_of(bench, "replay", missing)

    def ours() -> None:
        state = ACCOUNT.initial
        for event in book.follow(0, upto=effort.events):
            if event.stream == "account-replay":
                state = ACCOUNT.fold(state, [event])

    def raw() -> None:
        after = 0
        place = "notification_id" if bench.name == "PostgreSQL" else "rowid"
        query = (
            f"SELECT {place}, * FROM keyfold_events WHERE {place} > ? ORDER BY {place} LIMIT 1000"
        )
        while page := bench.raw.fetch(query, (after,)):
            after = page[-1][0]
            if after >= effort.events:
                return

    few = effort._replace(repeats=3)
    slower = _times(f"replay of {effort.events:,} events", "fetching the rows", 2.0, ours, raw, few)
    return slower._replace(ratio=1 / slower.ratio, goal=0.20, at_least=True)


def _times(
    what: str,
    against: str,
    goal: float,
    ours: Callable[[], object],
    raw: Callable[[], object],
    effort: Effort,
) -> Measure:
    took: dict[str, list[float]] = {"ours": [], "raw": []}
    for _ in range(effort.repeats):
        for name, work in (("ours", ours), ("raw", raw)):
            began = time.perf_counter()
            work()
            took[name].append(time.perf_counter() - began)
    mine, theirs = (statistics.median(took[name]) for name in ("ours", "raw"))
    detail = f"{mine * 1000:.1f} ms against {theirs * 1000:.1f} ms"
    return Measure(what, against, mine / theirs, goal, at_least=False, detail=detail)


def _account_with_seats(bench: Bench, account: str) -> str:
    order = Order(
        product="cloud_pos", tier=None, seats=100_000, months=12, count=1, reseller="bench"
    )
    code = issue_keys(bench.ports, stamp(), order).keys[0].code
    redeem_key(bench.ports, stamp(), Try(account, "s", code))
    return account


def _account_of(bench: Bench, account: str, events: int) -> str:
    """Make an account of so many events, on which forty tills come and go."""
    book = bench.ports.book
    loaded = unwritten(ACCOUNT, account)
    for first in range(0, events, 1000):
        facts = []
        for number in range(first, min(first + 1000, events)):
            holder = f"till-{number // 2 % 40}"
            kind = SeatReleased if number % 2 else SeatOccupied
            facts.append(kind(product="cloud_pos", tier=None, holder=holder))
        loaded = book.append(stamp(), Change(loaded, facts)).loaded[0]
    return account
