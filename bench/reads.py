"""What a question costs: an account now, remembered or not; against plain reads of the same rows.

Everything is as an answer needs it: the state of the account with all that was recorded before the
question, whoever recorded it, and the view made of it.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from bench.ledgers import Bench, context
from bench.measure import FULL, Effort, Measure
from bench.rounds import Contestant, interleaved, threads
from ledger import codec
from ledger.book import Book, Change
from ledger.events import Fact
from ledger.loaded import empty_stream
from ledger.months import add_months
from ledger.streams.account.facts import SeatOccupied, SeatReleased, SubscriptionActivated
from ledger.streams.account.stream import ACCOUNT
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions

SIZES_FULL: Final = (10, 1_000, 100_000)
SIZES_QUICK: Final = (10, 1_000, 10_000)
FOLDED: Final = 10_000
REPLAYED_FULL: Final = 200_000
REPLAYED_QUICK: Final = 50_000
PAGE: Final = 1_000
BY_KEY: Final = "SELECT * FROM keyfold_events WHERE originator_id = ? AND originator_version = ?"
BY_STREAM: Final = (
    "SELECT * FROM keyfold_events WHERE originator_id = ? AND originator_version > ?"
    " ORDER BY originator_version"
)


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger."""
    sizes = SIZES_QUICK if effort.events < FULL.events else SIZES_FULL
    for size in sizes:
        account_of(bench.services.book, f"view-{size}", size)
    for size in sizes:
        yield _view(bench, effort, size)
    yield _cold_view(bench, effort, sizes[-1])
    yield _cold_fold(bench, effort)
    yield _replay(bench, effort)


def _view(bench: Bench, effort: Effort, size: int) -> Measure:
    book, catalog = bench.services.book, bench.services.catalog
    account = f"view-{size}"

    def ours(_: int) -> None:
        subscriptions(account_at(book, account, Moment(datetime.now(UTC))), catalog)

    def raw(_: int) -> None:
        bench.raw.fetch(BY_KEY, (f"account-{account}", 1))

    what = f"Subscriptions now, account of {size:,} events, warm"
    return _slower(what, "one SELECT by primary key", 1.5, ours, raw, effort)


def _cold_view(bench: Bench, effort: Effort, size: int) -> Measure:
    """A book that remembers one account is asked for two in turn; its connections are open."""
    catalog = bench.services.catalog
    book = Book(bench.url, memo_streams=1)
    accounts = [account_of(book, f"cold-{name}-{size}", size) for name in ("one", "other")]
    for account in accounts:
        account_at(book, account, Moment(datetime.now(UTC)))  # folds it, and keeps the snapshot
    accounts_cycle = itertools.cycle(accounts)

    def ours(_: int) -> None:
        subscriptions(account_at(book, next(accounts_cycle), Moment(datetime.now(UTC))), catalog)

    def raw(_: int) -> None:
        for version in (1, 2, 3):
            bench.raw.fetch(BY_KEY, (f"account-{accounts[0]}", version))

    what = f"Subscriptions now, account of {size:,} events, from its snapshot"
    return _slower(what, "three SELECTs by primary key", 2.0, ours, raw, effort)


def _slower(
    what: str,
    against: str,
    goal: float,
    ours: Callable[[int], object],
    raw: Callable[[int], object],
    effort: Effort,
) -> Measure:
    found = interleaved(
        [Contestant("ours", threads(ours)), Contestant("raw", threads(raw))],
        rounds=effort.rounds,
        seconds=effort.seconds / 2,
    )
    mine, theirs = found["ours"], found["raw"]
    return Measure(
        what,
        against,
        mine.median_ms / theirs.median_ms,
        goal,
        at_least=False,
        detail=f"median {1e3 * mine.median_ms:.0f} µs (p99 {1e3 * mine.p99_ms:.0f})"
        f" against {1e3 * theirs.median_ms:.0f} µs (p99 {1e3 * theirs.p99_ms:.0f})",
    )


def _cold_fold(bench: Bench, effort: Effort) -> Measure:
    account = account_of(bench.services.book, "fold", FOLDED)

    def ours() -> None:
        _, occurred = bench.services.book.occurrences(ACCOUNT, account)
        ACCOUNT.fold(ACCOUNT.initial, occurred)

    def raw() -> None:
        bench.raw.fetch(BY_STREAM, (f"account-{account}", 0))

    mine, theirs = _timed(ours, raw, effort.repeats * 3)
    return Measure(
        f"cold fold of {FOLDED:,} events, no snapshot",
        "fetching the rows",
        mine / theirs,
        2.0,
        at_least=False,
        detail=f"{mine * 1e3:.1f} ms against {theirs * 1e3:.1f} ms",
    )


def _replay(bench: Bench, effort: Effort) -> Measure:
    """Read the whole ledger by position and fold all of it, as one account's, page by page."""
    book = bench.services.book
    events = REPLAYED_QUICK if effort.events < FULL.events else REPLAYED_FULL
    first = book.head()
    account_of(book, "replay", events)
    place = "notification_id" if bench.name == "PostgreSQL" else "rowid"
    query = (
        f"SELECT {place}, originator_id, originator_version, topic, state FROM keyfold_events"
        f" WHERE {place} > ? ORDER BY {place} LIMIT {PAGE}"
    )

    def ours() -> None:
        state, after = ACCOUNT.initial, first
        while page := book.store.read_from(after, PAGE):
            rows = ((position, version, name, fact) for position, _, version, name, fact in page)
            state = ACCOUNT.fold(state, codec.occurrences(rows))
            after = page[-1].position

    def raw() -> None:
        after = first
        while page := bench.raw.fetch(query, (after,)):
            after = page[-1][0]

    mine, theirs = _timed(ours, raw, max(1, effort.repeats // 3))
    return Measure(
        f"replay of {events:,} events through the account's fold",
        "fetching the rows",
        theirs / mine,
        0.50,
        at_least=True,
        detail=f"{events / mine:,.0f} events/s against {events / theirs:,.0f}",
    )


def _timed(
    ours: Callable[[], object], raw: Callable[[], object], repeats: int
) -> tuple[float, float]:
    """Return the medians in seconds, measured in turn."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for work, times in zip((ours, raw), took, strict=True):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    mine, theirs = map(statistics.median, took)
    return mine, theirs


# Accounts

SUBSCRIPTIONS: Final = 3
TILLS: Final = 40


def account_of(book: Book, account: str, events: int) -> str:
    """Make an account of so many events: three keys' subscriptions, and forty tills come and go."""
    now = context()
    loaded = empty_stream(ACCOUNT, account)
    for first in range(0, events, PAGE):
        numbers = range(first, min(first + PAGE, events))
        facts = [_fact(account, number, now.now) for number in numbers]
        loaded = book.append(now, Change(loaded, facts)).loaded[0]
    return account


def _fact(account: str, number: int, now: datetime) -> Fact:
    if number < SUBSCRIPTIONS:
        return SubscriptionActivated(
            subscription=f"kfsub_{account}_{number}",
            key=f"key_{account}_{number}",
            masked="POS-••••-••••-0000",
            product="cloud_pos",
            tier=None,
            seats=20,
            months=12 + number,
            expires_at=add_months(now, 12 + number),
        )
    # A till leaves its seat long after it took it, so that about half of them sit at any time.
    moves, till = divmod(number - SUBSCRIPTIONS, TILLS)
    kind = SeatReleased if (moves + till) % 2 else SeatOccupied
    return kind(product="cloud_pos", tier=None, holder=f"till-{till}")
