"""Whether a call costs the same in a large ledger as in a small one.

Ledgers of mixed facts (bench.mixed) differ in nothing but how many. Among them, spread over the
whole ledger, are the same fifty accounts of forty events each. Each call is made on all ledgers in
turn, about those accounts or about something new.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Final, NamedTuple

from eventsourcing.persistence import StoredEvent

from bench import mixed
from bench.ledgers import STATE, Bench, context, ledger, new_database
from bench.measure import FULL, QUICK, Effort, Measure
from bench.rounds import Contestant, Run, interleaved, threads
from commands.issue_keys import Order, issue_keys
from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from projections.audit import tree
from projections.lists import catch_up
from projections.lists.keys import KEY_LIST, KeyQuery, list_keys
from projections.lists.stores import Tables, open_tables
from projections.lists.timeline import TimelineQuery, Visibility, timeline
from projections.lists.timeline_table import TIMELINE
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions

SIZES_QUICK: Final = (5_000, 30_000)
SIZES_FULL: Final = (10_000, 100_000, 1_000_000)
SIZES_LONG: Final = (*SIZES_FULL, 10_000_000)
TOLERATED: Final = 1.3
PAGE: Final = 50
ACCOUNTS: Final = 50
STRETCHES: Final = 10
EVENTS_IN_ONE: Final = 4  # of each of the accounts
PART: Final = 0.25  # there are many of these rows, so each gets less time than others have


class Ledger(NamedTuple):
    """A ledger of some size."""

    events: int
    bench: Bench
    tables: Tables

    @property
    def services(self) -> Services:
        return self.bench.services


class Point(NamedTuple):
    """How long a call took in a ledger of some size, the median."""

    call: str
    database: str
    events: int
    ms: float


class Growth(NamedTuple):
    """A row of the table, and the points that it was made of, for the plot."""

    measure: Measure
    points: list[Point]


@contextmanager
def ledgers(url: str, effort: Effort) -> Iterator[list[Ledger]]:
    """Make ledgers of each size in new databases beside the one at an address; the largest last.

    Their tables are empty.
    """
    sizes = {QUICK: SIZES_QUICK, FULL: SIZES_FULL}.get(effort, SIZES_LONG)
    with ExitStack() as stack:
        yield [stack.enter_context(filled(url, size)) for size in sizes]


def grown(ledgers: list[Ledger], effort: Effort) -> Iterator[Growth]:
    """Measure every call on all ledgers; before, their tables catch up."""
    small, *_, large = ledgers
    database = large.bench.name
    made = [_catch_up(one) for one in ledgers]
    yield Growth(_making(small, large, made[0], made[-1]), [])
    for call, make in CALLS.items():
        found = interleaved(
            [Contestant(f"{one.events}", run(make, one)) for one in ledgers],
            rounds=effort.rounds,
            seconds=effort.seconds * PART,
        )
        times = [found[f"{one.events}"].median_ms for one in ledgers]
        yield Growth(
            Measure(
                f"{call}, ledger of {large.events:,} events",
                f"the same of {small.events:,}",
                times[-1] / times[0],
                None if call == PROOF else TOLERATED,
                at_least=False,
                detail=f"median {times[-1]:.3f} ms against {times[0]:.3f} ms",
            ),
            [Point(call, database, one.events, ms) for one, ms in zip(ledgers, times, strict=True)],
        )


def _catch_up(ledger: Ledger) -> float:
    """Bring the tables that are asked up to the ledger's head; answer the timeline's seconds."""
    book, head = ledger.services.book, ledger.services.book.head()
    began = time.perf_counter()
    catch_up.catch_up(book, ledger.tables, TIMELINE, head)
    took = time.perf_counter() - began
    catch_up.catch_up(book, ledger.tables, KEY_LIST, head)
    tree.extend(book, ledger.tables, head)
    return took


def _making(small: Ledger, large: Ledger, small_s: float, large_s: float) -> Measure:
    each, of_small = large_s / large.events, small_s / small.events
    return Measure(
        f"the timeline's table, made for {large.events:,} events: time of each",
        f"the same of {small.events:,}",
        each / of_small,
        None,
        at_least=False,
        detail=f"{1 / each:,.0f} events/s against {1 / of_small:,.0f}",
    )


def run(make: Callable[[Ledger], Callable[[], object]], ledger: Ledger) -> Run:
    call = make(ledger)
    return threads(lambda _client: call())


@contextmanager
def filled(url: str, events: int) -> Iterator[Ledger]:
    with (
        new_database(url) as own,
        ledger(own) as bench,
        closing(open_tables(own)) as tables,
    ):
        for stretch in range(STRETCHES):
            mixed.fill(bench.services.book, events * (stretch + 1) // STRETCHES)
            bench.services.book.store.insert_events(list(_new_events(stretch)))
        yield Ledger(events, bench, tables)


def _new_events(stretch: int) -> Iterator[StoredEvent]:
    first = stretch * EVENTS_IN_ONE
    for account in range(ACCOUNTS):
        for version in range(first + 1, first + EVENTS_IN_ONE + 1):
            name = "account.seat_occupied@1"
            yield StoredEvent(f"account-{_ASKED.format(account)}", version, name, STATE)


_ASKED = "asked-{}"


def _cycle_accounts() -> Iterator[str]:
    return itertools.cycle([_ASKED.format(number) for number in range(ACCOUNTS)])


# The calls


def _append(ledger: Ledger) -> Callable[[], object]:
    numbers = itertools.count()
    store = ledger.services.book.store
    name = "account.seat_occupied@1"
    return lambda: store.insert_events([StoredEvent(f"grown-{next(numbers)}", 1, name, STATE)])


def _occupy(ledger: Ledger) -> Callable[[], object]:
    services, numbers = ledger.services, itertools.count()
    order = Order("cloud_pos", None, seats=100_000, months=12, count=1, reseller="bench")
    redeem_key(
        services, context(), Try("grown", "s", issue_keys(services, context(), order).keys[0].code)
    )
    return lambda: occupy_seat(
        services, context(), Sitting("grown", "cloud_pos", None, f"till-{next(numbers)}")
    )


def _redeem(ledger: Ledger) -> Callable[[], object]:
    services, numbers = ledger.services, itertools.count()
    order = Order("cloud_pos", None, seats=5, months=12, count=1_000, reseller="bench")

    def codes() -> Iterator[str]:
        while True:
            yield from [key.code for key in issue_keys(services, context(), order).keys]

    left = codes()
    return lambda: redeem_key(services, context(), Try(f"redeem-{next(numbers)}", "s", next(left)))


def _view(ledger: Ledger) -> Callable[[], object]:
    accounts = _cycle_accounts()
    book, catalog = ledger.services.book, ledger.services.catalog
    return lambda: subscriptions(account_at(book, next(accounts), Moment(context().now)), catalog)


def _history(ledger: Ledger) -> Callable[[], object]:
    """As of a moment that is past: folded from the events, whatever is remembered."""
    accounts = _cycle_accounts()
    book, catalog = ledger.services.book, ledger.services.catalog
    then = Moment(context().now, as_of=context().now)
    return lambda: subscriptions(account_at(book, next(accounts), then), catalog)


def _busy(ledger: Ledger) -> Callable[[], object]:
    """What the portal's token asked for: nearly every event, but none of those made here since."""
    return _query_timeline(ledger, TimelineQuery(actor=mixed.PORTAL))


