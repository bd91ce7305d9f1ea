"""A reseller's month: keys issued, redeemed, revoked and lapsed, by what they give.

    2026-03   cloud_pos        12 months   issued 40 (120 seats)  redeemed 22  revoked 1  lapsed 0
              integrations growth 12 months issued 5 (10 seats)   redeemed 0   revoked 0  lapsed 2

What happened to a key is told in the month in which it was decided. Once a month that was over has
been told, that is on record (`StatementMade`) and what it says for ever: an event that comes later,
and was decided in it by whatever clock, is told in the first month after it that nobody had been
told. So each is told once, and a clock that is wrong takes no other's along.

A key counts for the reseller that has it at that moment, with the terms it has then. An amendment
takes back what was issued and issues what the key is since, in its own month; to another reseller,
if the key becomes that one's: so `issued` and `seats` of all months together are what the keys are.
A new code in place of another is neither issued nor revoked. Lapsed are those whose time was over
in the month, and that had been neither redeemed, revoked nor given more time by its end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Final, NamedTuple

from msgspec.structs import astuple

from ledger import codec, months
from ledger.book import Book, LedgerUnavailable
from ledger.events import AnyEvent
from ledger.reseller_names import folded
from ledger.streams.key import (
    KEY,
    Key,
    KeyAmended,
    KeyImportedAgain,
    KeyIssued,
    KeyRedeemed,
    KeyRevoked,
    stream_id,
)
from ledger.streams.reseller import KeysOfMonth, Reseller, StatementMade
from projections.answer import Answer, Count, Position, ProductId, doc
from projections.lists.catch_up import read
from projections.lists.keys import KEY_LIST
from projections.lists.stores.tables import Tables

MONTH: Final = r"[2-9][0-9]{3}-(0[1-9]|1[0-2])"
_KEYS_AT_ONCE: Final = 1_000
_EVER_ITS_OWN: Final = "SELECT DISTINCT id FROM keyfold_key_list_2 WHERE reseller_id = :reseller_id"
_BELOW_ZERO: Final = "Below zero where more was amended away than was issued."


class StatementLine(Answer, frozen=True):
    """Keys that give the same."""

    product: ProductId
    tier: Annotated[str | None, doc(None, "growth")]
    months: Annotated[Count, doc(None, 12)]
    issued: Annotated[int, doc(f"Keys. {_BELOW_ZERO}", 40)]
    seats: Annotated[int, doc("Of all keys issued, as amended in the month.", 120)]
    redeemed: Annotated[Count, doc(None, 22)]
    revoked: Annotated[Count, doc(None, 1)]
    lapsed: Annotated[Count, doc(None, 0)]


class StatementTotals(Answer, frozen=True):
    """The sums of the lines."""

    issued: Annotated[int, doc(_BELOW_ZERO, 40)]
    seats: Annotated[int, doc(_BELOW_ZERO, 120)]
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


def statement_view(name: str, made: StatementMade) -> ResellerStatement:
    """Return a statement as it is shown.

    Args:
        name: as it is to be shown.
    """
    lines = [StatementLine(*astuple(line)) for line in made.lines]
    fields = StatementTotals.__struct_fields__
    totals = StatementTotals(*(sum(getattr(line, what) for line in lines) for what in fields))
    return ResellerStatement(name, made.month, made.position, lines, totals)


def draw_up(
    book: Book, tables: Tables, reseller: Reseller, name: str, month: str, now: datetime
) -> StatementMade:
    """Return what happened to a reseller's keys in a month; so far, if it is not over.

    Args:
        reseller: with the statements that were made before.
        month: as `MONTH` has it.

    Raises:
        LedgerUnavailable: the server that was asked has not come to where the list of keys ends:
            which are the reseller's own by a later event, nobody can tell yet.
    """
    params = {"reseller_id": folded(name)}
    listed = read(book, tables, KEY_LIST, _EVER_ITS_OWN, params)
    drawn = _Statement(reseller, name, month, now)
    for part in _parts(sorted(row[0] for row in listed.rows)):
        for events in _histories(book, part, listed.position):
            drawn.add(events)
    return StatementMade(
        month=month, upto=listed.position, position=drawn.position, lines=drawn.lines()
    )


class _Place(NamedTuple):
    product: str
    tier: str | None
    months: int


class _Statement:
    """What a month says, as key after key is added.

    Attributes:
        position: of the last event that was told by the month's end.
    """

    def __init__(self, reseller: Reseller, name: str, month: str, now: datetime) -> None:
        self.position = 0
        self._reseller, self._name, self._month, self._now = reseller, name, month, now
        self._counts: Counter[tuple[_Place, str]] = Counter()

    def add(self, events: Sequence[AnyEvent]) -> None:
        """Add all that happened to a key, in order."""
        before: Key | None = None
        known: Key | None = None  # by what was told up to the month's end
        lapses = ""
        for event in events:
            after = KEY.fold(before, [event])
            told = self._reseller.told_in(event.occurred_at, event.position)
            if told <= self._month:
                old, known = known, KEY.fold(known, [event])
                if known is not None and (old is None or _terms_anew(event, old, known)):
                    lapses = self._lapses(known, event, told)
                if self._owns(before) or self._owns(after):
                    self.position = max(self.position, event.position)
            if told == self._month and after is not None:
                self._count(event, before, after)
            before = after
        if known is not None and lapses == self._month and self._has_lapsed(known):
            self._counts[_place(known), "lapsed"] += 1

    def _owns(self, key: Key | None) -> bool:
        return key is not None and key.belongs_to(self._name)

    def _count(self, event: AnyEvent, before: Key | None, after: Key) -> None:
        match event.fact:
            case KeyIssued(replaces=None) | KeyImportedAgain():
                self._issued(after, 1)
            case KeyAmended():
                self._issued(before, -1)
                self._issued(after, 1)
            case KeyRedeemed(redeemed_at=at) if self._owns(after):
                # A new code in place of a redeemed one is not redeemed once more.
                if at is not None and after.issued.replaces is not None:
                    return
                self._counts[_place(after), "redeemed"] += 1
            case KeyRevoked() if self._owns(after):
                self._counts[_place(after), "revoked"] += 1

    def _issued(self, key: Key | None, count: int) -> None:
        if key is not None and self._owns(key):
            self._counts[_place(key), "issued"] += count
            self._counts[_place(key), "seats"] += count * key.issued.seats

    def _lapses(self, key: Key, event: AnyEvent, told: str) -> str:
        """Return the month in which it is told that the key's time is over; "" for none."""
        redeem_by = key.issued.redeem_by
        if redeem_by is None:
            return ""
        return max(told, self._reseller.told_in(redeem_by, event.position))

    def _has_lapsed(self, key: Key) -> bool:
        redeem_by = key.issued.redeem_by
        is_over = redeem_by is not None and redeem_by <= self._now
        return is_over and self._owns(key) and key.status(months.end_of(self._month)) == "lapsed"

    def lines(self) -> tuple[KeysOfMonth, ...]:
        """Return a line for each kind of key of which there is something to tell."""
        places = {place for (place, _), count in self._counts.items() if count}
        return tuple(
            KeysOfMonth(*place, *(self._counts[place, what] for what in _COUNTED))
            for place in sorted(places, key=lambda one: (one[0], one[1] or "", one[2]))
        )


_COUNTED: Final = StatementTotals.__struct_fields__


def _terms_anew(event: AnyEvent, old: Key, new: Key) -> bool:
    """Return whether the key has another time from now on, or its time began anew."""
    return isinstance(event.fact, KeyImportedAgain) or old.issued.redeem_by != new.issued.redeem_by


def _place(key: Key) -> _Place:
    issued = key.issued
    return _Place(issued.product, issued.tier, issued.months)


# Reading


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _KEYS_AT_ONCE):
        yield ids[start : start + _KEYS_AT_ONCE]


def _histories(book: Book, ids: Sequence[str], upto: int) -> Iterator[list[AnyEvent]]:
    """Yield the events of each key up to a position, in order."""
    head, rows = book.store.read_streams({KEY.name(stream_id(id)): 0 for id in ids})
    if head < upto:
        raise LedgerUnavailable(f"this server lacks events up to {upto}")
    ordered = sorted(rows, key=attrgetter("stream", "version"))
    for _, history in groupby(ordered, key=attrgetter("stream")):
        yield [codec.decode(row) for row in history if row.position <= upto]
