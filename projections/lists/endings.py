"""Subscriptions of keys that end in a time, and that nothing has renewed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from ledger.book import Book
from ledger.renewals import SubscriptionSpan, renewed
from projections.lists.catch_up import read
from projections.lists.overview_tables import SUBSCRIPTION_LIST
from projections.lists.stores.tables import Params, Tables, to_moment, to_number


class EndingSubscription(NamedTuple):
    """A subscription that ends, and that nothing has renewed."""

    account: str
    product: str
    tier: str | None
    id: str
    seats: int
    ends_at: datetime


# What ends, and what there is or was beside it: that may be its renewal, or need the same.
_ENDING: Final = """
    SELECT account, product, tier, id, position, seats, starts_at, ends_at, suspended
    FROM keyfold_subscription_list_3 AS one
    WHERE EXISTS (
        SELECT 1 FROM keyfold_subscription_list_3 AS ending
        WHERE ending.account = one.account AND ending.product = one.product
            AND ending.ends_at > :now AND ending.ends_at <= :until
    )
"""


def ending_subscriptions(
    book: Book, tables: Tables, now: datetime, until: datetime
) -> Iterator[EndingSubscription]:
    """Yield what ends after now and not after a moment, and has not been renewed; in no order."""
    params: Params = {"now": to_number(now), "until": to_number(until)}
    rows = read(book, tables, SUBSCRIPTION_LIST, _ENDING, params).rows
    spans = [
        SubscriptionSpan(
            *(id, tuple(place), position, seats),
            *(to_moment(starts), to_moment(ends), bool(suspended)),
        )
        for *place, id, position, seats, starts, ends, suspended in rows
    ]
    followed = renewed(spans)
    for (account, product, tier, *_), span in zip(rows, spans, strict=True):
        if now < span.ends_at <= until and span.id not in followed:
            yield EndingSubscription(account, product, tier, span.id, span.seats, span.ends_at)
