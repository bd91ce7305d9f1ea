"""The list of keys: one row a key, newest first.

    position  id      masked              product    reseller  issued_at   redeemed_by  …
        1207  key_q…  POS-••••-••••-7K2M  cloud_pos  north     2026-03-01  acme
        1206  key_c…  POS-••••-••••-W3AA  cloud_pos  north     2026-03-01

A key's facts occur when they are recorded, so a list as of a moment with what was known at another
holds what was recorded by the earlier of the two. One time differs: a redeemed key's new code shows
when the old one was redeemed, before it was issued itself; it is in no list from before its issue.
A key's status is never stored, since it lapses with no event.

What a key was before it was amended or transferred has a row of its own, which the event that did
it ended: a list as of a moment finds keys by what they were then.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.reseller_names import folded
from ledger.streams.key import (
    Key,
    KeyAmended,
    KeyImportedAgain,
    KeyIssued,
    KeyRedeemed,
    KeyReissued,
    KeyRevoked,
    KeyTerms,
    KeyTransferred,
    Status,
)
from projections.answer import (
    AccountId,
    Answer,
    BatchId,
    Count,
    KeyId,
    Masked,
    Next,
    ProductId,
    Seats,
    SubscriptionId,
    Time,
    doc,
)
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.stores.tables import Params, Row, Tables, Value, to_moment, to_number
from projections.views.account_at import Moment


class KeyView(Answer, frozen=True):
    """One key, as it was at the moment asked about; times are null for what had not happened."""

    id: KeyId
    masked: Masked
    product: ProductId
    tier: str | None
    seats: Seats
    months: Annotated[Count, doc(None, 12)]
    reseller: Annotated[str, doc(None, "Harbour Systems")]
    batch: BatchId
    status: Status
    issued_at: Time
    redeem_by: Time | None
    redeemed_at: Time | None
    redeemed_by: Annotated[
        AccountId | None, doc("The account that has what it gave; another one after a transfer.")
    ]
    subscription: SubscriptionId | None
    revoked_at: Time | None
    replaced_by: Annotated[str | None, doc("The key that was given instead.")]
    replaces: Annotated[str | None, doc("The key that this one was given for.")]


class KeyList(Answer, frozen=True):
    """A page of keys, the newest first."""

    items: list[KeyView]
    next: Next


class KeyQuery(NamedTuple):
    """Which keys to list; None for any.

    Attributes:
        reseller: in whatever spelling.
    """

    status: Status | None = None
    product: str | None = None
    reseller: str | None = None
    batch: str | None = None
    redeemed_by: str | None = None


class KeyPage(NamedTuple):
    """Some keys, newest first.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
        position: of the last event that the answer takes into account.
    """

    keys: list[KeyView]
    next: int | None
    moment: Moment
    position: int


def key_view(key: Key, at: datetime) -> KeyView:
    """Return one key from its loaded stream, the same as the list shows it."""
    issued = key.issued
    return KeyView(
        id=issued.key,
        masked=issued.masked,
        product=issued.product,
        tier=issued.tier,
        seats=issued.seats,
        months=issued.months,
        reseller=issued.reseller,
        batch=issued.batch,
        status=key.status(at),
        issued_at=key.issued_at,
        redeem_by=issued.redeem_by,
        redeemed_at=key.redeemed_at,
        redeemed_by=key.redeemed_by,
        subscription=key.subscription,
        revoked_at=key.revoked_at,
        replaced_by=key.replaced_by,
        replaces=issued.replaces,
    )


def list_keys(
    book: Book,
    tables: Tables,
    query: KeyQuery,
    moment: Moment,
    *,
    after: int | None = None,
    limit: int,
) -> KeyPage:
    """Return a page of the keys that fit a query at a moment, with everything recorded so far.

    Keys that are issued while somebody turns pages change none of the later ones.

    Args:
        after: the `next` of the page before; None for the first.
    """
    select, params = _select(query, moment, after, limit + 1)
    result = read(book, tables, KEY_LIST, select, params)
    found = sorted(map(_Row._make, result.rows), reverse=True)
    shown = found[:limit]
    following = shown[-1].position if len(found) > limit else None
    return KeyPage([_view(row, moment) for row in shown], following, moment, result.position)


# By reseller: keys in all, then open, redeemed, revoked, lapsed. `which` narrows it down.
KEY_COUNTS = """
    SELECT
        reseller_id,
        COUNT(*),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NULL
            AND (redeem_by IS NULL OR redeem_by > :now) THEN 1 END),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NOT NULL THEN 1 END),
        COUNT(revoked_at),
        COUNT(CASE WHEN revoked_at IS NULL AND redeemed_at IS NULL
            AND redeem_by <= :now THEN 1 END)
    FROM keyfold_key_list_2
    WHERE ended_at IS NULL AND replaced_by IS NULL {which}
    GROUP BY reseller_id
