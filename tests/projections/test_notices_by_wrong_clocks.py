"""Notices when a clock was ahead, and when the ledger went back: nothing is lost, nothing early."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from commands.redeem_key import Try, redeem_key
from ledger.book import Book
from ledger.store import schema
from projections.lists.notices_table import TABLE, fill, setting
from projections.lists.stores import open_tables
from tests.projections.test_notices import FAR, ask, iso, told
from tests.web.api import POS, Api, memory_api
from tests.worlds import DAY, MINUTE, NOON, SECOND, context, issue, services

YEARS = 800 * DAY
LATEST = NOON + 2 * YEARS


@pytest.fixture
def api() -> Api:
    return memory_api()


def ahead(api: Api) -> None:
    api.clock.now = NOON + YEARS


def right(api: Api, days: int = 2) -> None:
    api.clock.now = NOON + days * DAY


def test_what_follows_a_write_by_a_clock_ahead_is_told_at_its_time(api: Api) -> None:
    api.redeem("acme", months=2)
    api.sit("till-1")
    ahead(api)
    assert api.sit("till-1", label="Front").status == 200
    right(api)
    subscription = api.redeem("acme", months=1)
    of_it = [one for one in ask(api, end=LATEST) if one["subject"] == subscription]
    assert told(of_it) == [
        ("subscription.started", "2026-03-03"),
        ("subscription.ending 30", "2026-03-04"),
        ("subscription.ending 7", "2026-03-27"),
        ("subscription.ending 1", "2026-04-02"),
        ("subscription.ended", "2026-04-03"),
    ]
    assert told(ask(api, start=NOON + DAY, end=NOON + 2 * DAY)) == [
        ("subscription.started", "2026-03-03")
    ]


def test_what_a_clock_ahead_took_for_past_is_to_come_by_a_right_one(api: Api) -> None:
    api.redeem("acme", months=2)
    api.redeem("acme", months=120)
    ahead(api)
    for holder in ("till-1", "till-2"):
        api.sit(holder)
    full = ("seats.full", iso(NOON + YEARS)[:10])
    assert told(ask(api, end=LATEST), "seats.full") == [full]
    right(api)
    api.redeem("acme", {**POS, "product": "integrations", "tier": "growth"}, months=120)
    # Two of the four seats end in May, and what was told with its event stays told.
    assert told(ask(api, end=LATEST), "seats.full") == [("seats.full", "2026-05-01"), full]
    api.sit("till-3")
    api.sit("till-4")
    assert told(ask(api, end=LATEST), "seats.full", "seats.over") == [
        ("seats.full", "2026-03-03"), ("seats.over", "2026-05-01"), full,
    ]  # fmt: skip


def test_what_a_clock_ahead_began_can_be_ended_by_a_right_one(api: Api) -> None:
    ahead(api)
    subscription = api.redeem("acme", months=1)
    right(api)
    path = f"/v1/accounts/acme/subscriptions/{subscription}/terminate"
    assert api.post("admin", path, {"reason": "By mistake"}).status == 200
    assert told(ask(api, end=LATEST)) == [
        ("subscription.ended", "2026-03-03"),
        ("subscription.started", iso(NOON + YEARS)[:10]),
    ]


def test_a_key_is_told_of_once_for_each_number_of_days_however_it_is_amended(api: Api) -> None:
    key = api.issue(redeem_by=iso(NOON + 40 * DAY))["id"]
    before = ask(api, end=FAR, kind="key.lapsing")
    for day, change in enumerate(({"seats": 5}, {"seats": 1}, {"months": 3})):
        right(api, 20 + day)
        got = api.ask("admin", "PATCH", f"/v1/keys/{key}", {**change, "reason": "As ordered"})
        assert got.status == 200, got.body
    after = ask(api, end=FAR, kind="key.lapsing")
    assert [one["id"] for one in after] == [one["id"] for one in before]
    assert [one["facts"]["seats"] for one in after] == [2, 1, 1]
    right(api, 25)
    body = {"redeem_by": iso(NOON + 30 * DAY), "reason": "Sooner"}
    assert api.ask("admin", "PATCH", f"/v1/keys/{key}", body).status == 200
    assert told(ask(api, end=FAR, kind="key.lapsing")) == [
        ("key.lapsing 30", "2026-03-11"),
        ("key.lapsing 7", "2026-03-26"),
        ("key.lapsing 1", "2026-03-30"),
    ]


def test_a_ledger_that_went_back_loses_no_notice_of_another_setting(tmp_path: Path) -> None:
    file = tmp_path / "keyfold.db"
    url = f"sqlite:///{file}"
    schema.upgrade(url)

    def redeem(book: Book, *accounts: str) -> None:
        world = services(book, seed=book.head())
        for account in accounts:
            redeem_key(world, context(NOON), Try(account, f"s-{account}", issue(world).code))

    def count(days: tuple[int, ...]) -> int:
        with closing(sqlite3.connect(file)) as connection:
            query = f"SELECT COUNT(*) FROM {TABLE} WHERE days = ?"
            return int(connection.execute(query, (setting(days),)).fetchone()[0])

    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        redeem(book, "acme", "blue")
        fill(book, tables, (14,))
        kept, head = count((14,)), book.head()
        redeem(book, "core")
        fill(book, tables, (30, 7, 1))
    with closing(sqlite3.connect(file)) as connection, connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM keyfold_events WHERE rowid > ?", (head,))
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        fill(book, tables, (30, 7, 1))
        fill(book, tables, (14,))
        assert count((14,)) == kept == 6
        assert count((30, 7, 1)) == 10


def test_who_polls_from_where_a_list_is_complete_misses_nothing_of_another_machine(
    api: Api,
) -> None:
    seen: set[str] = set()
    start, polled = NOON - DAY, NOON
    for minute in range(6):
        # Written just before each question by a clock that is a minute behind.
        api.clock.now = NOON + (minute * 60 - 60) * SECOND
        api.redeem(f"acme-{minute}", months=1)
        polled = api.clock.now = NOON + (minute * 60 + 1) * SECOND
        got = api.get("admin", f"/v1/notices?from={iso(start)}&to={iso(polled)}&limit=500").body
        seen |= {one["id"] for one in got["items"]}
        start = datetime.fromisoformat(got["complete_until"])
        assert start == polled - 2 * MINUTE
    assert seen == {one["id"] for one in ask(api, end=polled)}
