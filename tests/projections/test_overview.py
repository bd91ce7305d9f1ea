"""The overview: what the tables count is what the accounts' own streams say."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from random import Random

import pytest
from msgspec.structs import astuple

from commands.change_subscription import (
    extend_subscription,
    resume_subscription,
    suspend_subscription,
    terminate_subscription,
)
from commands.redeem_key import Try, redeem_key
from commands.services import Services
from examples.demonstration.story import tell
from ledger.book import Book
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KeyIssued
from projections.audit.table_differences import differences
from projections.lists.by_month import seats_by_month
from projections.lists.month_ends_table import GIVEN_SPANS, TAKEN_SPANS
from projections.lists.overview import overview
from projections.lists.overview_tables import REFUSALS, SEAT_LIST, SUBSCRIPTION_LIST
from projections.lists.stores import Tables
from tests.audit.ledgers import happens
from tests.worlds import DAY, MINUTE, NOON, POS_ORDER, context, issue, services

NOW = NOON + 300 * DAY
LONG = timedelta(days=300)


@pytest.fixture
def world(book: Book) -> Services:
    return services(book)


def accounts(book: Book) -> dict[str, Account]:
    """Return every account there is, from nothing but its own stream."""
    names = {
        e.stream.removeprefix("account-") for e in book.follow(0) if e.stream.startswith("account-")
    }
    return {name: book.load(ACCOUNT, name).state for name in names}


def test_an_empty_ledger_has_nothing_to_look_at(world: Services, tables: Tables) -> None:
    found = overview(world.book, tables, NOW)
    assert all(value == [] for value in astuple(found)[2:])
    assert (found.at, found.position) == (NOW, 0)


def test_the_demonstration_at_a_glance(world: Services, tables: Tables) -> None:
    tell(world, NOW, test_clock=False)
    found = overview(world.book, tables, NOW)
    assert [astuple(one) for one in found.pools] == [
        ("cloud_pos", None, 9, 12), ("integrations", "growth", 2, 2),
        ("integrations", "scale", 4, 3), ("integrations", "starter", 1, 1),
    ]  # fmt: skip
    assert [astuple(one)[:5] for one in found.over_used] == [
        ("corner-bakery", "cloud_pos", None, 2, 6), ("book-barge", "cloud_pos", None, 0, 1),
    ]  # fmt: skip
    assert [one.account for one in found.ending] == ["museum-shop"]
    assert [(one.refusal, one.found, one.tries) for one in found.refusals] == [
        ("invalid_key_format", None, 1), ("key_not_available", "lapsed", 1),
        ("key_not_available", "redeemed", 1), ("key_not_available", "revoked", 1),
        ("no_seat_available", None, 1), ("wrong_product", None, 1),
    ]  # fmt: skip
    issued = [e.fact for e in world.book.follow(0) if isinstance(e.fact, KeyIssued)]
    assert sum(one.issued for one in found.keys) == sum(one.replaces is None for one in issued)
    for one in found.keys:
        assert one.issued == one.open + one.redeemed + one.revoked + one.lapsed


@pytest.mark.parametrize("off", [-LONG, -DAY, timedelta(0), DAY, 20 * DAY, LONG])
def test_what_a_wrong_clock_has_ended_has_ended(
    world: Services, tables: Tables, off: timedelta
) -> None:
    kept, ended = (
        redeem_key(world, context(NOON), Try("acme", "s", issue(world).code)).subscription
        for _ in range(2)
    )
    before = overview(world.book, tables, NOON)
    assert [one.seats for one in before.pools] == [2 * POS_ORDER.seats]
    terminate_subscription(world, context(NOON + off), "acme", ended, "by mistake")
    account = accounts(world.book)["acme"]
    for now in (NOON, NOON + MINUTE, NOON + 10 * DAY, NOON + 340 * DAY):
        found = overview(world.book, tables, now)
        assert [one.seats for one in found.pools] == [sum(row.seats for row in account.rows(now))]
        assert {one.subscription for one in found.ending} <= {kept}
    assert list(differences(world.book, tables, SUBSCRIPTION_LIST)) == []


@pytest.mark.parametrize("seed", range(6))
def test_it_counts_what_the_accounts_have(world: Services, tables: Tables, seed: int) -> None:
    for part in range(3):
        happens(world, Random(seed * 3 + part), things=25)
        now = max(event.recorded_at for event in world.book.follow(0)) + timedelta(days=seed * 20)
        found = overview(world.book, tables, now)
        seats: Counter[tuple[str, str | None]] = Counter()
        used: Counter[tuple[str, str | None]] = Counter()
        over = set()
        for name, account in accounts(world.book).items():
            for row in account.rows(now):
                seats[row.product, row.tier] += row.seats
            for place, count in account.used.items():
                used[place] += count
                pool = account.pool(*place, now)
                if pool.over:
                    over.add((name, *place, pool.seats, pool.used))
        assert {(p.product, p.tier): p.seats for p in found.pools if p.seats} == dict(seats)
        assert {(p.product, p.tier): p.used for p in found.pools if p.used} == dict(used)
        assert {astuple(one) for one in found.over_used} == over
        for projection in (SUBSCRIPTION_LIST, SEAT_LIST, REFUSALS):
            assert list(differences(world.book, tables, projection)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_months_end_has_what_the_accounts_had_by_then(
    world: Services, tables: Tables, seed: int
) -> None:
    for part in range(3):
        happens(world, Random(seed * 5 + part), things=25)
    events = list(world.book.follow(0))
    last = max(event.occurred_at for event in events)
    found = seats_by_month(world.book, tables, last + 70 * DAY)
    assert found
    streams = {event.stream for event in events if event.stream.startswith("account-")}
    for number, start in enumerate(one.start for one in found[0].months[:-1]):
        end = found[0].months[number + 1].start - timedelta(microseconds=1)
        seats: Counter[tuple[str, str | None]] = Counter()
        holders: Counter[tuple[str, str | None]] = Counter()
        for stream in streams:
            then = [one for one in events if one.stream == stream and one.occurred_at <= end]
            account = ACCOUNT.fold(ACCOUNT.initial, then)
            holders.update(account.used)
            for one in account.subscriptions.values():
                if one.status(end) == "active":
                    seats[one.product, one.tier] += one.seats
        told = {(one.product, one.tier): one.months[number] for one in found}
        assert {at: one.seats for at, one in told.items() if one.seats} == +seats, start
        assert {at: one.holders for at, one in told.items() if one.holders} == +holders, start
    for projection in (GIVEN_SPANS, TAKEN_SPANS):
        assert list(differences(world.book, tables, projection)) == []


def test_a_suspension_a_resumption_and_an_extension_move_what_a_months_end_has(
    world: Services, tables: Tables
) -> None:
    id = redeem_key(world, context(NOON), Try("acme", "s", issue(world).code)).subscription
    pause, back = NOON + 40 * DAY, NOON + 75 * DAY
    suspend_subscription(world, context(pause), "acme", id, "unpaid")
    extend_subscription(world, context(pause + DAY), "acme", id, "kindness", days=30)
    resume_subscription(world, context(back), "acme", id, "paid")
    (year,) = seats_by_month(world.book, tables, NOON + 340 * DAY)
    had = {f"{one.start:%Y-%m}": one.seats for one in year.months}
    whole = POS_ORDER.seats
    expected = {}
    for month in had:
        year_, number = map(int, month.split("-"))
        end = NOON.replace(
            year=year_ + number // 12, month=number % 12 + 1, day=1, hour=0, minute=0
        )
        given = end > NOON and not pause < end <= back
        expected[month] = whole if given else 0
    assert had == expected
