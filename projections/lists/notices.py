"""Notices: what became true in a stretch of time, or will if nothing more happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from ledger.book import CLOCKS_APART_S, Book
from ledger.catalog import Catalog
from ledger.min_position import hold_to_min_position
from ledger.notice_kinds import NoticeKind
from ledger.reseller_names import folded
from ledger.store.contract import ReadOnly
from projections.answer import AccountId, Answer, Next, Position, Time, doc
from projections.lists.notices_table import TABLE, fill, filled_up_to, setting
from projections.lists.stores.tables import Params, Row, Tables, Value, to_moment, to_number
from projections.text.formatting import about, counted, day, place, seats


class NoticeView(Answer, frozen=True):
    """Something that became true, or will."""

    id: Annotated[str, doc("Always the same for this notice.", "kfn_c5nfx2ynqk7tq3bd5xw4a6bl7m")]
    kind: NoticeKind
    at: Annotated[Time, doc("When it was true and known.")]
    account: AccountId | None
    reseller: Annotated[str | None, doc("Whose key it is about, or gave it.", "Northwind")]
    subject: Annotated[
        str,
        doc(
            "A subscription, key, token or webhook; a product and its tier, where it is seats.",
            "kfsub_c5nfx2ynqk7tq3bd5xw4a6bl7m",
        ),
    ]
    summary: Annotated[
        str, doc("In one sentence.", "5 Cloud POS seats of acme end in 7 days, on 1 Mar 2027")
    ]
    facts: dict[str, Any]
    known_at: Annotated[Time, doc("When what it follows from was recorded.")]


class NoticeList(Answer, frozen=True):
    """Notices, the oldest first."""

    items: list[NoticeView]
    next: Next
    position: Position
    complete_until: Annotated[
        Time,
        doc(
            "Nothing is added up to here any more, unless by a clock that is wrong: whoever asks"
            " `from` here the next time misses nothing, and knows by its id what was there before."
        ),
    ]


class NoticeQuery(NamedTuple):
    """Which notices; None for any.

    Attributes:
        start, end: given after the one, and up to the other.
        kinds: of these; of all, if there are none.
        of_accounts: only what is about an account.
    """

    end: datetime
    start: datetime | None = None
    account: str | None = None
    reseller: str | None = None
    kinds: Sequence[str] = ()
    of_accounts: bool = False


class NoticePage(NamedTuple):
    """Some notices; `next` is where the next page goes on."""

    notices: list[NoticeView]
    next: Sequence[Any] | None
    position: int


def complete_until(end: datetime, now: datetime) -> datetime:
    """Return up to when a list that ends at a moment has all that there will ever be.

    What was written by then by other clocks, each right to the minute, has been recorded by now.
    """
    return min(end, now - timedelta(seconds=CLOCKS_APART_S))


_COLUMNS = "at, position, id, kind, subject, account, reseller, facts, known_at"


def list_notices(
    book: Book,
    tables: Tables,
    catalog: Catalog,
    query: NoticeQuery,
    *,
    after: Sequence[Any] | None = None,
    limit: int,
) -> NoticePage:
    """Return a page of the notices that fit a query, with everything recorded so far.

    Args:
        after: the `next` of the page before; None for the first.
    """
    position = _catch_up(book, tables, catalog)
    select, params = _select(query, catalog, after, limit + 1)
    rows = tables.read(select, params)
    shown = rows[:limit]
    following = shown[-1][:3] if len(rows) > limit else None
    return NoticePage([_view(row, catalog) for row in shown], following, position)


def latest_notices(
    book: Book, tables: Tables, catalog: Catalog, query: NoticeQuery, *, limit: int
) -> list[NoticeView]:
    """Return the last of the notices that fit a query, the newest first."""
    _catch_up(book, tables, catalog)
    select, params = _select(query, catalog, None, limit, "DESC")
    return [_view(row, catalog) for row in tables.read(select, params)]


def _catch_up(book: Book, tables: Tables, catalog: Catalog) -> int:
    """Have the table hold what follows from the ledger, and return up to where it does."""
    try:
        position = fill(book, tables, catalog.notices)
    except ReadOnly:  # a standby's are those that somebody asked for at the primary
        position = filled_up_to(tables, catalog.notices)
    hold_to_min_position(position)
    return position


def _select(
    query: NoticeQuery,
    catalog: Catalog,
    after: Sequence[Any] | None,
    limit: int,
    order: Literal["", "DESC"] = "",
) -> tuple[str, Params]:
    conditions = ["days = :days", "at <= :end_at"]
    params: dict[str, Value] = {
        "days": setting(catalog.notices),
        "end_at": to_number(query.end),
        "limit": limit,
    }
    for condition, name, value in (
        ("at > :start_at", "start_at", to_number(query.start)),
        ("account = :account", "account", query.account),
        ("reseller_id = :reseller_id", "reseller_id", query.reseller and folded(query.reseller)),
    ):
        if value is not None:
            conditions.append(condition)
            params[name] = value
    if len(query.kinds) == 1:
        conditions.append("kind = :kind")
        params["kind"] = query.kinds[0]
    elif query.kinds:
        # One statement however many they are: what is prepared is remembered by its text.
        conditions.append(":kinds LIKE '%,' || kind || ',%'")
        params["kinds"] = f",{','.join(query.kinds)},"
    if query.of_accounts:
        conditions.append("account IS NOT NULL")
    if after is not None:
        conditions.append("(at, position, id) > (:last_at, :last_position, :last_id)")
        params |= {"last_at": after[0], "last_position": after[1], "last_id": after[2]}
    where = " AND ".join(conditions)
    by = ", ".join(f"{column} {order}" for column in ("at", "position", "id"))
    select = f"SELECT {_COLUMNS} FROM {TABLE} WHERE {where} ORDER BY {by} LIMIT :limit"  # noqa: S608
    return select, params


def _view(row: Row, catalog: Catalog) -> NoticeView:
    at, _, id, kind, subject, account, reseller, facts, known_at = row
    told = to_moment(at)
    known = msgspec.json.decode(facts)
    text = summary(kind, subject, account, told, known, catalog)
    return NoticeView(id, kind, told, account, reseller, subject, text, known, to_moment(known_at))


def summary(
    kind: NoticeKind,
    subject: str,
    account: str | None,
    at: datetime,
    facts: dict[str, Any],
    catalog: Catalog,
) -> str:
    """Return a notice in one sentence."""
    whose = f" of {account}" if account else ""
    match kind:
        case "subscription.started" | "subscription.ended" | "subscription.unconfirmed":
            what = f"{_seats(facts, catalog)}{whose}"
            how = {
                "subscription.started": "began",
                "subscription.ended": "ended",
                "subscription.unconfirmed": "were not confirmed by Stripe: their period is over",
            }[kind]
            return f"{what} {how}"
        case "subscription.ending":
            return f"{_seats(facts, catalog)}{whose} end {_when(facts['ends_at'], at)}"
        case "seats.over" | "seats.full":
            pool = place(catalog, facts["product"], facts["tier"])
            used, held = facts["used"], facts["seats"]
            if kind == "seats.full":
                return f"All {held} {pool} seats{whose} are taken"
            return f"{pool}{whose} has {counted(used, 'holder')} for {counted(held, 'seat')}"
        case "key.lapsing":
            return f"Key {facts['key']} lapses {_when(facts['redeem_by'], at)}"
        case "key.lapsed":
            return f"Key {facts['key']} lapsed: nobody redeemed it in time"
        case "token.expiring":
            return (
                f"Token {subject} of role {facts['role']} expires {_when(facts['expires_at'], at)}"
            )
        case "allowance.low":
            pool, granted = place(catalog, facts["product"], facts["tier"]), facts["granted"]
            return f"{facts['left']} of {granted} {pool} seats are left to order"
        case "webhook.failing":
            return f"Webhook {subject} is disabled: nothing is sent to it"


def _seats(facts: dict[str, Any], catalog: Catalog) -> str:
    if facts["product"] is None:
        return "Seats"
    return seats(catalog, facts["seats"], facts["product"], facts["tier"])


def _when(text: str, at: datetime) -> str:
    ends_at = datetime.fromisoformat(text)
    return f"in {about(ends_at - at)}, on {day(ends_at)}"
