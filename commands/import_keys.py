"""Take in activation codes that were issued elsewhere.

    code,product,tier,seats,months,reseller,redeem_by
    POS-2345-ABCD-WXYZ,cloud_pos,,5,12,Northwind,2027-12-31
    int-2345-abcd-wxyz,integrations,growth,2,12,"Northwind, North",2027-06-30T18:00:00+02:00

Each line stands for itself: one that does not fit is refused with the reason, and the others are
taken in. `redeem_by` is a moment with its zone, or a day that ends at midnight UTC, or empty.
Semicolons or tabs may stand between the fields, as the first line has them, and columns of our own
tables may stand among these. A code that was revoked since it was taken in can come in again.

The batch's id is a digest of the lines that fit, so the same file again meets its own batch: what
an interrupted run had taken in is refused as known, and the rest is added. What was taken in works
like a key of our own, but its code is known to nobody here and cannot be shown again. For the same
reason no refusal, event or log repeats a code: a line is known by its number and the masked code.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import NamedTuple

import msgspec

from commands import validation
from commands.reseller_spelling import kept_spelling
from commands.retry import retry_on_conflict
from commands.services import Services
from ledger import codes
from ledger.book import Change
from ledger.events import RequestContext
from ledger.limits import MONTHS_MAX, SEATS_MAX
from ledger.loaded import Loaded
from ledger.refusals import FieldError, InvalidRequest
from ledger.reseller_names import folded
from ledger.streams import batch, key
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY, Key, KeyImportedAgain, KeyIssued

COLUMNS = ("code", "product", "tier", "seats", "months", "reseller", "redeem_by")
# What our own tables of keys have beside: it is passed over.
PASSED_OVER = frozenset(
    {
        *("id", "masked", "batch", "note", "status", "issued_at", "redeemed_at", "redeemed_by"),
        *("subscription", "revoked_at", "replaced_by", "replaces"),
    }
)
DELIMITERS = ",;\t"
CHUNK_LINES = 1_000
HEADER_COLUMNS_MAX = 100


class RefusedLine(NamedTuple):
    """A line that was not taken in.

    Attributes:
        line_number: in the file, from 1; the header is a line, too.
        masked: what may be shown of the code; None when there is no code that could be masked.
        field: the column that does not fit; None when it is the line as a whole.
    """

    line_number: int
    masked: str | None
    field: str | None
    reason: str


class ImportedKeys(NamedTuple):
    """What became of a file.

    Attributes:
        batch: the file's batch, also when an earlier run made it; None when there is none.
        accepted: how many keys this run added.
        refused: in the order of the file.
        position: the ledger's, with all of this recorded.
    """

    batch: str | None
    accepted: int
    refused: list[RefusedLine]
    position: int


class KeyLine(NamedTuple):
    """A line that fits by itself; its code is forgotten already."""

    number: int
    key: str
    masked: str
    product: str
    tier: str | None
    seats: int
    months: int
    reseller: str
    redeem_by: datetime | None

    def refused(self, field: str, reason: str) -> RefusedLine:
        """Return the line as refused: its number and masked code, with what is wrong where."""
        return RefusedLine(self.number, self.masked, field, reason)


class _TakenIn(NamedTuple):
    """What became of some lines, and whether their batch exists now."""

    accepted: int
    refused: list[RefusedLine]
    position: int
    batch_exists: bool


def import_keys(
    services: Services,
    context: RequestContext,
    lines: Iterable[str],
    *,
    check: bool = False,
    on_line: Callable[[], object] = lambda: None,
) -> ImportedKeys:
    """Take in a CSV file of codes, a thousand lines in one commit, and return what became of it.

    Args:
        check: only say what would become of it.
        lines: of the file, with or without their ends, the header first; its columns may come in
            any order.
        on_line: called once for each line below the header that is not blank, to show progress.

    Raises:
        InvalidRequest: the header is not the one above, or the file is not UTF-8; nothing was
            taken in.
    """
    fitting: dict[str, KeyLine] = {}
    refused: list[RefusedLine] = []
    for line, _fields in read_lines(services, lines):
        if isinstance(line, RefusedLine):
            refused.append(line)
        elif line.key in fitting:
            refused.append(line.refused("code", f"repeats line {fitting[line.key].number}"))
        else:
            fitting[line.key] = line
            continue
        on_line()
    batch_id = _batch_id(services, fitting.values())
    accepted, position, batch_exists = 0, services.book.head(), False
    for chunk in _chunks(list(fitting.values())):
        taken = retry_on_conflict(
            partial(_take_in, services, context, batch_id, chunk, check=check)
        )
        accepted += taken.accepted
        refused += taken.refused
        position, batch_exists = taken.position, taken.batch_exists
        for _ in chunk:
            on_line()
    return ImportedKeys(batch_id if batch_exists else None, accepted, sorted(refused), position)


def _take_in(
    services: Services,
    context: RequestContext,
    batch_id: str,
    chunk: list[KeyLine],
    *,
    check: bool,
) -> _TakenIn:
    loaded = services.book.load(BATCH, batch.stream_id(batch_id))
    known = services.book.load_many(KEY, [key.stream_id(line.key) for line in chunk])
    new: list[KeyLine] = []
    refused: list[RefusedLine] = []
    for line in chunk:
        there = known[key.stream_id(line.key)].state
        if there is not None and not key.may_come_in_again(there):
            refused.append(line.refused("code", "already in the ledger"))
        elif line.redeem_by is not None and line.redeem_by <= context.now:
            refused.append(line.refused("redeem_by", "must be in the future"))
        else:
            new.append(line)
    if check:
        return _TakenIn(len(new), refused, loaded.head, batch_exists=loaded.state is not None)
    if not new:
        return _TakenIn(0, refused, loaded.head, batch_exists=loaded.state is not None)
    imported = batch.take_in(loaded.state, batch_id, len(new))
    kept = spellings(services, new)
    appended = services.book.append(
        context,
        Change(loaded, [imported]),
        *(
            Change(
                known[key.stream_id(line.key)],
                [_fact(line, known, batch_id, index, kept[folded(line.reseller)])],
                causation=loaded.next_event,
            )
            for index, line in enumerate(new, start=imported.first_index)
        ),
    )
    return _TakenIn(len(new), refused, appended.position, batch_exists=True)


def _fact(
    line: KeyLine,
    known: Mapping[str, Loaded[Key | None]],
    batch_id: str,
    index: int,
    reseller: str,
) -> KeyIssued | KeyImportedAgain:
    if known[key.stream_id(line.key)].state is not None:
        return KeyImportedAgain(
            batch=batch_id,
            index=index,
            product=line.product,
            tier=line.tier,
            seats=line.seats,
            months=line.months,
            reseller=reseller,
            redeem_by=line.redeem_by,
        )
    return issued(line, batch_id, index, reseller)


def issued(line: KeyLine, batch_id: str, index: int, reseller: str) -> KeyIssued:
    """Return the fact that a line's key is there.

    Args:
        index: its place in the batch.
        reseller: as its name is spelled.
    """
    return KeyIssued(
        key=line.key,
        masked=line.masked,
        batch=batch_id,
        index=index,
        generation=0,
        derived=False,
        product=line.product,
        tier=line.tier,
        seats=line.seats,
        months=line.months,
        reseller=reseller,
        redeem_by=line.redeem_by,
    )


def spellings(services: Services, lines: Iterable[KeyLine]) -> dict[str, str]:
    """Return how the lines' resellers are spelled, by their folded names."""
    kept: dict[str, str] = {}
    for line in lines:
        id = folded(line.reseller)
        kept[id] = kept.get(id) or kept_spelling(services, line.reseller)
    return kept


