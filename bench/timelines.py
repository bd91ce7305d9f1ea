"""What the timeline costs: a page by a reference, in a small ledger and in a large one.

A page should cost the same in both. `rare` is an account with a few events among all the others,
spread over the whole ledger.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
from eventsourcing.persistence import StoredEvent
from psycopg import sql

from bench.ledgers import Bench
from bench.measure import FULL, Effort, Measure
from bench.rounds import Contestant, interleaved, threads
from ledger import codec
from ledger.book import Book
from ledger.catalog import builtin
from ledger.events import Envelope
from ledger.store import schema
from ledger.streams.account import SeatOccupied
from projections import catch_up
from projections.stores import Tables, open_tables
from projections.timeline import TIMELINE, Sight, TimelineQuery, timeline

SMALL: Final = 10_000
LARGE_FULL: Final = 1_000_000
LARGE_QUICK: Final = 50_000
RARE: Final = 60  # a page and a bit
PAGE: Final = 50
APPEND: Final = 1_000
TOLERATED: Final = 1.3
BEGAN: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)


class Filled(NamedTuple):
    """A ledger of its own, whose timeline has caught up.

    Attributes:
        seconds: that catching up took.
    """

    book: Book
    tables: Tables
    seconds: float


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure the timeline on one kind of database."""
    url = bench.ports.book.env["KEYFOLD_DATABASE_URL"]
    yield from compare(url, LARGE_FULL if effort == FULL else LARGE_QUICK, effort)


def compare(url: str, events: int, effort: Effort) -> Iterator[Measure]:
    """Measure pages of a ledger of so many events against those of a small one."""
    with ExitStack() as stack:
        small = stack.enter_context(_filled(url, "small", SMALL))
        large = stack.enter_context(_filled(url, "large", events))
        for what, query in (
            ("by a rare reference", TimelineQuery(account="rare")),
            ("by a busy holder", TimelineQuery(ref="till-7")),
            ("of everything", TimelineQuery()),
        ):
            found = interleaved(
                [
                    Contestant("large", threads(_asking(large, query))),
                    Contestant("small", threads(_asking(small, query))),
                ],
                rounds=effort.rounds,
                seconds=effort.seconds / 2,
            )
            took = {name: 1e3 / one.per_s for name, one in found.items()}
            yield Measure(
                f"timeline, first page {what}, {events:,} events",
                f"the same of {SMALL:,}",
                took["large"] / took["small"],
                TOLERATED,
                at_least=False,
                detail=f"{took['large']:.2f} ms against {took['small']:.2f} ms; the table was made"
                f" at {events / large.seconds:,.0f} against {SMALL / small.seconds:,.0f} events/s",
            )


def _asking(filled: Filled, query: TimelineQuery) -> Callable[[int], object]:
    catalog = builtin()

    def ask(_client: int) -> None:
        page = timeline(filled.book, filled.tables, catalog, query, Sight(None), limit=PAGE)
        assert len(page.entries) == PAGE

    return ask


@contextmanager
def _filled(url: str, name: str, events: int) -> Iterator[Filled]:
    with _database(url, name) as own:
        schema.upgrade(own)
        with closing(Book(own)) as book, closing(open_tables(own)) as tables:
            for first in range(0, events, APPEND):
                numbers = range(first, min(first + APPEND, events))
                book.store.insert_events([_event(number, events) for number in numbers])
            began = time.perf_counter()
            catch_up.catch_up(book, tables, TIMELINE, book.head())
            yield Filled(book, tables, time.perf_counter() - began)


def _event(number: int, events: int) -> StoredEvent:
    rare = number % (events // RARE) == 0
    account = "rare" if rare else f"busy-{number % 997}"
    at = BEGAN + timedelta(seconds=number)
    fact = SeatOccupied(product="cloud_pos", tier=None, holder=f"till-{number % 101}")
    state = codec.encode(
        Envelope(
            fact=fact,
            recorded_at=at,
            occurred_at=at,
            actor="kft_abcdefghijklmnopqrstuvwxyz",
            request_id=f"req_{number:026}",
        )
    )
    return StoredEvent(f"account-{account}", number + 1, "account.seat_occupied@1", state)


@contextmanager
def _database(url: str, name: str) -> Iterator[str]:
    """Answer the address of a new database beside another one."""
    if url.startswith("sqlite:"):
        with tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder:
            yield f"sqlite:///{Path(folder) / name}.db"
        return
    server, _, _ = url.rpartition("/")
    database = sql.Identifier(f"timeline_{name}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
        yield f"{server}/timeline_{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
