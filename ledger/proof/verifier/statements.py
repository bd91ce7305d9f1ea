"""A reseller's statement of a month, counted again from all that happened to keys.

What happened is told in the month it was decided in; or, when that month's statement had been put
on record before it came, in the first after it of which none had been. A key counts for whoever has
it at that moment. What an amendment takes back has a minus; a new code in place of another is
nothing.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ledger.proof.verifier.exports import ExportedEvent
from ledger.proof.verifier.formats import Wrong, parse_time
from ledger.proof.verifier.subscriptions_view import readable, unknown

AGAIN = "key.imported_again@1"
COUNTED = ("issued", "seats", "redeemed", "revoked", "lapsed")
TOTAL = "TOTAL"  # in a table, in the place of a product
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


class Terms(NamedTuple):
    """What the keys of a line give, beside their seats."""

    product: str
    tier: str | None
    months: int


Counts = Mapping[tuple[Terms, str], int]


class MonthStatement(NamedTuple):
    """What a statement says; `totals` is None where it has none."""

    reseller: str
    month: str
    position: int
    counts: Counts
    totals: dict[str, int] | None


class MadeStatement(NamedTuple):
    """A statement that was put on record: `upto` is where the ledger was read to for it."""

    at: int
    upto: int
    statement: MonthStatement


class KeyState(NamedTuple):
    """A key as its events make it."""

    terms: Terms
    seats: int
    reseller: str
    redeem_by: datetime | None
    is_over: bool  # redeemed or revoked
    is_successor: bool = False  # it stands in for another


# Reading


def read_statement(name: str) -> MonthStatement:
    """Return a statement that was saved, as JSON or as a table."""
    try:
        text = Path(name).read_bytes().decode("utf-8-sig")
        found = json.loads(text) if text.lstrip().startswith("{") else of_table(text)
        statement = statement_of(found)
    except (LookupError, TypeError, ValueError):
        raise Wrong(f"{name} is no statement") from None
    return statement


def of_table(text: str) -> Any:
    """Return a table's statement as JSON has it."""
    rows = list(csv.DictReader(io.StringIO(text)))
    if {(row["reseller"], row["month"], row["position"]) for row in rows} != {
        (rows[-1]["reseller"], rows[-1]["month"], rows[-1]["position"])
    }:
        raise ValueError("rows of several statements")
    *lines, totals = [{**row, "tier": row["tier"] or None} for row in rows]
    if totals["product"] != TOTAL:
        raise ValueError("the last row has no sums")
    reseller = totals["reseller"] or ""
    if reseller[:1] == "'" and reseller[1:2] in tuple("=+-@\t\r"):
        reseller = reseller[1:]  # it was to be no formula
    return {**totals, "reseller": reseller, "lines": lines, "totals": totals}


def statement_of(found: Any) -> MonthStatement:
    """Return what JSON says.

    Raises:
        LookupError, TypeError, ValueError: it is no statement.
    """
    counts: dict[tuple[Terms, str], int] = {}
    for line in found["lines"]:
        terms = Terms(line["product"], line["tier"], whole(line["months"]))
        for what in COUNTED:
            if (terms, what) in counts:
                raise ValueError("a line is there twice")
            counts[terms, what] = whole(line[what])
    totals = found.get("totals")
    if not MONTH.fullmatch(found["month"]):
        raise ValueError("it is of no month")
    return MonthStatement(
        found["reseller"],
        found["month"],
        whole(found["position"]),
        counts,
        totals and {what: whole(totals[what]) for what in COUNTED},
    )


def whole(value: Any) -> int:
    """Return a whole number, of JSON or of a table."""
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return int(value)
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value


def folded(name: str) -> str:
    """Return what all spellings of a reseller's name have in common."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def statements_made(events: Sequence[ExportedEvent], reseller: str) -> list[MadeStatement]:
    """Return a reseller's statements that are on record, the first first."""
    found = []
    for event in events:
        is_its = event.stream == f"reseller-{folded(reseller)}"
        if is_its and event.name == "reseller.statement_made@1":
            with readable(event):
                fact = json.loads(event.state)["fact"]
                statement = statement_of({**fact, "reseller": reseller})
                found.append(MadeStatement(event.position, whole(fact["upto"]), statement))
    return found