def _batch_id(services: Services, lines: Iterable[KeyLine]) -> str:
    content = (msgspec.json.encode(line._replace(number=0)).decode() for line in lines)
    return "bat_" + codes.digest(services.request_key, "import", *content)


def _chunks(lines: list[KeyLine]) -> Iterator[list[KeyLine]]:
    for start in range(0, len(lines), CHUNK_LINES):
        yield lines[start : start + CHUNK_LINES]


# Reading


def read_lines(
    services: Services, lines: Iterable[str], more: Sequence[str] = ()
) -> Iterator[tuple[KeyLine | RefusedLine, dict[str, str]]]:
    """Yield each line below the header that is not blank, and its fields by their columns.

    Args:
        more: columns that the file has beside.

    Raises:
        InvalidRequest: as `import_keys`.
    """
    columns: list[str] | None = None
    for number, fields in csv_rows(lines, COLUMNS):
        if columns is None:
            columns = _columns(fields, [*COLUMNS, *more])
        elif fields is None:
            yield RefusedLine(number, None, None, "is not a line of CSV: look at its quotes"), {}
        elif len(fields) != len(columns):
            reason = f"has {len(fields)} fields, but the header has {len(columns)}"
            yield RefusedLine(number, None, None, reason), {}
        else:
            named = dict(zip(columns, fields, strict=True))
            yield _checked(services, number, named), named
    if columns is None:
        _columns([], [*COLUMNS, *more])


