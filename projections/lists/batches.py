"""The list of batches, newest first, and what has become of the keys of each.

Of a key and what was given in its place, one counts. A reseller's batches are those that it
ordered, and imports that have keys of its own; of each, its own keys count.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.reseller_names import folded
from ledger.sealing import Texts
from ledger.streams import batch as batches
from ledger.streams.batch import BATCH, KeysImported, KeysIssued
from ledger.streams.key import KeyImportedAgain, KeyIssued
from projections.answer import Answer, BatchId, Count, Next, Time, doc
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.keys import KEY_LIST
from projections.lists.stores.tables import Params, Row, Tables, to_moment, to_number

_AFTER_ALL = 2**63 - 1
_EVERYBODY = ""


class BatchView(Answer, frozen=True):
    """A batch, and how many of its keys are what; null for what its keys do not have in common."""

    batch: BatchId
    product: Annotated[str | None, doc(None, "cloud_pos")]
    tier: str | None
    seats: Annotated[int | None, doc("Of each key.", 5)]
    months: Annotated[int | None, doc(None, 12)]
    count: Annotated[Count, doc("Keys in all.", 100)]
    open: Annotated[Count, doc("That can be redeemed.", 60)]
    redeemed: Annotated[Count, doc(None, 30)]
    revoked: Annotated[Count, doc(None, 7)]
    lapsed: Annotated[Count, doc(None, 3)]
    reseller: Annotated[str | None, doc(None, "Harbour Systems")]
    note: Annotated[str | None, doc("What was noted with the order, for those who may read it.")]
    issued_at: Time


class BatchList(Answer, frozen=True):
    """A page of batches, the newest first."""

    items: list[BatchView]
    next: Next


class BatchPage(NamedTuple):
    """Some batches, newest first.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
        position: of the last event that the answer takes into account.
    """

    batches: list[BatchView]
    next: int | None
    position: int


def list_batches(
    book: Book,
    tables: Tables,
    now: datetime,
    texts: Texts | None,
    *,
    reseller: str | None = None,
    after: int | None = None,
    limit: int,
) -> BatchPage:
    """Return a page of batches with everything recorded so far.

    Args:
        texts: what opens notes; None for a reader who may see none.
        reseller: whose, in whatever spelling; None for all.
        after: the `next` of the page before; None for the first.
    """
    owner = _EVERYBODY if reseller is None else folded(reseller)
    params: Params = {
        "reseller_id": owner,
        "after": _AFTER_ALL if after is None else after,
        "limit": limit + 1,
    }
    result = read(book, tables, BATCH_LIST, _SELECT, params)
    found = sorted(result.rows, reverse=True)
    shown = found[:limit]
    if not shown:
        return BatchPage([], None, result.position)
    until = {**params, "last": shown[-1][0], "now": to_number(now)}
    counted = read(book, tables, KEY_LIST, _COUNT_OF_OWNER if owner else _COUNT, until).rows
    counts = {row[0]: row for row in counted}
    orders = book.load_many(BATCH, [batches.stream_id(id) for _, id in shown])
    issued = [state.issued for _, id in shown if (state := orders[batches.stream_id(id)].state)]
    notes = [one.note if one else None for one in issued]
    opened = texts.open_all(notes) if texts else [None] * len(notes)
    views = [
        _view(counts[id], order, note)
        for (_, id), order, note in zip(shown, issued, opened, strict=True)
        if id in counts
    ]
    following = shown[-1][0] if len(found) > limit else None
    return BatchPage(views, following, result.position)


def _view(row: Row, order: KeysIssued | None, note: str | None) -> BatchView:
    batch, issued_at, count, open_, redeemed, revoked, lapsed, *pairs = row
    product, tier, seats, months, reseller = (
        least if least == most else None
        for least, most in zip(pairs[::2], pairs[1::2], strict=True)
    )
    if order is not None:  # the order's own words, whatever was amended of single keys
        product, tier, reseller = order.product, order.tier, order.reseller
        seats, months = order.seats, order.months
    return BatchView(
        batch=batch,
        product=product,
        tier=tier or None,
        seats=seats,
        months=months,
        count=count,
        open=open_,
        redeemed=redeemed,
        revoked=revoked,
        lapsed=lapsed,
        reseller=reseller,
        note=note,
        issued_at=to_moment(issued_at),
    )


# Asking

_SELECT = """
    SELECT position, batch FROM keyfold_batch_list_1
    WHERE reseller_id = :reseller_id AND position < :after ORDER BY position DESC LIMIT :limit
"""
_COUNT = """
    SELECT
        batch, MIN(issued_at), COUNT(*),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NULL
            AND (redeem_by IS NULL OR redeem_by > :now) THEN 1 END),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NOT NULL THEN 1 END),
        COUNT(revoked_at),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NULL
            AND redeem_by <= :now THEN 1 END),
        MIN(product), MAX(product), MIN(COALESCE(tier, '')), MAX(COALESCE(tier, '')),
        MIN(seats), MAX(seats), MIN(months), MAX(months), MIN(reseller), MAX(reseller)
    FROM keyfold_key_list_2
    WHERE ended_at IS NULL AND replaced_by IS NULL AND batch IN (
        SELECT batch FROM keyfold_batch_list_1
        WHERE reseller_id = :reseller_id AND position < :after AND position >= :last
    )
    GROUP BY batch
"""
_COUNT_OF_OWNER = _COUNT.replace(
    "ended_at IS NULL", "reseller_id = :reseller_id AND ended_at IS NULL"
)


# Filling

_HAS_KEYS_IN = """
    INSERT INTO keyfold_batch_list_1 (reseller_id, batch, position)
    VALUES (:reseller_id, :batch, :position) ON CONFLICT (reseller_id, batch) DO NOTHING
"""


def _write(event: AnyEvent) -> Writes:
    match event.fact:
        case KeysIssued(batch=batch, reseller=reseller):
            at = event.position
            return [(_EVERYBODY, batch, at), (folded(reseller), batch, at)]
        case KeysImported(batch=batch, first_index=0):
            return [(_EVERYBODY, batch, event.position)]
        case (
            KeyIssued(derived=False, batch=batch, reseller=reseller)
            | KeyImportedAgain(batch=batch, reseller=reseller)
        ):
            params: Params = {"reseller_id": folded(reseller), "batch": batch}
            return Write(_HAS_KEYS_IN, [{**params, "position": event.position}])
    return None


BATCH_LIST = Projection(
    name="batch_list@1",
    table="keyfold_batch_list_1",
    columns=("reseller_id", "batch", "position"),
    write=_write,
    key=("reseller_id", "batch"),
    facts=frozenset({KeysIssued, KeysImported, KeyIssued, KeyImportedAgain}),
)
