"""A fail-over to a standby that lacked the last commits, while processes stay up."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from eventsourcing.persistence import PersistenceError

from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from ledger.book import Book, Change, LedgerUnavailable
from ledger.events import AnyEvent
from ledger.refusals import NoSeatAvailable
from ledger.store.holes import holes
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from projections.audit import tree
from projections.lists.catch_up import catch_up, read
from projections.lists.stores import open_tables
from projections.lists.timeline_table import TIMELINE
from tests.pairs import PATIENCE_S, Pair, wait_until
from tests.worlds import context, issue, services


def sits(book: Book, holder: str) -> int:
    """Have somebody sit down; return the position."""
    fact = SeatOccupied(product="cloud_pos", tier=None, holder=holder, label=None)
    return book.append(context(), Change(book.load(ACCOUNT, "acme"), [fact])).position


def holders(book: Book) -> list[str]:
    return sorted(seat.holder for seat in book.load(ACCOUNT, "acme").state.seats.values())


def patiently(work: Callable[[], object]) -> None:
    """Repeat what a fail-over makes fail for a moment."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            work()
        except (LedgerUnavailable, PersistenceError):
            assert time.monotonic() < until
            time.sleep(0.1)
        else:
            return


def occupy(world: Services, holder: str) -> None:
    occupy_seat(world, context(), Sitting("acme", "cloud_pos", None, holder))


def test_no_seat_is_given_twice_and_none_is_answered_that_was_lost(pair: Pair) -> None:
    with closing(Book(pair.url)) as book, closing(Book(pair.url)) as another:
        world = services(book)
        redeem_key(world, context(), Try("acme", "s-1", issue(world).code))
        occupy(world, "till-1")
        pair.wait_for_standby(book.head())
        pair.cut()
        occupy(world, "till-2")
        assert holders(another) == ["till-1", "till-2"]
        seats = book.load(ACCOUNT, "acme").state.pool("cloud_pos", None, context().now).seats
        pair.fail_over()

        patiently(lambda: holders(another))
        assert holders(another) == ["till-1"]
        assert "went back" in (another.store.lineage.notice or "")
        for n in range(3, seats + 2):
            # What the first remembers is as long as what the other has written by now.
            patiently(functools.partial(occupy, services(another), f"till-{n}"))
        with pytest.raises(NoSeatAvailable):
            occupy(world, "till-99")
        assert "went back" in (book.store.lineage.notice or "")
        assert holders(book) == holders(another)
        assert len(holders(book)) == seats
        assert holes(book.store) == []


def test_a_session_on_a_standby_notices_its_promotion(pair: Pair) -> None:
    """Its connection outlives the fail-over, and its process has seen what was lost."""
    with closing(Book(pair.url)) as writer, closing(Book(pair.standby_url)) as reader:
        sits(writer, "till-1")
        pair.wait_for_standby(1)
        assert holders(reader) == ["till-1"]
        pair.cut()
        sits(writer, "till-2")
        last = writer.load(ACCOUNT, "acme")
        (row,) = writer.store.read_positions([2])
        reader.store.lineage.saw(2, row.state)  # as by a connection to the primary
        reader._cache.keep(last._replace(generation=reader.store.lineage.generation))  # noqa: SLF001
        assert holders(reader) == ["till-1", "till-2"]
        pair.fail_over()
        with closing(Book(pair.standby_url)) as promoted:
            sits(promoted, "till-3")
            sits(promoted, "till-4")
        assert holders(reader) == ["till-1", "till-3", "till-4"]
        assert "went back" in (reader.store.lineage.notice or "")


def test_a_page_of_a_table_that_was_worked_out_before_is_not_written_after(pair: Pair) -> None:
    with (
        closing(Book(pair.url)) as book,
        closing(open_tables(pair.url)) as tables,
    ):
        sits(book, "till-1")
        catch_up(book, tables, TIMELINE, 1)
        wait_until(lambda: pair.ask_standby("SELECT position FROM keyfold_projections") == [(1,)])
        pair.cut()
        sits(book, "till-2")
        follow = book.follow

        def then_fail_over(after: int, upto: int | None = None) -> Iterator[AnyEvent]:
            yield from list(follow(after, upto))
            if up:
                up.clear()
                pair.fail_over()
                with closing(Book(pair.url)) as promoted:
                    patiently(lambda: sits(promoted, "till-3"))
                    patiently(lambda: sits(promoted, "till-4"))

        up = [True]
        book.follow = then_fail_over  # type: ignore[method-assign]
        with pytest.raises((LedgerUnavailable, PersistenceError)):
            catch_up(book, tables, TIMELINE, 2)
        book.follow = follow  # type: ignore[method-assign]
        patiently(
            lambda: read(book, tables, TIMELINE, "SELECT position FROM keyfold_timeline_2", {})
        )
        caught = read(book, tables, TIMELINE, "SELECT position FROM keyfold_timeline_2", {})
        assert caught.position == 3
        patiently(lambda: tree.root(book, tables, 3))
