"""Seats that Stripe sells, at the ends of months: what each account's own stream says of it."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from datetime import datetime, timedelta
from random import Random

import pytest
from msgspec.structs import replace

from ledger.book import Book, Change, Dated
from ledger.store.contract import VersionConflict
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import Meaning, StripePricesMapped, StripeSubscriptionGivenUp
from ledger.stripe.subscriptions import subscription_id
from projections.audit.rebuild import EVENTS, RebuildFinding, replay
from projections.lists.by_month import EndingMonth, endings_by_month, seats_by_month
from projections.lists.overview import overview
from projections.lists.stores import Tables, open_tables
from projections.lists.stripe_spans import fold_changed
from tests.projections.test_account_notices import report
from tests.worlds import DAY, NOON, context

NOW = NOON + 330 * DAY
ACCOUNTS = ("acme", "beta", "gamma")
MICROSECOND = timedelta(microseconds=1)


def tell(book: Book, account: str, *facts: Dated) -> None:
    """Record what Stripe told now of what was so at other times."""
    while True:
        try:
            book.append(context(NOW), Change(book.load(ACCOUNT, account), facts))
        except VersionConflict:
            continue
        return


def any_of_stripes(random: Random, number: int) -> Dated:
    """Return something that Stripe may have told, of any day of the year."""
    day = random.randint(0, 320)
    id = random.choice(("sub_1", "sub_2"))
    match random.randrange(12):
        case 0:
            gives = Meaning(product="integrations", tier="growth", per_unit=2)
            return Dated(StripePricesMapped(meanings={"price_1": gives}), NOON + day * DAY)
        case 1:
            left = StripeSubscriptionGivenUp(stripe_subscription=id, account="beta")
            return Dated(left, NOON + day * DAY)
    told = report(day, NOON + (day + random.choice((3, 30, 90))) * DAY)
    (item,) = told.items or ()
    item = replace(item, quantity=random.randint(1, 5), meaning=random.choice((None, item.meaning)))
    fact = replace(
        told,
        stripe_subscription=id,
        stripe_event=f"evt_{number}",
        items=(item,),
        status=random.choice(("active", "active", "active", "past_due", "unpaid", "canceled")),
        cancel_at_period_end=random.random() < 0.2,
        started_at=NOON + random.randint(0, 40) * DAY,
    )
    return Dated(fact, told.created)


def expected(book: Book, end: datetime) -> dict[tuple[str, str | None], int]:
    """Return the seats that there are by what had happened by a moment, from the streams alone."""
    seats: Counter[tuple[str, str | None]] = Counter()
    for account in ACCOUNTS:
        _, events = book.history(ACCOUNT, account)
        then = ACCOUNT.fold(ACCOUNT.initial, [e for e in events if e.occurred_at <= end])
        for row in then.rows(end):
            seats[row.product, row.tier] += row.seats
    return +seats


def hold_to_the_streams(book: Book, tables: Tables) -> None:
    """Go on only if each month's end has what the accounts had."""
    found = seats_by_month(book, tables, NOW)
    assert found
    for number, month in enumerate(found[0].months):
        later = [one.start for one in found[0].months[number + 1 : number + 2]]
        end = later[0] - MICROSECOND if later else NOW
        had = {(one.product, one.tier): one.months[number].seats for one in found}
        assert {at: seats for at, seats in had.items() if seats} == expected(book, end), month.start


def wrong_tables(book: Book, tables: Tables) -> list[RebuildFinding]:
    """Return what a replay finds; whose the subscriptions are is no matter here."""
    return [one for one in replay(book, tables) if one.table != EVENTS]


@pytest.mark.parametrize("seed", range(4))
def test_a_months_end_has_what_stripe_gave_by_then_however_late_it_was_told(
    book: Book, tables: Tables, seed: int
) -> None:
    random = Random(seed)
    tell(book, "acme", Dated(report(0, NOW + DAY), NOON))
    for part in range(4):
        for number in range(12):
            tell(book, random.choice(ACCOUNTS), any_of_stripes(random, 12 * part + number))
        assert fold_changed(book, tables) == 0
        hold_to_the_streams(book, tables)
    assert not wrong_tables(book, tables)


def test_what_is_left_to_be_folded_is_said(book: Book, tables: Tables) -> None:
    for account in ACCOUNTS:
        tell(book, account, Dated(report(1, NOW + DAY), NOON + DAY))
    assert fold_changed(book, tables, most=2) == 1
    assert fold_changed(book, tables, most=2) == 0
    hold_to_the_streams(book, tables)


def test_who_folds_while_others_tell_and_fold_keeps_nothing_older(shared_url: str) -> None:
    with closing(Book(shared_url)) as book, closing(open_tables(shared_url)) as tables:
        stop = threading.Event()

        def go_on_folding() -> None:
            with closing(Book(shared_url)) as its, closing(open_tables(shared_url)) as its_tables:
                while not stop.is_set():
                    fold_changed(its, its_tables)

        folding = [threading.Thread(target=go_on_folding) for _ in range(2)]
        for one in folding:
            one.start()
        random = Random(7)
        for number in range(40):
            tell(book, random.choice(ACCOUNTS), any_of_stripes(random, number))
            assert fold_changed(book, tables) == 0
        stop.set()
        for one in folding:
            one.join()
        assert fold_changed(book, tables) == 0
        hold_to_the_streams(book, tables)
        assert not wrong_tables(book, tables)


def test_a_span_that_somebody_has_changed_is_found(book: Book, tables: Tables) -> None:
    tell(book, "acme", Dated(report(1, NOW + DAY), NOON + DAY))
    fold_changed(book, tables)
    tables.change(["UPDATE keyfold_stripe_spans_1 SET seats = 500"], {})
    (found,) = wrong_tables(book, tables)
    assert (found.table, found.position) == ("stripe_spans@1", book.head())
    assert found.sentence == "what Stripe gave acme is not what its events make"


def test_what_a_ledger_that_went_back_has_lost_is_not_counted(book: Book, tables: Tables) -> None:
    tell(book, "acme", Dated(report(1, NOW + DAY), NOON + DAY))
    fold_changed(book, tables)
    # As it is when the table of what was told is filled anew, and the ledger has lost it.
    tables.change(["DELETE FROM keyfold_stripe_changed_1"], {})
    fold_changed(book, tables)
    assert seats_by_month(book, tables, NOW) == []


def test_what_stripe_has_said_will_end_is_among_the_endings(book: Book, tables: Tables) -> None:
    goes_on, ends = report(1, NOW + 20 * DAY), report(2, NOW + 20 * DAY, cancel_at_period_end=True)
    over = report(3, NOW - 20 * DAY, cancel_at_period_end=True)
    far = report(4, NOW + 20 * DAY, cancel_at=NOW + 90 * DAY)
    for number, fact in enumerate((goes_on, ends, over, far)):
        tell(book, "acme", Dated(replace(fact, stripe_subscription=f"sub_{number}"), fact.created))
    fold_changed(book, tables)
    found = [one for one in endings_by_month(book, tables, NOW) if one.seats]
    starts = [(NOW + 20 * DAY).replace(day=1, hour=0), (NOW + 90 * DAY).replace(day=1, hour=0)]
    assert found == [EndingMonth(start, 1, 3) for start in starts]
    (soon,) = overview(book, tables, NOW).ending
    assert (soon.account, soon.product, soon.seats) == ("acme", "cloud_pos", 3)
    assert (soon.subscription, soon.ends_at) == (subscription_id("sub_1"), NOW + 20 * DAY)