"""


class KeySet(NamedTuple):
    """Keys by whether something can be done with them; of a key and its successor, the latter.

    Attributes:
        open: the ids of those that nobody has redeemed, also in time; in the order of their issue.
        closed: the ids of those that were redeemed or revoked, and what they are.
        position: of the last event that the answer takes into account.
    """

    open: list[str]
    closed: list[tuple[str, Status]]
    position: int


def key_set(book: Book, tables: Tables, query: KeyQuery) -> KeySet:
    """Return all keys that fit a query, with everything recorded so far."""
    conditions = " AND ".join(_conditions(query, None, timed=False))
    select = (
        "SELECT position, id, redeemed_at, revoked_at FROM keyfold_key_list_2"  # noqa: S608
        f" WHERE {conditions} AND replaced_by IS NULL"
    )
    params: Params = {
        "product": query.product,
        "reseller_id": None if query.reseller is None else folded(query.reseller),
        "batch": query.batch,
        "redeemed_by": query.redeemed_by,
    }
    rows, position = read(book, tables, KEY_LIST, select, params)[::-1]
    found = KeySet([], [], position)
    for _, id, redeemed_at, revoked_at in sorted(rows):
        if redeemed_at is None and revoked_at is None:
            found.open.append(id)
        else:
            found.closed.append((id, "redeemed" if revoked_at is None else "revoked"))
    return found


class _Row(NamedTuple):
    """A row of the table; its columns in order.

    Attributes:
        reseller_id: the folded name.
        since: when the key became what the row says.
        ended_by: the position of the event that made it something else; 0 for what it is.
    """

    position: int
    id: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    reseller: str
    reseller_id: str
    batch: str
    batch_index: int
    issued_at: int
    redeem_by: int | None
    redeemed_at: int | None
    redeemed_by: str | None
    subscription: str | None
    revoked_at: int | None
    replaced_by: str | None
    replaces: str | None
    since: int
    ended_by: int
    ended_at: int | None


# Asking


def _cutoff(moment: Moment) -> datetime | None:
    """Return up to when a key's facts count; None when all do."""
    return min((at for at in (moment.as_of, moment.known_at) if at is not None), default=None)


def _select(query: KeyQuery, moment: Moment, after: int | None, limit: int) -> tuple[str, Params]:
    cutoff = _cutoff(moment)
    conditions = " AND ".join(_conditions(query, after, timed=cutoff is not None)) or "1 = 1"
    select = (
        f"SELECT {', '.join(_Row._fields)} FROM keyfold_key_list_2 WHERE {conditions}"  # noqa: S608 - all are ours
        " ORDER BY position DESC LIMIT :limit"
    )
    params: dict[str, Value] = {
        "product": query.product,
        "reseller_id": None if query.reseller is None else folded(query.reseller),
        "batch": query.batch,
        "redeemed_by": query.redeemed_by,
        "after": after,
        "limit": limit,
        "at": to_number(moment.at),
        "cutoff": to_number(cutoff),
    }
    return select, params