# Counting


class Recount:
    """What a month of a reseller has to say, as event after event of keys is added.

    Attributes:
        keys: as they are; `known`: by what was told up to the month's end.
        position: of the last event of its keys that was told by then.
    """

    def __init__(self, made: Sequence[MadeStatement], reseller: str, month: str) -> None:
        self.ends = {one.statement.month: one.upto for one in made}
        self.reseller, self.month = folded(reseller), month
        self.keys: dict[str, KeyState] = {}
        self.known: dict[str, KeyState] = {}
        self.lapses: dict[str, str] = {}
        self.counts: Counter[tuple[Terms, str]] = Counter()
        self.position = 0

    def add(self, event: ExportedEvent) -> None:
        state = json.loads(event.state)
        fact, told = state["fact"], told_in(self.ends, parse_time(state["occurred_at"]), event)
        before = self.keys.get(event.stream)
        after = key_after(before, event, fact)
        if after is None:
            return
        self.keys[event.stream] = after
        if told <= self.month:
            self._know(event, fact, told)
            if self.reseller in (before and before.reseller, after.reseller):
                self.position = max(self.position, event.position)
        if told == self.month:
            for key, what, count in happened(event, fact, before, after):
                self._count(key, what, count)

    def _know(self, event: ExportedEvent, fact: dict[str, Any], told: str) -> None:
        was = self.known.get(event.stream)
        key = key_after(was, event, fact)
        if key is None:
            return
        self.known[event.stream] = key
        if was is None or event.name == AGAIN or was.redeem_by != key.redeem_by:
            over = key.redeem_by
            self.lapses[event.stream] = max(told, told_in(self.ends, over, event)) if over else ""

    def _count(self, key: KeyState, what: str, count: int) -> None:
        if key.reseller == self.reseller:
            self.counts[key.terms, what] += count

    def told(self, reseller: str, at: datetime) -> MonthStatement:
        """Return all that was counted; what was to lapse after a moment had not lapsed."""
        for stream, key in self.known.items():
            is_over = key.redeem_by is not None and key.redeem_by <= at
            if self.lapses.get(stream) == self.month and is_over and not key.is_over:
                self._count(key, "lapsed", 1)
        return MonthStatement(reseller, self.month, self.position, self.counts, None)


def recount(
    events: Sequence[ExportedEvent],
    made: Sequence[MadeStatement],
    saved: MonthStatement,
    upto: int,
    at: datetime,
) -> MonthStatement:
    """Return what a month has to say.

    Args:
        made: the statements that had been put on record before this one.
        saved: names the reseller and the month.
        upto: the last position that counts.
        at: when it was asked for.
    """
    counting = Recount(made, saved.reseller, saved.month)
    for event in events:
        if event.position <= upto and event.stream.startswith("key-"):
            with readable(event):
                counting.add(event)
    return counting.told(saved.reseller, at)


def told_in(ends: Mapping[str, int], at: datetime, event: ExportedEvent) -> str:
    """Return the month in which is told what an event says happened at a moment."""
    year, month = at.year, at.month
    while ends.get(f"{year:04}-{month:02}", event.position) < event.position:
        year, month = year + month // 12, month % 12 + 1
    return f"{year:04}-{month:02}"


def key_after(key: KeyState | None, event: ExportedEvent, fact: dict[str, Any]) -> KeyState | None:
    """Return a key as it is after an event; None for one that was not issued."""
    match event.name:
        case "key.issued@1":
            return key_of(fact["product"], fact)
        case name if name == AGAIN:
            return key and key_of(fact["product"], fact)
        case "key.amended@1":
            is_over = key is not None and key.is_over
            return key and key_of(key.terms.product, fact["after"])._replace(is_over=is_over)
        case "key.redeemed@1" | "key.revoked@1" | "key.reissued@1":
            return key and key._replace(is_over=True)
        case "key.transferred@1":
            return key
    raise unknown(event)


