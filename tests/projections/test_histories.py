"""What holds for the views of any history of an account, at any moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.state import Account
from projections.views.account_at import AccountAt, Moment
from projections.views.entitlements import entitlements
from projections.views.seat_history import seat_history
from projections.views.seats import seat, seats
from projections.views.subscriptions import SubscriptionRow, subscriptions
from tests.projections.histories import (
    CATALOG,
    JUMPING_STEPS,
    POOLS,
    STEPS,
    Told,
    asked_at,
    happened,
    moments,
    record,
    recorded,
)
from tests.projections.telling import ACCOUNT_ID, at

HISTORIES = STEPS.map(happened)
LATER = at("2040-01-01 00:00")


def everything(asked: AccountAt) -> tuple[object, ...]:
    """Return all that can be asked about an account at a moment, but for positions."""
    sitting = [replace(one, label=None) for one in seats(asked, CATALOG).items]
    return (
        subscriptions(asked, CATALOG, ended=True).products,
        sitting,
        seats(asked, CATALOG).totals,
        entitlements(asked, CATALOG).entitlements,
    )


def as_of(moment: datetime) -> Moment:
    return Moment(LATER, as_of=moment)


def some_moments(told: Sequence[Told], account: Account, data: st.DataObject) -> list[datetime]:
    """Answer a few of the moments that matter: all of them would take a while."""
    return data.draw(st.lists(st.sampled_from(moments(told, account)), min_size=1, max_size=6))


@given(HISTORIES, st.data())
def test_with_the_knowledge_of_a_past_moment_it_looks_as_it_did_then(
    told: list[Told], data: st.DataObject
) -> None:
    book = recorded(told)
    account = asked_at(book, Moment(LATER)).account
    for moment in some_moments(told, account, data):
        then = recorded(one for one in told if one.recorded_at <= moment)
        live = everything(asked_at(then, Moment(moment)))
        assert everything(asked_at(book, Moment(LATER, moment, moment))) == live
        assert everything(asked_at(book, Moment(moment, known_at=moment))) == live


@given(HISTORIES, st.data())
def test_as_of_a_past_moment_it_is_as_if_nothing_had_happened_since(
    told: list[Told], data: st.DataObject
) -> None:
    book = recorded(told)
    account = asked_at(book, Moment(LATER)).account
    for moment in some_moments(told, account, data):
        then = recorded(one for one in told if one.occurred_at <= moment)
        # Facts that occurred by then and were recorded later: the view of then, known today.
        assert everything(asked_at(book, as_of(moment))) == everything(
            asked_at(then, Moment(LATER, as_of=moment))
        )


@given(HISTORIES, st.data())
def test_now_is_as_of_now(told: list[Told], data: st.DataObject) -> None:
    book = recorded(told)
    account = asked_at(book, Moment(LATER)).account
    last = max((one.recorded_at for one in told), default=LATER)
    for moment in some_moments(told, account, data):
        now = max(moment, last)
        live = everything(asked_at(book, Moment(now)))
        assert live == everything(asked_at(book, Moment(LATER, as_of=now)))
        assert live == everything(asked_at(book, Moment(now, known_at=now)))


@given(HISTORIES, st.data())
def test_pools_add_up(told: list[Told], data: st.DataObject) -> None:
    book = recorded(told)
    for moment in some_moments(told, asked_at(book, Moment(LATER)).account, data):
        asked = asked_at(book, as_of(moment))
        view = subscriptions(asked, CATALOG, ended=True)
        seated = seats(asked, CATALOG)
        for product in view.products:
            active = [row for row in product.rows if row.status == "active"]
            totals = [total for total in seated.totals if total.product == product.product]
            assert product.seats == sum(row.seats for row in active)
            assert product.used - product.over == sum(row.used for row in product.rows)
            assert product.seats == sum(total.seats for total in totals)
            assert product.used == sum(total.used for total in totals)
            assert product.over == sum(total.over for total in totals)
            assert all(row.used == 0 for row in product.rows if row.status != "active")
        for total in seated.totals:
            assert total.free == max(total.seats - total.used, 0)
            assert total.over == max(total.used - total.seats, 0)
            pool = (total.product, total.tier)
            here = [one for one in seated.items if (one.product, one.tier) == pool]
            assert sum(one.licensed for one in here) == min(total.seats, total.used)


@given(HISTORIES, st.data())
def test_seats_are_filled_in_order(told: list[Told], data: st.DataObject) -> None:
    book = recorded(told)
    for moment in some_moments(told, asked_at(book, Moment(LATER)).account, data):
        asked = asked_at(book, as_of(moment))
        view = subscriptions(asked, CATALOG)
        rows = [(product.product, row) for product in view.products for row in product.rows]
        sitting = seats(asked, CATALOG).items
        for product, tier in POOLS:
            here = [one for one in sitting if (one.product, one.tier) == (product, tier)]
            mine = [r for of, r in rows if (of, r.tier, r.status) == (product, tier, "active")]
            places = [r.subscription for r in sorted(mine, key=_filled_by) for _ in range(r.seats)]
            expected = [*places, *[None] * len(here)][: len(here)]
            reason = "over" if places else "no_active_subscription"
            assert [one.subscription for one in here] == expected
            assert [one.reason for one in here] == [None if p else reason for p in expected]
            assert [one.occupied_at for one in here] == sorted(one.occupied_at for one in here)
        counted = Counter(one.subscription for one in sitting)
        assert [row.used for _, row in rows] == [counted[row.subscription] for _, row in rows]
        for one in sitting:
            assert astuple(seat(asked, one.product, one.holder))[4:] == astuple(one)


def _filled_by(row: SubscriptionRow) -> tuple[object, ...]:
    # Latest end, earliest start, id; no row of a key renews.
    assert row.expires_at is not None
    return -row.expires_at.timestamp(), row.started_at, row.subscription


@given(HISTORIES | JUMPING_STEPS.map(lambda steps: happened(steps, jumping=True)), st.data())
def test_the_chart_says_at_and_between_its_points_what_the_view_says(
    told: list[Told], data: st.DataObject
) -> None:
    book = recorded(told)
    account = asked_at(book, Moment(LATER)).account
    begins = data.draw(st.none() | st.sampled_from(moments(told, account)))
    pool = data.draw(st.none() | st.sampled_from(POOLS))
    product, tier = pool or (None, None)
    history = seat_history(
        book, ACCOUNT_ID, Moment(LATER), product=product, tier=tier, start=begins
    )
    assert all(one.at < other.at for one, other in pairwise(history.points))
    assert all(
        (one.seats, one.used) != (other.seats, other.used)
        for one, other in pairwise(history.points)
    )
    for moment in moments(told, account):
        before = [point for point in history.points if point.at <= moment]
        if begins is not None and moment < begins:
            assert not before
            continue
        shown = (before[-1].seats, before[-1].used) if before else (0, 0)
        totals = [
            total
            for total in seats(asked_at(book, as_of(moment)), CATALOG).totals
            if product in (None, total.product) and tier in (None, total.tier)
        ]
        assert shown == (sum(t.seats for t in totals), sum(t.used for t in totals)), moment


@given(STEPS.map(lambda steps: happened(step._replace(delay=timedelta(0)) for step in steps)))
def test_who_is_let_in_is_licensed_at_once(told: list[Told]) -> None:
    book = recorded([])
    for one in told:
        record(book, [one])
        for fact in one.facts:
            if isinstance(fact, SeatOccupied):
                asked = asked_at(book, Moment(one.recorded_at))
                sits = seat(asked, fact.product, fact.holder)
                assert sits.licensed
