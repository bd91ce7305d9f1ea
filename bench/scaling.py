"""`./dev python -m bench.scaling [--sizes N,…] [--keep]`: what a ledger of some size takes.

Ledgers of mixed facts (`bench.mixed`) are made one after the other, on both databases: the bytes of
the events, and of the tables beside them; the median time of each call (`bench.growth`); what it
takes to verify and to replay all of it. Nothing is extrapolated here: docs/scaling.md does that,
from these figures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psycopg
from eventsourcing.persistence import StoredEvent

from bench import growth, results
from bench.growth import CALLS, Ledger
from bench.ledgers import CLIENTS, STATE, new_database
from bench.proofs import spend
from bench.rounds import Contestant, interleaved, threads
from ledger.store import schema
from ledger.store.sqlite.datastore import path_of, settle
from projections.audit import tree
from projections.audit.rebuild import PROJECTIONS, replay
from projections.lists import catch_up
from tests.drills.__main__ import machine
from tests.postgres_server import open_session, own_server

SIZES: Final = (10_000, 100_000, 1_000_000)
ROUNDS: Final = 3
SECONDS: Final = 0.3
KEPT: Final = Path(__file__).parent / "results" / "scaling.json"

Figures = dict[str, float]


def main() -> int:
    args = _arguments()
    found: list[dict[str, Any]] = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="keyfold-bench-"))
        kinds = {"SQLite": lambda: f"sqlite:///{folder}/bench.db", "PostgreSQL": _postgres(stack)}
        for kind in args.database or kinds:
            url = kinds[kind]()
            for size in args.sizes:
                figures = {"events": size, **measured(url, size)}
                print(f"\n{kind}, {size:,} events", *_lines(figures), sep="\n", flush=True)
                found.append({"database": kind, **figures})
    if args.keep:
        kept = {"on": f"{results.now():%Y-%m-%d}", "machine": machine(), "ledgers": found}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        print(f"\nkept as {KEPT}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev python -m bench.scaling", description=__doc__)
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", type=_numbers, default=SIZES, help=f"{sizes} if left out")
    parser.add_argument("--database", action="append", choices=("SQLite", "PostgreSQL"))
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    return parser.parse_args()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(one) for one in text.split(","))


def _postgres(stack: ExitStack) -> Callable[[], str]:
    def started() -> str:
        session = open_session()
        stack.callback(session.close)
        server = own_server(session.folder)
        stack.callback(server.remove)
        return server.url(server.create_database())

    return started


def _lines(figures: Figures) -> Iterator[str]:
    for name, figure in figures.items():
        yield f"  {name:<52} {figure:,.3f}" if figure < 100 else f"  {name:<52} {figure:,.0f}"


def measured(url: str, size: int) -> Figures:
    """Return the figures of a ledger of some size, in a database beside the one at an address."""
    with new_database(url) as empty:
        schema.upgrade(empty)
        nothing = _bytes(empty)
    with growth.filled(url, size) as ledger:
        own = ledger.bench.url
        events = _bytes(own) - nothing
        filled_s = _took(lambda: _fill(ledger))
        tables = _bytes(own) - nothing - events
        head = ledger.services.book.head()
        figures = {
            "bytes an event": events / head,
            "bytes an event, of all tables beside": tables / head,
            "all tables filled, events a second": head / filled_s,
        }
        verified = spend("verify", own)
        figures["audit verify, events a second"] = head / verified.seconds
        figures["audit verify, MB of memory"] = verified.megabytes
        replayed_s = _took(lambda: list(replay(ledger.services.book, ledger.tables)))
        figures["replay --verify, events a second"] = head / replayed_s
        return figures | _calls(ledger)


def _fill(ledger: Ledger) -> None:
    book, tables = ledger.services.book, ledger.tables
    catch_up.catch_up_all(book, tables, PROJECTIONS, book.head())
    tree.extend(book, tables, book.head())


def _calls(ledger: Ledger) -> Figures:
    """Return the median ms of each call, and the appends of eight clients in a second."""
    contestants = [Contestant(name, growth.run(make, ledger)) for name, make in CALLS.items()]
    store = ledger.services.book.store
    numbers = iter(range(10**9))

    def append(client: int) -> None:
        event = StoredEvent(f"scaled-{client}-{next(numbers)}", 1, "account.seat_occupied@1", STATE)
        store.insert_events([event])

    found = interleaved(contestants, rounds=ROUNDS, seconds=SECONDS)
    many = interleaved([Contestant("", threads(append, CLIENTS))], rounds=ROUNDS, seconds=SECONDS)
    rate = {f"appends a second, {CLIENTS} clients": many[""].per_s}
    return {f"{name}, ms": one.median_ms for name, one in found.items()} | rate


def _bytes(url: str) -> int:
    if url.startswith("sqlite:"):
        settle(url)
        return Path(path_of(url)).stat().st_size
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    return int(row[0])


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