def _conditions(query: KeyQuery, after: int | None, *, timed: bool) -> Iterator[str]:
    # Written so that each index's own condition follows from the question's, on both databases.
    if query.product is not None:
        yield "product = :product"
    if query.reseller is not None:
        yield "reseller_id = :reseller_id"
    if query.batch is not None:
        yield "batch = :batch"
    if query.redeemed_by is not None:
        yield f"redeemed_by = :redeemed_by AND {_happened('redeemed_at', timed)}"
    if query.status is not None:
        yield from _having(query.status, timed)
    yield _UNENDED_THEN if timed else "ended_at IS NULL"
    if after is not None:
        yield "position < :after"


_UNENDED_THEN = "since <= :cutoff AND (ended_at IS NULL OR ended_at > :cutoff)"


def _having(status: Status, timed: bool) -> Iterator[str]:
    if status == "revoked":
        yield _happened("revoked_at", timed)
        return
    yield _not_yet("revoked_at", timed)
    match status:
        case "redeemed":
            yield _happened("redeemed_at", timed)
        case "issued":
            yield _not_yet("redeemed_at", timed)
            yield "(redeem_by IS NULL OR redeem_by > :at)"
        case "lapsed":
            yield _not_yet("redeemed_at", timed)
            yield "redeem_by <= :at"


def _happened(column: str, timed: bool) -> str:
    return f"{column} <= :cutoff" if timed else f"{column} IS NOT NULL"


def _not_yet(column: str, timed: bool) -> str:
    return f"({column} IS NULL OR {column} > :cutoff)" if timed else f"{column} IS NULL"


def _view(row: _Row, moment: Moment) -> KeyView:
    cutoff = _cutoff(moment)
    redeemed, revoked = _by(row.redeemed_at, cutoff), _by(row.revoked_at, cutoff)
    return KeyView(
        id=row.id,
        masked=row.masked,
        product=row.product,
        tier=row.tier,
        seats=row.seats,
        months=row.months,
        reseller=row.reseller,
        batch=row.batch,
        status=_status(row, moment.at, redeemed, revoked),
        issued_at=to_moment(row.issued_at),
        redeem_by=to_moment(row.redeem_by),
        redeemed_at=to_moment(row.redeemed_at) if redeemed else None,
        redeemed_by=row.redeemed_by if redeemed else None,
        subscription=row.subscription if redeemed else None,
        revoked_at=to_moment(row.revoked_at) if revoked else None,
        replaced_by=row.replaced_by if revoked else None,
        replaces=row.replaces,
    )


def _status(row: _Row, at: datetime, redeemed: bool, revoked: bool) -> Status:
    if revoked:
        return "revoked"
    if redeemed:
        return "redeemed"
    return "lapsed" if row.redeem_by is not None and to_number(at) >= row.redeem_by else "issued"


def _by(number: int | None, cutoff: datetime | None) -> bool:
    """Return whether something had happened by the cutoff."""
    return number is not None and (cutoff is None or number <= to_number(cutoff))


# Filling
#
# Within a page all happens in order.

_REDEEM = """
    UPDATE keyfold_key_list_2
    SET redeemed_at = :redeemed_at, redeemed_by = :redeemed_by, subscription = :subscription
    WHERE id = :id AND ended_by = 0
"""
_REVOKE = """
    UPDATE keyfold_key_list_2 SET revoked_at = :revoked_at, replaced_by = :replaced_by
    WHERE id = :id AND ended_by = 0
"""
_COLUMNS = ", ".join(_Row._fields)
_KEEP_WHAT_IT_WAS = f"""
    INSERT INTO keyfold_key_list_2 ({_COLUMNS})
    SELECT {", ".join(_Row._fields[:-2])}, :position, :at
    FROM keyfold_key_list_2 WHERE id = :id AND ended_by = 0
"""  # noqa: S608 - all are ours
_AMEND = """
    UPDATE keyfold_key_list_2
    SET tier = :tier, seats = :seats, months = :months, redeem_by = :redeem_by,
        reseller = :reseller, reseller_id = :reseller_id, since = :at
    WHERE id = :id AND ended_by = 0
"""
_TRANSFER = """
    UPDATE keyfold_key_list_2 SET redeemed_by = :account, since = :at
    WHERE id = :id AND ended_by = 0
"""
_IMPORT_AGAIN = """
    UPDATE keyfold_key_list_2
    SET tier = :tier, seats = :seats, months = :months, redeem_by = :redeem_by,
        reseller = :reseller, reseller_id = :reseller_id, since = :at,
        product = :product, batch = :batch, batch_index = :index, issued_at = :at, revoked_at = NULL
    WHERE id = :id AND ended_by = 0
"""