def key_of(product: str, fact: dict[str, Any]) -> KeyState:
    """Return a key with the terms that a fact has."""
    over = fact.get("redeem_by")
    return KeyState(
        Terms(product, fact["tier"], whole(fact["months"])),
        whole(fact["seats"]),
        folded(fact["reseller"]),
        parse_time(over) if over else None,
        is_over=False,
        is_successor=fact.get("replaces") is not None,
    )


def happened(
    event: ExportedEvent, fact: dict[str, Any], before: KeyState | None, after: KeyState
) -> Iterator[tuple[KeyState, str, int]]:
    """Yield what an event adds to a statement: to the line of which key, to what, and how much."""
    is_another = event.name == "key.issued@1" and fact.get("replaces") is not None
    if event.name == "key.amended@1" and before is not None:
        yield before, "issued", -1
        yield before, "seats", -before.seats
    if event.name in ("key.issued@1", AGAIN, "key.amended@1") and not is_another:
        yield after, "issued", 1
        yield after, "seats", after.seats
    if event.name == "key.redeemed@1" and not (fact.get("redeemed_at") and after.is_successor):
        yield after, "redeemed", 1
    if event.name == "key.revoked@1":
        yield after, "revoked", 1


# Holding one against the other


class Recounted(NamedTuple):
    """What came of a statement: what is wrong with it, what is to be said of it, and up to which
    position the ledger was read for it.
    """

    problems: list[str]
    notes: list[str]
    upto: int


def hold_statement(
    name: str,
    saved: MonthStatement,
    events: Sequence[ExportedEvent],
    head: int,
    at: datetime | None,
) -> Recounted:
    """Return what comes of a saved statement by the events of an export.

    Args:
        events: of keys, and of its reseller.
        head: the last position of the export.
        at: when the month was asked for, if it was not over then.
    """
    made = statements_made(events, saved.reseller)
    place = next((place for place, one in enumerate(made) if is_of(one, saved)), None)
    if place is None and saved.position > head:
        late = f"{name} is of position {saved.position}, and the export ends at {head}"
        return Recounted([late], [], head)
    if place is None:
        right = recount(events, made, saved, saved.position, at or datetime.now(UTC))
        note = f"{saved.month} is not on record here: counted up to position {saved.position}"
        return Recounted(list(differences(name, saved, right)), [note], saved.position)
    kept = made[place]
    right = recount(events, made[:place], saved, kept.upto, datetime.max.replace(tzinfo=UTC))
    problems = list(differences(name, saved, right))
    on_record = f"what is on record of it at position {kept.at}"
    problems += differences(on_record, kept.statement, right)
    note = (
        f"{name} ends at position {saved.position}: if it was saved before the month was over,"
        f" hold it against what was there then: keyfold audit export --to {kept.at - 1}"
    )
    return Recounted(problems, [note] if saved.position < right.position else [], kept.upto)


def is_of(made: MadeStatement, saved: MonthStatement) -> bool:
    """Return whether what is on record is of the same month."""
    return made.statement.month == saved.month


def differences(name: str, told: MonthStatement, right: MonthStatement) -> Iterator[str]:
    """Yield how a statement is not what it has to be, a sentence for each figure."""
    if told.position != right.position:
        yield f"{name} differs: the position was {told.position}, and is {right.position}"
    keys = {terms for terms, _ in {**told.counts, **right.counts}}
    for terms in sorted(keys, key=lambda one: (one.product, one.tier or "", one.months)):
        for what in COUNTED:
            was, is_now = (one.counts.get((terms, what), 0) for one in (told, right))
            if was != is_now:
                line = f"{terms.product}{' ' + terms.tier if terms.tier else ''}"
                yield (
                    f"{name} differs: {what} of {line}, {terms.months} months,"
                    f" was {was}, and is {is_now}"
                )
    for what, was in (told.totals or {}).items():
        total = sum(count for (_, of), count in told.counts.items() if of == what)
        if was != total:
            yield f"{name} differs: the sum of {what} was {was}, and its lines give {total}"