def _everything(ledger: Ledger) -> Callable[[], object]:
    return _query_timeline(ledger, TimelineQuery())


def _query_timeline(ledger: Ledger, query: TimelineQuery) -> Callable[[], object]:
    services, tables = ledger.services, ledger.tables
    return lambda: timeline(
        services.book, tables, services.catalog, query, Visibility(None), limit=PAGE
    )


def _timeline(ledger: Ledger) -> Callable[[], object]:
    accounts = _cycle_accounts()
    services, tables = ledger.services, ledger.tables
    return lambda: timeline(
        services.book,
        tables,
        services.catalog,
        TimelineQuery(account=next(accounts)),
        Visibility(None),
        limit=PAGE,
    )


def _keys(ledger: Ledger) -> Callable[[], object]:
    query, book, tables = KeyQuery(reseller="north"), ledger.services.book, ledger.tables
    return lambda: list_keys(book, tables, query, Moment(context().now), limit=PAGE)


def _proof(ledger: Ledger) -> Callable[[], object]:
    places, book, tables = random.Random(7), ledger.services.book, ledger.tables
    return lambda: tree.inclusion(book, tables, places.randint(1, ledger.events), ledger.events)


PROOF: Final = "inclusion proof"  # as long as the logarithm of the ledger's size
CALLS: Final[dict[str, Callable[[Ledger], Callable[[], object]]]] = {
    "append one event": _append,
    "occupy_seat": _occupy,
    "redeem_key": _redeem,
    "Subscriptions now": _view,
    "Subscriptions as of a past moment": _history,
    "timeline by a rare reference": _timeline,
    "timeline by a busy reference": _busy,
    "timeline of everything": _everything,
    "list of a reseller's keys": _keys,
    PROOF: _proof,
}