def _write(event: AnyEvent) -> Writes:
    fact, at = event.fact, to_number(event.recorded_at)
    if isinstance(fact, KeyIssued):
        return [_inserted(fact, event.position, at)]
    id = event.stream.replace("key-", "key_", 1)
    match fact:
        case KeyRedeemed():
            redeemed: Params = {
                "id": id,
                "redeemed_at": to_number(fact.redeemed_at) if fact.redeemed_at else at,
                "redeemed_by": fact.account,
                "subscription": fact.subscription,
            }
            return Write(_REDEEM, [redeemed])
        case KeyTransferred(account=account):
            return _ended(event, id, _TRANSFER, {"account": account})
        case KeyRevoked():
            revoked: Params = {"id": id, "revoked_at": at, "replaced_by": None}
            return Write(_REVOKE, [revoked])
        case KeyReissued(replaced_by=replaced_by):
            replaced: Params = {"id": id, "revoked_at": at, "replaced_by": replaced_by}
            return Write(_REVOKE, [replaced])
        case KeyAmended(after=terms):
            return _ended(event, id, _AMEND, _terms(terms))
        case KeyImportedAgain():
            place: Params = {"product": fact.product, "batch": fact.batch, "index": fact.index}
            return _ended(event, id, _IMPORT_AGAIN, {**_terms(fact), **place})
    return None


def _ended(event: AnyEvent, id: str, sql: str, params: Params) -> tuple[Write, Write]:
    """Return what keeps a key's row as it was, and makes it what it is."""
    at = to_number(event.recorded_at)
    was: Params = {"id": id, "at": at, "position": event.position}
    return Write(_KEEP_WHAT_IT_WAS, [was]), Write(sql, [{**params, "id": id, "at": at}])


def _terms(terms: KeyTerms | KeyImportedAgain) -> dict[str, Value]:
    return {
        "tier": terms.tier,
        "seats": terms.seats,
        "months": terms.months,
        "redeem_by": to_number(terms.redeem_by),
        "reseller": terms.reseller,
        "reseller_id": folded(terms.reseller),
    }


def _inserted(fact: KeyIssued, position: int, at: int) -> Row:
    return _Row(
        position=position,
        id=fact.key,
        masked=fact.masked,
        product=fact.product,
        tier=fact.tier,
        seats=fact.seats,
        months=fact.months,
        reseller=fact.reseller,
        reseller_id=folded(fact.reseller),
        batch=fact.batch,
        batch_index=fact.index,
        issued_at=at,
        redeem_by=to_number(fact.redeem_by),
        redeemed_at=None,
        redeemed_by=None,
        subscription=None,
        revoked_at=None,
        replaced_by=None,
        replaces=fact.replaces,
        since=at,
        ended_by=0,
        ended_at=None,
    )


KEY_LIST = Projection(
    name="key_list@2",
    table="keyfold_key_list_2",
    columns=_Row._fields,
    write=_write,
    key=("position", "ended_by"),
    facts=frozenset(
        {
            KeyIssued,
            KeyAmended,
            KeyRedeemed,
            KeyTransferred,
            KeyRevoked,
            KeyReissued,
            KeyImportedAgain,
        }
    ),
)
