"""Calendar months: the same time of day, clipped to the month's last day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import months
from ledger.months import add_months


@dataclass(frozen=True)
class Span:
    start: str
    months: int
    end: str


SPANS = [
    Span("2026-03-01T12:00:00", 1, "2026-04-01T12:00:00"),
    Span("2026-03-01T12:00:00", 12, "2027-03-01T12:00:00"),
    # Month ends.
    Span("2026-01-31T00:00:00", 1, "2026-02-28T00:00:00"),
    Span("2026-01-30T00:00:00", 1, "2026-02-28T00:00:00"),
    Span("2026-01-28T00:00:00", 1, "2026-02-28T00:00:00"),
    Span("2026-02-28T00:00:00", 1, "2026-03-28T00:00:00"),
    Span("2026-03-31T23:59:59.999999", 1, "2026-04-30T23:59:59.999999"),
    Span("2026-08-31T00:00:00", 6, "2027-02-28T00:00:00"),
    # A short month in between clips nothing: the months are added at once.
    Span("2026-01-31T00:00:00", 2, "2026-03-31T00:00:00"),
    Span("2026-10-31T08:30:00", 4, "2027-02-28T08:30:00"),
    # Leap years.
    Span("2028-01-31T00:00:00", 1, "2028-02-29T00:00:00"),
    Span("2028-02-29T06:00:00", 12, "2029-02-28T06:00:00"),
    Span("2028-02-29T06:00:00", 48, "2032-02-29T06:00:00"),
    Span("2024-02-29T06:00:00", 120, "2034-02-28T06:00:00"),
    Span("2000-02-29T00:00:00", 12, "2001-02-28T00:00:00"),
    Span("2099-02-28T00:00:00", 12, "2100-02-28T00:00:00"),
    Span("2100-01-31T00:00:00", 1, "2100-02-28T00:00:00"),  # 2100 is none
    # Ten years, and the turn of a year.
    Span("2026-03-01T12:00:00", 120, "2036-03-01T12:00:00"),
    Span("2026-12-31T23:00:00", 1, "2027-01-31T23:00:00"),
    Span("2026-11-30T00:00:00", 3, "2027-02-28T00:00:00"),
    # Europe changes its clocks on 29 March and 25 October 2026: UTC does not.
    Span("2026-03-15T01:30:00", 1, "2026-04-15T01:30:00"),
    Span("2026-02-28T01:30:00", 1, "2026-03-28T01:30:00"),
    Span("2026-09-25T01:30:00", 1, "2026-10-25T01:30:00"),
]


@pytest.mark.parametrize("span", SPANS, ids=str)
def test_months_are_calendar_months(span: Span) -> None:
    start, end = (datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (span.start, span.end))
    assert add_months(start, span.months) == end
    assert add_months(start, span.months).utcoffset() == timedelta(0)


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 120),
)
def test_a_month_ends_in_its_month_at_the_same_time_of_day(start: datetime, months: int) -> None:
    end = add_months(start, months)
    assert end.timetz() == start.timetz()
    assert end.year * 12 + end.month == start.year * 12 + start.month + months
    assert end.day == start.day or (end.day < start.day and (end + timedelta(days=1)).day == 1)


@pytest.mark.parametrize(
    ("moment", "name", "next_name", "end"),
    [
        ("2026-01-01T00:00:00", "2026-01", "2026-02", "2026-02-01T00:00:00"),
        ("2026-11-30T23:59:59.999999", "2026-11", "2026-12", "2026-12-01T00:00:00"),
        ("2026-12-31T12:00:00", "2026-12", "2027-01", "2027-01-01T00:00:00"),
        ("0999-12-01T00:00:00", "0999-12", "1000-01", "1000-01-01T00:00:00"),
    ],
)
def test_a_month_has_a_name_one_that_follows_and_an_end(
    moment: str, name: str, next_name: str, end: str
) -> None:
    assert months.name_of(datetime.fromisoformat(moment)) == name
    assert months.after(name) == next_name
    assert months.end_of(name) == datetime.fromisoformat(end).replace(tzinfo=UTC)


def test_the_last_month_ends_with_time_itself() -> None:
    assert months.end_of("9999-12") == datetime.max.replace(tzinfo=UTC)
    assert months.end_of("9999-11") == datetime(9999, 12, 1, tzinfo=UTC)
