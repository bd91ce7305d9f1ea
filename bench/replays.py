"""What replaying costs: every event through all projections, against fetching the same rows.

The ledger is of mixed facts (`bench.mixed`). Through the folds, each event is read and decoded
once, all projections are asked what it does to their tables, and the tree for its leaf's hash; what
they answer is thrown away. The raw driver fetches the same rows, page by page, and does nothing
with them.

To fill the tables costs what the database takes for it. That is told for each projection, from zero
to a tenth of the events, and `keyfold replay --verify` over as many: there all tables are rebuilt
and every row is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from bench import mixed
from bench.ledgers import Bench, ledger, new_database
from bench.measure import Effort, Measure
from ledger import codec
from projections.audit import tree
from projections.audit.rebuild import NAMES, PROJECTIONS, replay
from projections.lists import catch_up
from projections.lists.catch_up import PageWrites
from projections.lists.stores import open_tables

GOAL: Final = 0.20
PAGE: Final = 250  # what is made of more at a time leaves the processor's caches
FETCH: Final = 1_000
STRETCH: Final = 20_000
FEWER: Final = 10
AGAINST: Final = "raw fetch of the rows"


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure replaying on one kind of database."""
    mixed.fill(bench.services.book, effort.events)
    yield _folds(bench, effort.events)
    with new_database(bench.url) as url, ledger(url) as smaller:
        mixed.fill(smaller.services.book, effort.events // FEWER)
        yield from _tables(smaller, effort.events // FEWER)


def _folds(bench: Bench, events: int) -> Measure:
    """Both go over the ledger once, a stretch of it each in turn."""
    ours, raw = 0.0, 0.0
    for number, after in enumerate(range(0, events, STRETCH)):
        upto = min(after + STRETCH, events)
        # Whoever comes second finds the rows in memory.
        if number % 2:
            ours += _took(lambda: _fold(bench, after, upto))  # noqa: B023 - called at once
        raw += _took(lambda: _fetch(bench, after, upto))  # noqa: B023
        if not number % 2:
            ours += _took(lambda: _fold(bench, after, upto))  # noqa: B023
    return _measure(f"replay of {events:,} events through all folds", events, ours, raw, GOAL)


def _fold(bench: Bench, after: int, upto: int) -> None:
    store = bench.services.book.store
    for start in range(after, upto, PAGE):
        rows = store.read_from(start, PAGE, upto)
        hashes = list(map(tree.hash_row, rows))
        count = catch_up.fold(map(codec.decode, rows), [PageWrites(one) for one in PROJECTIONS])
        assert count == len(hashes) == min(PAGE, upto - start)


def _fetch(bench: Bench, after: int, upto: int) -> None:
    place = "notification_id" if bench.name == "PostgreSQL" else "rowid"
    query = (
        f"SELECT {place}, originator_id, originator_version, topic, state FROM keyfold_events"
        f" WHERE {place} > ? AND {place} <= ? ORDER BY {place} LIMIT {FETCH}"
    )
    while after < upto:
        after = bench.raw.fetch(query, (after, upto))[-1][0]


def _tables(bench: Bench, events: int) -> Iterator[Measure]:
    book = bench.services.book
    raw = _took(lambda: _fetch(bench, 0, events))
    with closing(open_tables(bench.url)) as tables:
        for one in PROJECTIONS:
            took = _took(lambda: catch_up.catch_up(book, tables, one, events))  # noqa: B023
            yield _measure(f"{one.name} filled, {events:,} events", events, took, raw)
        took = _took(lambda: tree.extend(book, tables, events))
        yield _measure(f"{tree.TREE} filled, {events:,} events", events, took, raw)
        took = _took(lambda: _verify(bench))
        yield _measure(
            f"replay --verify, {len(NAMES)} tables, {events:,} events", events, took, raw
        )


def _verify(bench: Bench) -> None:
    with closing(open_tables(bench.url)) as tables:
        assert not list(replay(bench.services.book, tables))


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _measure(what: str, events: int, ours: float, raw: float, goal: float | None = None) -> Measure:
    detail = f"{events / ours:,.0f} against {events / raw:,.0f} events/s"
    return Measure(what, AGAINST, raw / ours, goal, at_least=True, detail=detail)
