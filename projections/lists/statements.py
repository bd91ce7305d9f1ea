"""A reseller's month: keys issued, redeemed, revoked and lapsed, by what they give.

    2026-03   cloud_pos        12 months   issued 40 (120 seats)  redeemed 22  revoked 1  lapsed 0
              integrations growth 12 months issued 5 (10 seats)   redeemed 0   revoked 0  lapsed 2

What a key's event belongs to is the month of the latest time that was recorded up to it, among the
reseller's own: so nothing that is recorded later, by whatever clock, changes a month that is over.
Its own are those of keys that it has just before or just after them, so that a key which it is
given later brings nothing from before with it.
A key counts for the reseller that has it at that moment, with the terms it has then. A new code in
place of another is neither issued nor revoked; lapsed are those whose time was over in the month,
and that had not been redeemed, revoked or amended by its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, NamedTuple

from ledger import codec
from ledger.book import Book, LedgerUnavailable
from ledger.events import AnyEvent
from ledger.reseller_names import folded
from ledger.streams.key import (
    KEY,
    Key,
    KeyImportedAgain,
    KeyIssued,
    KeyRedeemed,
    KeyRevoked,
    stream_id,
)
from projections.answer import Answer, Count, Position, ProductId, doc
from projections.lists.catch_up import read
from projections.lists.keys import KEY_LIST
from projections.lists.stores.tables import Tables

MONTH: Final = r"[2-9][0-9]{3}-(0[1-9]|1[0-2])"
_KEYS_AT_ONCE: Final = 2_000
_EVER_ITS_OWN: Final = "SELECT DISTINCT id FROM keyfold_key_list_2 WHERE reseller_id = :reseller_id"


class StatementLine(Answer, frozen=True):
    """Keys that give the same."""

    product: ProductId
    tier: Annotated[str | None, doc(None, "growth")]
    months: Annotated[Count, doc(None, 12)]
    issued: Annotated[Count, doc("Keys.", 40)]
    seats: Annotated[Count, doc("Of all keys issued.", 120)]
    redeemed: Annotated[Count, doc(None, 22)]
    revoked: Annotated[Count, doc(None, 1)]
    lapsed: Annotated[Count, doc(None, 0)]


class StatementTotals(Answer, frozen=True):
    """The sums of the lines."""

    issued: Annotated[Count, doc(None, 40)]
    seats: Annotated[Count, doc(None, 120)]
    redeemed: Annotated[Count, doc(None, 22)]
    revoked: Annotated[Count, doc(None, 1)]
    lapsed: Annotated[Count, doc(None, 0)]


class ResellerStatement(Answer, frozen=True):
    """What happened to a reseller's keys in a month of UTC."""

    reseller: Annotated[str, doc(None, "Harbour Systems")]
    month: Annotated[str, doc(None, "2026-03")]
    position: Annotated[Position, doc("Of the last event of its keys up to the month's end.")]
    lines: list[StatementLine]
    totals: StatementTotals


class _Place(NamedTuple):
    product: str
    tier: str | None
    months: int


def statement(
    book: Book, tables: Tables, name: str, month: str, now: datetime
) -> ResellerStatement:
    """Return what happened to a reseller's keys in a month; so far, if it is not over.

    Args:
        name: as it is to be shown.
        month: as `MONTH` has it.
    """
    start, end = _bounds(month)
    counts: Counter[tuple[_Place, str]] = Counter()
    keys: dict[str, Key] = {}
    reached, position = start.min.replace(tzinfo=UTC), 0
    for event in _events(book, tables, folded(name)):
        before = keys.get(event.stream)
        after = KEY.fold(before, [event])
        assert after is not None
        if any(one is not None and one.belongs_to(name) for one in (before, after)):
            reached = max(reached, event.recorded_at)
            if reached >= end:
                break
        keys[event.stream] = after
        owned = before if before is not None and not _begins(event) else after
        if not owned.belongs_to(name):
            continue
        position = event.position
        what = _what(event)
        if what is not None and reached >= start:
            counts[_place(owned), what] += 1
            if what == "issued":
                counts[_place(owned), "seats"] += owned.issued.seats
    for key in keys.values():
        redeem_by = key.issued.redeem_by
        is_over = redeem_by is not None and start <= redeem_by < end and redeem_by <= now
        if is_over and key.status(end) == "lapsed" and key.belongs_to(name):
            counts[_place(key), "lapsed"] += 1
    return _statement(name, month, position, counts)


def _statement(
    name: str, month: str, position: int, counts: Counter[tuple[_Place, str]]
) -> ResellerStatement:
    fields = StatementTotals.__struct_fields__
    places = sorted({place for place, _ in counts}, key=lambda one: (one[0], one[1] or "", one[2]))
    lines = [StatementLine(*place, *(counts[place, what] for what in fields)) for place in places]
    totals = StatementTotals(*(sum(getattr(line, what) for line in lines) for what in fields))
    return ResellerStatement(name, month, position, lines, totals)


def _bounds(month: str) -> tuple[datetime, datetime]:
    year, number = map(int, month.split("-"))
    start = datetime(year, number, 1, tzinfo=UTC)
    if (year, number) == (9999, 12):
        return start, datetime.max.replace(tzinfo=UTC)
    return start, datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _events(book: Book, tables: Tables, reseller_id: str) -> list[AnyEvent]:
    """Return the events of all keys that were ever the reseller's, in order of position.

    They end where the list of keys ends: which are its own by a later event, nobody can tell yet.

    Raises:
        LedgerUnavailable: the server that was asked has not come to that position.
    """
    params = {"reseller_id": reseller_id}
    listed = read(book, tables, KEY_LIST, _EVER_ITS_OWN, params)
    ids = sorted(row[0] for row in listed.rows)
    found = [event for part in _parts(ids) for event in _histories(book, part, listed.position)]
    return sorted(found, key=lambda event: event.position)


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _KEYS_AT_ONCE):
        yield ids[start : start + _KEYS_AT_ONCE]


def _histories(book: Book, ids: Sequence[str], upto: int) -> Iterator[AnyEvent]:
    head, rows = book.store.read_streams({KEY.name(stream_id(id)): 0 for id in ids})
    if head < upto:
        raise LedgerUnavailable(f"this server lacks events up to {upto}")
    return (codec.decode(row) for row in rows if row.position <= upto)


def _begins(event: AnyEvent) -> bool:
    return isinstance(event.fact, KeyIssued | KeyImportedAgain)


def _what(event: AnyEvent) -> str | None:
    match event.fact:
        case KeyIssued(replaces=None) | KeyImportedAgain():
            return "issued"
        case KeyRedeemed(redeemed_at=None):
            return "redeemed"
        case KeyRevoked():
            return "revoked"
    return None


def _place(key: Key) -> _Place:
    issued = key.issued
    return _Place(issued.product, issued.tier, issued.months)
