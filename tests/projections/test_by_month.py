"""Keys and endings by month."""

from __future__ import annotations

from datetime import UTC, datetime

from ledger.book import Book
from projections.lists.by_month import EndingMonth, KeyMonth, endings_by_month, keys_by_month
from projections.lists.stores import Tables
from tests.projections.keys import issue, redeem, reissue
from tests.web.api import Api
from tests.web.conftest import any_api

__all__ = ["any_api"]

NOW = datetime(2026, 3, 31, 23, 59, tzinfo=UTC)


def month(number: int, year: int = 2026) -> datetime:
    return datetime(year, number, 1, tzinfo=UTC)


def test_keys_are_counted_in_the_months_of_the_calendar(book: Book, tables: Tables) -> None:
    issue(book, datetime(2025, 3, 31, 23, 59, tzinfo=UTC), "long-ago")
    issue(book, month(4, 2025), "first")
    issue(book, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), "feb1", "feb2")
    issue(book, month(3), "march", reseller="Coast")
    redeem(book, datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), "feb1")
    redeem(book, month(3), "long-ago")
    reissue(book, NOW, "feb1", "feb3")
    found = keys_by_month(book, tables, NOW)
    assert [one.start for one in found] == [month(n, 2025) for n in range(4, 13)] + [
        month(n) for n in (1, 2, 3)
    ]
    assert [one for one in found if one.issued or one.redeemed] == [
        KeyMonth(month(4, 2025), 1, 0),
        KeyMonth(month(2), 2, 1),
        KeyMonth(month(3), 1, 1),
    ]
    of_coast = keys_by_month(book, tables, NOW, "COAST")
    assert [one for one in of_coast if one.issued or one.redeemed] == [KeyMonth(month(3), 1, 0)]


def test_endings_are_counted_from_now_on(any_api: Api) -> None:
    any_api.redeem("acme", seats=3, months=1)
    any_api.redeem("beta", seats=2, months=1)
    any_api.redeem("gamma", seats=7, months=12)
    now, tables = any_api.clock.now, any_api.app.extensions["keyfold"].wiring.tables
    found = endings_by_month(any_api.services.book, tables, now)
    assert [one for one in found if one.seats] == [EndingMonth(month(4), 2, 5)]
    assert len(found) == 12
    later = endings_by_month(any_api.services.book, tables, now.replace(month=4, day=2))
    assert [one for one in later if one.seats] == [EndingMonth(month(3, 2027), 1, 7)]


def test_what_has_been_renewed_does_not_end(any_api: Api) -> None:
    any_api.redeem("acme", seats=5, months=1)
    code = any_api.issue(seats=5, months=1)["code"]
    assert any_api.try_code(code, start="when_current_ends").status == 201
    tables = any_api.app.extensions["keyfold"].wiring.tables
    found = endings_by_month(any_api.services.book, tables, any_api.clock.now)
    assert [one for one in found if one.seats] == [EndingMonth(month(5), 1, 5)]