def csv_rows(lines: Iterable[str], names: Sequence[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Return the lines that are not blank, split; None for one that cannot be.

    Each line is split by itself, since no field of ours has lines: so a quote that is not closed
    spoils one line and not all that follow.

    Args:
        names: of columns, by which it is known what stands between the fields.

    Raises:
        InvalidRequest: the file is not UTF-8.
    """
    try:
        delimiter = None
        for number, line in enumerate(lines, start=1):
            text = line.rstrip("\r\n")
            text = text.removeprefix("\ufeff") if number == 1 else text
            delimiter = delimiter or (_delimiter(text, names) if text.strip() else None)
            fields = _split(text, delimiter or ",")
            if fields is None or any(fields):
                yield number, fields
    except UnicodeDecodeError:
        # Not chained: the error holds the bytes that could not be read, codes and all.
        raise InvalidRequest(FieldError("/file", "must be text in UTF-8")) from None


def _delimiter(header: str, names: Sequence[str]) -> str:
    """Return what stands between the fields: what makes most columns of the first line."""

    def columns(delimiter: str) -> int:
        return sum(name.lower() in names for name in _split(header, delimiter) or ())

    return max(DELIMITERS, key=columns)


def _split(line: str, delimiter: str) -> list[str] | None:
    try:
        reader = csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True)
        fields = next(reader, [])
    except csv.Error:
        return None
    return [field.strip(" ") for field in fields]


def _columns(fields: list[str] | None, wanted: Sequence[str]) -> list[str]:
    """Return the header's columns.

    Raises:
        InvalidRequest: one is unknown, repeated or missing, or there are far too many.
    """
    columns = [field.lower() for field in fields or ()]
    if len(columns) > HEADER_COLUMNS_MAX:
        known = ", ".join(wanted)
        problem = f"has {len(columns)} columns in its first line: they are {known}"
        raise InvalidRequest(FieldError("/file", problem))
    errors = []
    for place, column in enumerate(columns, start=1):
        if column not in wanted and column not in PASSED_OVER:
            pointer = f"/{column}" if _may_be_shown(column) else f"/column {place}"
            errors.append(FieldError(pointer, f"is no column: they are {', '.join(wanted)}"))
        elif column in columns[: place - 1]:
            errors.append(FieldError(f"/{column}", "is in the header twice"))
    errors += [
        FieldError(f"/{column}", "is missing from the header")
        for column in wanted
        if column not in columns
    ]
    validation.refuse_if(errors)
    return columns


def _may_be_shown(column: str) -> bool:
    """Return whether a heading is one: in a file without a header it may well be a code."""
    return bool(re.fullmatch(r"[a-z_ ]{1,40}", column)) and not codes.resembles_code(column)


def _checked(services: Services, number: int, fields: dict[str, str]) -> KeyLine | RefusedLine:
    code = codes.parse(fields["code"], services.catalog.prefixes)
    if code is None:
        reason = "must be PREFIX-XXXX-XXXX-XXXX over A–Z and 2–9, with the prefix of a product"
        return RefusedLine(number, None, "code", reason)
    masked = codes.mask(code)
    tier = fields["tier"] or None
    try:
        validation.refuse_if(_errors(services, code, fields, tier))
        redeem_by = read_time("/redeem_by", fields["redeem_by"])
    except InvalidRequest as refusal:
        error = refusal.errors[0]
        return RefusedLine(number, masked, error.pointer.removeprefix("/"), error.detail)
    return KeyLine(
        number=number,
        key=services.codes.key_id(code),
        masked=masked,
        product=fields["product"],
        tier=tier,
        seats=int(fields["seats"]),
        months=int(fields["months"]),
        reseller=fields["reseller"],
        redeem_by=redeem_by,
    )


def _errors(
    services: Services, code: str, fields: dict[str, str], tier: str | None
) -> Iterator[FieldError]:
    product = services.catalog.product(fields["product"])
    if product is not None and product.prefix != codes.prefix_of(code):
        yield FieldError("/product", f"has codes that begin with {product.prefix}-")
    yield from validation.product_and_tier(services.catalog, fields["product"], tier)
    yield from _number("/seats", fields["seats"], SEATS_MAX)
    yield from _number("/months", fields["months"], MONTHS_MAX)
    yield from validation.name(services, "/reseller", fields["reseller"])


def _number(pointer: str, text: str, largest: int) -> list[FieldError]:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return [FieldError(pointer, f"must be a whole number from 1 to {largest}")]
    return validation.within(pointer, int(text), largest)


def read_time(pointer: str, text: str, *, starts: bool = False) -> datetime | None:
    """Return a moment, or a day as its end; None for an empty text.

    Args:
        starts: a day stands for its beginning.

    Raises:
        InvalidRequest: neither; or a moment without its zone.
    """
    if not text:
        return None
    try:
        if "T" not in text.upper():
            day = msgspec.convert(text, date)
            return datetime.combine(day, time.min, UTC) + timedelta(days=0 if starts else 1)
        at = msgspec.convert(text, datetime)
    except (ValueError, OverflowError):
        shape = "must be a day as 2027-12-31, or a moment as 2027-12-31T18:00:00Z"
        raise InvalidRequest(FieldError(pointer, shape)) from None
    return validation.utc(pointer, at)
