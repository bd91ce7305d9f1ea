"""The list of Stripe's subscriptions: which there are, and whose.

It is where reconciling, mapping prices again and billing seats begin to look; what they find there
is held against the account's own stream before anything is done.
"""

from __future__ import annotations

from typing import NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe.facts import StripePricesMapped, StripeSubscriptionReported
from projections.lists.catch_up import Projection, Write, read
from projections.lists.stores.tables import Tables

PAGE_ROWS = 500


class Listed(NamedTuple):
    """A Stripe subscription that was ever reported.

    Attributes:
        account: None while nobody knows whose it is.
        unmapped: a price of it meant nothing when it was reported.
        billed: its seats are billed by the number of holders.
    """

    position: int
    stripe_subscription: str
    customer: str | None
    account: str | None
    unmapped: bool
    billed: bool


_SELECT = """
    SELECT position, stripe_subscription, customer, account, unmapped, billed
    FROM keyfold_stripe_list_1 WHERE position > :after ORDER BY position LIMIT :limit
"""


def list_stripe(book: Book, tables: Tables) -> list[Listed]:
    """Return every Stripe subscription that the ledger has heard of, the oldest first."""
    return stripe_list(book, tables)[1]


def stripe_list(book: Book, tables: Tables) -> tuple[int, list[Listed]]:
    """Return as `list_stripe`, with the position that it is of."""
    found: list[Listed] = []
    position: int | None = None
    while True:
        after = found[-1].position if found else 0
        result = read(book, tables, STRIPE_LIST, _SELECT, {"after": after, "limit": PAGE_ROWS})
        position = result.position if position is None else min(position, result.position)
        page = sorted(result.rows)
        found += [Listed._make((*row[:4], bool(row[4]), bool(row[5]))) for row in page]
        if len(page) < PAGE_ROWS:
            return position, found


# A report may come first to the customer that nobody knows, and later to the account.
_REPORT = """
    INSERT INTO keyfold_stripe_list_1 (
        position, stripe_subscription, customer, account, unmapped, billed
    ) VALUES (:position, :stripe_subscription, :customer, :account, :unmapped, :billed)
    ON CONFLICT (stripe_subscription) DO UPDATE SET
        customer = COALESCE(excluded.customer, keyfold_stripe_list_1.customer),
        account = COALESCE(excluded.account, keyfold_stripe_list_1.account),
        unmapped = CASE
            WHEN excluded.unmapped > keyfold_stripe_list_1.unmapped THEN excluded.unmapped
            ELSE keyfold_stripe_list_1.unmapped
        END,
        billed = CASE
            WHEN excluded.billed > keyfold_stripe_list_1.billed THEN excluded.billed
            ELSE keyfold_stripe_list_1.billed
        END
"""
# A price that is mapped may be of billed seats, which then have to be counted.
_MAPPED = "UPDATE keyfold_stripe_list_1 SET billed = 1 WHERE account = :account"


def _write(event: AnyEvent) -> Write | None:
    kind, _, id = event.stream.partition("-")
    account = id if kind == ACCOUNT.kind else None
    match event.fact:
        case StripeSubscriptionReported() as report:
            meanings = [item.meaning for item in report.items or ()]
            return Write(
                _REPORT,
                [
                    {
                        "position": event.position,
                        "stripe_subscription": report.stripe_subscription,
                        "customer": report.customer,
                        "account": account,
                        "unmapped": int(None in meanings),
                        "billed": int(any(meaning and meaning.billed for meaning in meanings)),
                    }
                ],
            )
        case StripePricesMapped(meanings=mapped) if any(one.billed for one in mapped.values()):
            return Write(_MAPPED, [{"account": account}])
    return None


STRIPE_LIST = Projection(
    name="stripe_list@1",
    table="keyfold_stripe_list_1",
    columns=("position", "stripe_subscription", "customer", "account", "unmapped", "billed"),
    write=_write,
    facts=frozenset({StripeSubscriptionReported, StripePricesMapped}),
)
