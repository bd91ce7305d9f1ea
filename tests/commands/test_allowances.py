"""Allowances, whatever happens in whatever order: never more is spent than was granted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st

from commands.amend_key import Amendment, amend_key
from commands.arrange_reseller import (
    grant_seats,
    resume_reseller,
    set_limits,
    suspend_reseller,
)
from commands.issue_keys import Issued, Order
from commands.order_keys import PlacedOrder, approve_order, decline_order, order_keys
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.book import Book
from ledger.refusals import AllowanceExceeded, Refusal
from ledger.store import schema
from ledger.streams import key as keys
from ledger.streams.key import KEY
from ledger.streams.reseller import RESELLER, Allowance, LimitsSet, Reseller
from tests.drawn import holds_for
from tests.worlds import NOON, context, services

NORTH = "Northwind"


class Deed(NamedTuple):
    """Something that somebody tries."""

    what: str
    number: int
    seats: int


DEEDS = st.lists(
    st.builds(
        Deed,
        what=st.sampled_from(
            [
                *("grant", "order", "order", "order", "approve", "decline", "revoke", "revoke"),
                *("redeem", "reissue", "amend", "suspend", "resume", "limit", "wait"),
            ]
        ),
        number=st.integers(0, 6),
        seats=st.integers(-6, 12),
    ),
    max_size=25,
)


class World:
    """A ledger, and beside it a plain count of what should be spent."""

    def __init__(self) -> None:
        self.services = services()
        self.now = NOON
        self.keys: list[tuple[str, str]] = []
        self.waiting: list[str] = []

    def do(self, deed: Deed) -> None:
        what, number, seats = deed
        asked = context(self.now)
        key, code = self.keys[number % len(self.keys)] if self.keys else ("key_" + "a" * 26, "")
        match what:
            case "grant":
                grant_seats(self.services, asked, NORTH, "cloud_pos", None, seats, "Contract")
            case "order":
                self._order(number, abs(seats) + 1)
            case "approve" if self.waiting:
                self._keep(approve_order(self.services, asked, self.waiting[-1]))
                self.waiting.pop()
            case "decline" if self.waiting:
                decline_order(self.services, asked, self.waiting.pop(), "No")
            case "revoke":
                revoke_key(self.services, asked, key, "Lost")
            case "redeem" if code:
                redeem_key(self.services, asked, Try("acme", f"s-{number}", code))
            case "reissue":
                new = reissue_key(self.services, asked, key, "Lost")
                self.keys.append((new.id, new.code))
            case _:
                self._arrange(deed, key)

    def _arrange(self, deed: Deed, key: str) -> None:
        what, number, seats = deed
        asked = context(self.now)
        match what:
            case "amend":
                amend_key(
                    self.services, asked, key, Amendment(seats=abs(seats) + 1, reason="A slip")
                )
            case "suspend":
                suspend_reseller(self.services, asked, NORTH, "Unpaid", keys=number > 3)
            case "resume":
                resume_reseller(self.services, asked, NORTH, "Paid")
            case "limit":
                limits = LimitsSet(approval_above=number, seats=10)
                set_limits(self.services, asked, NORTH, limits)
            case "wait":
                self.now += timedelta(days=number)

    def _order(self, count: int, seats: int) -> None:
        wanted = Order("cloud_pos", None, seats, 12, count + 1, NORTH, self.now + timedelta(days=3))
        done = order_keys(self.services, context(self.now, actor="kft_north"), wanted, NORTH)
        if isinstance(done, PlacedOrder):
            self.waiting.append(done.order)
        else:
            self._keep(done)

    def _keep(self, issued: Issued) -> None:
        self.keys += [(one.id, one.code) for one in issued.keys]

    @property
    def reseller(self) -> Reseller:
        return self.services.book.load(RESELLER, NORTH.casefold()).state

    def seats_of_keys(self) -> int:
        """Return the seats of all keys that were not revoked, from nothing but their streams."""
        ids = [keys.stream_id(id) for id, _ in self.keys]
        states = (one.state for one in self.services.book.load_many(KEY, ids).values())
        return sum(one.issued.seats for one in states if one and one.revoked_at is None)


@holds_for(15, 40, DEEDS)
def test_what_is_spent_are_the_seats_of_the_keys_that_stand(deeds: list[Deed]) -> None:
    world = World()
    for deed in deeds:
        was = world.reseller
        try:
            world.do(deed)
        except Refusal:
            assert world.reseller == was
        allowance = world.reseller.allowance("cloud_pos", None)
        assert allowance.spent == world.seats_of_keys()
        assert 0 <= allowance.spent <= allowance.granted
        if deed.what == "order" and was.suspended:
            assert world.reseller == was


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield "memory:"
        return
    url: Any = f"sqlite:///{tmp_path}/keyfold.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_ledger_url")
    schema.upgrade(url)
    yield url


def test_many_orders_at_once_spend_no_more_than_was_granted(ledger_url: str) -> None:
    with closing(Book(ledger_url)) as book:
        world = services(book)
        grant_seats(world, context(), NORTH, "cloud_pos", None, 30, "Contract")
        done: list[object] = []
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for again in range(3):
                wanted = Order("cloud_pos", None, 2, 12, 1, NORTH)
                name = f"o-{number}-{again}"
                try:
                    issued = order_keys(world, context(), wanted, NORTH, idempotency_key=name)
                except AllowanceExceeded as refusal:
                    done.append(refusal)
                    continue
                assert isinstance(issued, Issued)
                if again == 0:
                    revoke_key(world, context(), issued.keys[0].id, "Lost")
                done.append(issued)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 24
        state = book.load(RESELLER, NORTH.casefold()).state
        issued = [one for one in done if isinstance(one, Issued)]
        ids = [keys.stream_id(one.keys[0].id) for one in issued]
        standing = [one for one in book.load_many(KEY, ids).values() if not _revoked(one.state)]
        assert state.allowance("cloud_pos", None) == Allowance(30, 2 * len(standing))
        assert len(standing) <= 15


def _revoked(state: keys.Key | None) -> bool:
    assert state is not None
    return state.revoked_at is not None


def test_a_suspension_that_comes_between_stops_a_redemption() -> None:
    world = services()
    other: Services = world._replace(book=Book("memory:"))
    other.book.store = world.book.store
    grant_seats(world, context(), NORTH, "cloud_pos", None, 30, "Contract")
    wanted = Order("cloud_pos", None, 2, 12, 2, NORTH)
    issued = order_keys(world, context(), wanted, NORTH)
    assert isinstance(issued, Issued)
    first, second = issued.keys
    redeem_key(world, context(), Try("acme", "s-1", first.code))
    suspend_reseller(other, context(), NORTH, "Unpaid", keys=True)
    # This worker remembers that it was not; the commit does not.
    with pytest.raises(Refusal):
        redeem_key(world, context(), Try("acme", "s-1", second.code))
    resume_reseller(other, context(), NORTH, "Paid")
    assert redeem_key(world, context(), Try("acme", "s-1", second.code)).subscription
