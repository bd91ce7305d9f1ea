"""Which accounts have something of Stripe's on record: for what has no stream of its own yet."""

from __future__ import annotations

from ledger.book import Book
from projections.lists.catch_up import read
from projections.lists.references import Reference
from projections.lists.stores.tables import Tables
from projections.lists.timeline_table import TIMELINE

_SELECT = """
    SELECT whose.ref, MIN(whose.position)
    FROM keyfold_timeline_2 AS reports
    JOIN keyfold_timeline_2 AS whose ON whose.position = reports.position
    WHERE reports.ref = :ref
        AND reports.event IN (
            'stripe.subscription_reported', 'stripe.charge_reported', 'stripe.invoice_reported'
        )
        AND whose.ref LIKE 'account:%'
    GROUP BY whose.ref
"""


def stripe_holders(book: Book, tables: Tables, id: str) -> list[str]:
    """Return the accounts that Stripe reported an object on, the first one first.

    Before objects of Stripe had streams of their own, one could be reported on several accounts.
    """
    rows = read(book, tables, TIMELINE, _SELECT, {"ref": str(Reference("stripe", id))}).rows
    return [Reference.of(row[0]).id for row in sorted(rows, key=lambda row: row[1])]
