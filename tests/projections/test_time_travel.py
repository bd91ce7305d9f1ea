"""At each past moment an account is what its history up to then makes it, for many histories.

`test_histories` asks a few moments of each history about everything; here every moment of each is
asked about what people look at: subscriptions, seats, and the timeline.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

import pytest
from hypothesis import given, settings

from ledger.book import Book
from projections.lists.stores import open_tables
from projections.lists.timeline import TimelineQuery, Visibility, timeline
from projections.views.account_at import Moment
from projections.views.seats import seats
from projections.views.subscriptions import subscriptions
from tests.projections.histories import (
    CATALOG,
    STEPS,
    Told,
    asked_at,
    happened,
    moments,
    recorded,
)
from tests.projections.telling import ACCOUNT_ID, at

HISTORIES = STEPS.map(happened)
LATER = at("2040-01-01 00:00")


def seen(book: Book, moment: Moment) -> tuple[object, ...]:
    """Return what is on the account's page at a moment, but for positions."""
    asked = asked_at(book, moment)
    view = seats(asked, CATALOG)
    return subscriptions(asked, CATALOG, ended=True).products, view.items, view.totals


def told_of(book: Book, as_of: datetime | None, known_at: datetime | None) -> list[str]:
    query = TimelineQuery(account=ACCOUNT_ID, as_of=as_of, known_at=known_at)
    with closing(open_tables("memory:")) as tables:
        page = timeline(book, tables, CATALOG, query, Visibility(None), limit=500)
    return [entry.summary for entry in page.entries]


def travel(history: list[Told]) -> None:
    """Hold every moment of a history to the history that was truncated there."""
    book = recorded(history)
    for moment in moments(history, asked_at(book, Moment(LATER)).account)[1::3]:
        occurred = recorded(one for one in history if one.occurred_at <= moment)
        known = recorded(one for one in history if one.recorded_at <= moment)
        assert seen(book, Moment(LATER, moment)) == seen(occurred, Moment(LATER, moment))
        assert seen(book, Moment(LATER, moment, moment)) == seen(known, Moment(moment))
        assert seen(book, Moment(LATER, None, moment)) == seen(known, Moment(LATER, LATER))


@given(HISTORIES)
def test_each_moment_is_what_the_truncated_history_makes_it(history: list[Told]) -> None:
    travel(history)


@pytest.mark.long
@settings(max_examples=1_000)
@given(HISTORIES)
def test_each_moment_of_a_thousand_histories(history: list[Told]) -> None:
    travel(history)


@settings(max_examples=30)
@given(HISTORIES)
def test_the_timeline_goes_back_as_well(history: list[Told]) -> None:
    book = recorded(history)
    steps = moments(history, asked_at(book, Moment(LATER)).account)[1::3]
    for moment in steps[:: max(len(steps) // 4, 1)]:
        occurred = recorded(one for one in history if one.occurred_at <= moment)
        known = recorded(one for one in history if one.recorded_at <= moment)
        assert told_of(book, moment, None) == told_of(occurred, None, None)
        assert told_of(book, None, moment) == told_of(known, None, None)
