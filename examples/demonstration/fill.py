"""Fill an empty ledger with a world to look at.

The world (`story`) is told through the same commands that everybody uses: first into a ledger in
memory, then all of its events into the real one, in one commit. So a ledger holds the whole world
or none of it, and of two that fill it at once one finds it filled.
"""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Final

from commands.issue_keys import IssuedKey, issue_keys
from commands.services import Services
from examples.demonstration import story
from ledger.book import Book
from ledger.events import RequestContext
from ledger.store import VersionConflict
from ledger.store.eventsourcing_adapter import StoredEvent
from ledger.streams import key
from ledger.streams.key import KEY

PRODUCTS: Final[dict[str, set[str | None]]] = {
    story.POS: {None},
    story.INTEGRATIONS: {"starter", "growth", "scale"},
}


class DemoLedgerNotEmpty(Exception):
    """The ledger holds events already."""


class NoDemoProducts(Exception):
    """The catalog lacks what the world's accounts have."""


def fill_demo(services: Services, now: datetime, *, test_clock: bool = False) -> int:
    """Fill the ledger with a world that has been going on until now; return its position.

    Raises:
        NoDemoProducts: the catalog is not the built-in one, or like it.
        DemoLedgerNotEmpty: the ledger holds events.
    """
    _expect_products(services)
    if services.book.head():
        raise DemoLedgerNotEmpty
    draft = services._replace(book=Book("memory:", test_clock=test_clock))
    story.tell(draft, now, test_clock=test_clock)
    rows = draft.book.store.read_from(0, draft.book.head())
    stored = [StoredEvent(row.stream, row.version, row.name, row.state) for row in rows]
    try:
        return services.book.store.insert_events(stored)[-1]
    except VersionConflict:
        raise DemoLedgerNotEmpty from None


def is_demo(services: Services) -> bool:
    """Return whether the ledger began with this world."""
    first = next(services.book.follow(0, 1), None)
    return first is not None and first.request_id.startswith(story.REQUEST_PREFIX)


def spare_key(services: Services, context: RequestContext) -> IssuedKey:
    """Return a key of the world that nobody has redeemed; when all are used, more are issued.

    Raises:
        NoDemoProducts: as `fill_demo`.
    """
    _expect_products(services)
    for number in itertools.count(1):
        # The first of these orders is in the story: repeated, it answers with the same codes.
        issued = issue_keys(
            services,
            context,
            story.SPARE,
            idempotency_key=story.spare_order(number),
            scope=story.SCOPE,
        )
        states = services.book.load_many(KEY, [key.stream_id(one.id) for one in issued.keys])
        for one in issued.keys:
            state = states[key.stream_id(one.id)].state
            if state is not None and state.status(context.now) == "issued":
                return one
    raise AssertionError("unreachable")


def _expect_products(services: Services) -> None:
    for id, tiers in PRODUCTS.items():
        product = services.catalog.product(id)
        if product is None or not tiers <= set(product.tier_ids):
            raise NoDemoProducts
