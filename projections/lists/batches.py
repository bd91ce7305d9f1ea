"""The list of batches, newest first, and what has become of the keys of each.

Of a key and what was given in its place, one counts. A reseller's batches are those that it
ordered, and those that have keys of its own, since they were imported so or given to it later; of
each, its own keys count. That holds for everything that is shown of a batch or done to it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.refusals import BatchNotFound
from ledger.reseller_names import folded
from ledger.sealing import Texts
from ledger.streams import batch as batches
from ledger.streams.batch import BATCH, Batch, KeysImported, KeysIssued
from ledger.streams.key import KeyImportedAgain, KeyIssued
from projections.answer import Answer, BatchId, Count, Next, Time, doc
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.keys import KEY_LIST
from projections.lists.stores.tables import Params, Row, Tables, to_number

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
    result = read(book, tables, BATCH_LIST, _ALL, params)
    if owner:  # the one table is up to date now; this brings the other up, and asks both
        result = read(book, tables, KEY_LIST, _OWNED, params)
    found = sorted(result.rows, reverse=True)
    shown = found[:limit]
    if not shown:
        return BatchPage([], None, result.position)
    until = {**params, "last": shown[-1][0], "now": to_number(now)}
    counted = read(book, tables, KEY_LIST, _COUNT_OF_OWNER if owner else _COUNT, until).rows
    counts = {row[0]: row for row in counted}
    loaded = book.load_many(BATCH, [batches.stream_id(id) for _, id in shown])
    states = [
        state for _, id in shown if (state := loaded[batches.stream_id(id)].state) is not None
    ]
    orders = [one.issued if one.belongs_to(reseller) else None for one in states]
    notes = [one.note if one else None for one in orders]
    opened = texts.open_all(notes) if texts else [None] * len(notes)
    views = [
        _view(batch, counts.get(batch.id) or _without_keys(batch), order, note)
        for batch, order, note in zip(states, orders, opened, strict=True)
        if order is not None or batch.id in counts
    ]
    following = shown[-1][0] if len(found) > limit else None
    return BatchPage(views, following, result.position)


def owned_batch(book: Book, tables: Tables, id: str, reseller: str | None) -> Batch:
    """Return a batch that a reseller, or the vendor (None), may see and touch.

    Raises:
        BatchNotFound: there is none, or it is another reseller's.
    """
    batch = book.load(BATCH, batches.stream_id(id)).state
    if batch is None or not (
        batch.belongs_to(reseller) or has_keys(book, tables, batch.id, reseller)
    ):
        raise BatchNotFound
    return batch


def has_keys(book: Book, tables: Tables, id: str, reseller: str | None) -> bool:
    """Return whether keys of a batch are a reseller's now, whoever ordered it."""
    if reseller is None:
        return False
    params: Params = {"batch": id, "reseller_id": folded(reseller)}
    return bool(read(book, tables, KEY_LIST, _HAS_KEYS, params).rows)


def _without_keys(batch: Batch) -> Row:
    """Return how many keys a batch has for a reseller that ordered it and has none of them now."""
    return (batch.id, *[0] * 5, *[None] * 10)


def _view(batch: Batch, row: Row, order: KeysIssued | None, note: str | None) -> BatchView:
    _, count, open_, redeemed, revoked, lapsed, *pairs = row
    product, tier, seats, months, reseller = (
        least if least == most else None
        for least, most in zip(pairs[::2], pairs[1::2], strict=True)
    )
    if order is not None:  # the order's own words, whatever was amended of single keys
        product, tier, reseller = order.product, order.tier, order.reseller
        seats, months = order.seats, order.months
    return BatchView(
        batch=batch.id,
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
        # Of the order, or the first import: a key that was reissued since is a new one.
        issued_at=batch.recorded_at,
    )


# Asking

_LISTED = """
    SELECT position, batch FROM keyfold_batch_list_1
    WHERE reseller_id = :reseller_id AND position < :after
"""
# Those that it ordered or imported, and those with keys that were given to it later.
_LISTED_OF_OWNER = f"""
    {_LISTED} UNION ALL
    SELECT came.position, came.batch FROM keyfold_batch_list_1 AS came
    WHERE came.reseller_id = '' AND came.position < :after
    AND came.batch IN (
        SELECT now.batch FROM keyfold_key_list_2 AS was
        JOIN keyfold_key_list_2 AS now ON now.id = was.id AND now.ended_by = 0
        WHERE was.ended_by > 0 AND was.redeemed_at IS NULL
        AND now.reseller_id = :reseller_id AND was.reseller_id <> now.reseller_id
    )
    AND NOT EXISTS (
        SELECT 1 FROM keyfold_batch_list_1 AS known
        WHERE known.reseller_id = :reseller_id AND known.batch = came.batch
    )
"""  # noqa: S608 - all are ours
_PAGE = "SELECT position, batch FROM ({}) AS listed ORDER BY position DESC LIMIT :limit"
_ALL, _OWNED = _PAGE.format(_LISTED), _PAGE.format(_LISTED_OF_OWNER)
_HAS_KEYS = """
    SELECT 1 FROM keyfold_key_list_2
    WHERE batch = :batch AND reseller_id = :reseller_id AND ended_at IS NULL LIMIT 1
"""
_COUNT = f"""
    SELECT
        batch, COUNT(*),
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
        SELECT batch FROM ({_LISTED}) AS listed WHERE position >= :last
    )
    GROUP BY batch
"""  # noqa: S608 - all are ours
_COUNT_OF_OWNER = _COUNT.replace(_LISTED, _LISTED_OF_OWNER).replace(
    "WHERE ended_at IS NULL", "WHERE reseller_id = :reseller_id AND ended_at IS NULL", 1
)


# Filling

_ADD_WITH_KEYS = """
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
            return Write(_ADD_WITH_KEYS, [{**params, "position": event.position}])
    return None


BATCH_LIST = Projection(
    name="batch_list@1",
    table="keyfold_batch_list_1",
    columns=("reseller_id", "batch", "position"),
    write=_write,
    key=("reseller_id", "batch"),
    facts=frozenset({KeysIssued, KeysImported, KeyIssued, KeyImportedAgain}),
)
