"""Month by month, over all accounts: keys and seats of the last year, endings of the next.

Months are those of the calendar in UTC. Each question reads a table once, and is grouped by day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from string import ascii_lowercase
from typing import Final, NamedTuple

from ledger.book import Book
from ledger.months import add_months
from ledger.reseller_names import folded
from projections.lists.catch_up import Projection, read
from projections.lists.endings import ending_subscriptions
from projections.lists.keys import KEY_LIST
from projections.lists.month_ends_table import GIVEN_SPANS, TAKEN_SPANS
from projections.lists.stores.tables import Params, Tables, to_moment, to_number
from projections.lists.stripe_spans import STRIPE_CHANGED

MONTHS: Final = 12
_DAY: Final = timedelta(days=1) // timedelta(microseconds=1)


class KeyMonth(NamedTuple):
    """A month of keys; one that was given in the place of another is not issued again."""

    start: datetime
    issued: int
    redeemed: int


class EndingMonth(NamedTuple):
    """A month in which seats end, if nothing more happens; Stripe's where it has said so."""

    start: datetime
    subscriptions: int
    seats: int


def keys_by_month(
    book: Book, tables: Tables, now: datetime, reseller: str | None = None
) -> list[KeyMonth]:
    """Return the last twelve months of keys, this one last; of one reseller, or of all."""
    starts = _months(now, -(MONTHS - 1))
    params: Params = {
        "since": to_number(starts[0]), "day": _DAY,
        "reseller_id": folded(reseller) if reseller is not None else None,
    }  # fmt: skip
    of = "" if reseller is None else " AND reseller_id = :reseller_id"
    issued = _by_month(book, tables, KEY_LIST, _ISSUED.format(of=of), params)
    redeemed = _by_month(book, tables, KEY_LIST, _REDEEMED.format(of=of), params)
    return [KeyMonth(start, issued[start], redeemed[start]) for start in starts]


def endings_by_month(book: Book, tables: Tables, now: datetime) -> list[EndingMonth]:
    """Return what ends in this month, from now on, and in eleven more, and has not been renewed.

    Stripe's are those of the accounts that were folded: see `fold_changed`.
    """
    starts = _months(now, 0)
    end = to_number(add_months(starts[-1], 1))
    params: Params = {"since": to_number(now), "until": end, "day": _DAY}
    last = to_moment(end - 1)
    ending, seats = Counter[datetime](), Counter[datetime]()
    for one in ending_subscriptions(book, tables, now, last):
        ending[_month(one.ends_at)] += 1
        seats[_month(one.ends_at)] += one.seats
    ending += _by_month(book, tables, STRIPE_CHANGED, _ENDING_AT_STRIPE, params)
    seats += _by_month(book, tables, STRIPE_CHANGED, _ENDING_SEATS_AT_STRIPE, params)
    return [EndingMonth(start, ending[start], seats[start]) for start in starts]


class MonthEnd(NamedTuple):
    """How a product and tier stood at the end of a month; of this month, now."""

    start: datetime
    seats: int
    holders: int


class ProductYear(NamedTuple):
    """The last twelve months of a product and tier."""

    product: str
    tier: str | None
    months: list[MonthEnd]


def seats_by_month(book: Book, tables: Tables, now: datetime) -> list[ProductYear]:
    """Return seats and holders at each month's end, by what had happened by then.

    Stripe's are those of the accounts that were folded: see `fold_changed`.
    """
    starts = _months(now, -(MONTHS - 1))
    ends = [min(to_number(add_months(start, 1)) - 1, to_number(now)) for start in starts]
    params: Params = {f"at_{ascii_lowercase[n]}": end for n, end in enumerate(ends)}
    given = _at_each(book, tables, GIVEN_SPANS, _GIVEN, params)
    sold = _at_each(book, tables, STRIPE_CHANGED, _SOLD, params, of="keyfold_stripe_spans_1")
    taken = _at_each(book, tables, TAKEN_SPANS, _TAKEN, params)
    none = [0] * MONTHS
    found = []
    places = {*given, *sold, *taken}
    for product, tier in sorted(places, key=lambda place: (place[0], place[1] or "")):
        both = given.get((product, tier), none), sold.get((product, tier), none)
        seats, holders = list(map(sum, zip(*both, strict=True))), taken.get((product, tier), none)
        if any(seats) or any(holders):
            ends_of = zip(starts, seats, holders, strict=True)
            found.append(ProductYear(product, tier, [MonthEnd(*one) for one in ends_of]))
    return found


# At one moment: begun, neither closed nor over.
_GIVEN: Final = """
    CAST(SUM(CASE WHEN starts_at <= :{at} AND ends_at > :{at}
        AND (closed_at IS NULL OR closed_at > :{at}) THEN seats ELSE 0 END) AS bigint)
"""
_SOLD: Final = """
    CAST(SUM(CASE WHEN starts_at <= :{at} AND (ends_at IS NULL OR ends_at > :{at})
        THEN seats ELSE 0 END) AS bigint)
"""
_TAKEN: Final = """
    SUM(CASE WHEN starts_at <= :{at} AND (closed_at IS NULL OR closed_at > :{at})
        THEN 1 ELSE 0 END)
"""


def _at_each(
    book: Book, tables: Tables, projection: Projection, column: str, params: Params, of: str = ""
) -> dict[tuple[str, str | None], list[int]]:
    columns = ", ".join(column.format(at=name) for name in params)
    table = of or projection.table
    select = f"SELECT product, tier, {columns} FROM {table} GROUP BY product, tier"  # noqa: S608
    rows = read(book, tables, projection, select, params).rows
    return {(product, tier): list(counts) for product, tier, *counts in rows}


_ISSUED: Final = """
    SELECT issued_at / :day, COUNT(*) FROM keyfold_key_list_2
    WHERE ended_by = 0 AND replaces IS NULL AND issued_at >= :since{of} GROUP BY 1
"""
_REDEEMED: Final = """
    SELECT redeemed_at / :day, COUNT(*) FROM keyfold_key_list_2
    WHERE ended_by = 0 AND replaced_by IS NULL AND redeemed_at >= :since{of} GROUP BY 1
"""
# What is over by now is over, whatever end was announced.
_AT_STRIPE: Final = """
    FROM keyfold_stripe_spans_1 WHERE announced_end >= :since AND announced_end < :until
        AND (ends_at IS NULL OR ends_at > :since) GROUP BY 1
"""
_ENDING_AT_STRIPE: Final = f"SELECT announced_end / :day, COUNT(DISTINCT subscription) {_AT_STRIPE}"
_ENDING_SEATS_AT_STRIPE: Final = (
    f"SELECT announced_end / :day, CAST(SUM(seats) AS bigint) {_AT_STRIPE}"
)


def _by_month(
    book: Book, tables: Tables, projection: Projection, select: str, params: Params
) -> Counter[datetime]:
    found: Counter[datetime] = Counter()
    for day, count in read(book, tables, projection, select, params).rows:
        found[_month(to_moment(day * _DAY))] += count
    return found


def _month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _months(now: datetime, first: int) -> Sequence[datetime]:
    """Return the beginnings of twelve months, the first of them so many after this one."""
    return [add_months(_month(now), first + number) for number in range(MONTHS)]
