"""What people call things, folded: found by a beginning, whatever its case, dashes or accents.

    term        kind      id
    0003        account   CUST-0003          each word of a name begins a term of its own
    cust-0003   account   CUST-0003
    7k2m        code      key_c5nfx2ynqk7t…  the last four of a code
    tills       reseller  Alpine Tills

The table has one row for each thing and term, however often events name it. Free text is not in it:
that is sealed, and may be erased.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, cast

from ledger.book import Book
from ledger.events import AnyEvent
from ledger.streams.account.facts import SeatOccupied, SeatPassedOn
from ledger.streams.batch import KeysImported, KeysIssued
from ledger.streams.key import KeyAmended, KeyIssued, KeyTerms
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.stores.tables import Params, Tables

NameKind = Literal["account", "reseller", "key", "code", "batch", "holder"]
FOR_RESELLERS: Final[tuple[NameKind, ...]] = ("key", "code", "batch")
EVERY_KIND: Final[tuple[NameKind, ...]] = ("account", "reseller", "key", "code", "batch", "holder")

WORDS_MAX: Final = 6
CODE_SHOWN: Final = 4
# Letters that Unicode takes for no others with a mark, and keyboards elsewhere do not have.
_LIGATURES: Final = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ł": "l", "þ": "th"}
)
_SEPARATORS: Final = re.compile(r"[\W_]+")
_ACCOUNT_STREAMS: Final = ("account-", "attempts-")
# After every text that begins with another one, in the order of code points.
_LAST: Final = "\U0010ffff"


class Named(NamedTuple):
    """Something that is called like what was looked for.

    Attributes:
        term: the folded name, or the rest of it from a word on, that begins like it.
        id: the thing's; a key's for a code.
    """

    kind: NameKind
    term: str
    id: str


def plain(text: str) -> str:
    """Return a text as it is looked for: in whatever case and form, and without its accents.

    >>> plain("Böhm & Søn, STRAẞE 5") == plain("bohm & son, strasse 5")
    True
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(one for one in folded if not unicodedata.combining(one))
    return unicodedata.normalize("NFC", bare.casefold().translate(_LIGATURES))


def fold(text: str) -> str:
    """Return a text as names are compared: `plain`, with `-` between words."""
    return _SEPARATORS.sub("-", plain(text)).strip("-")


def named_like(
    book: Book,
    tables: Tables,
    text: str,
    *,
    kinds: Sequence[NameKind] = EVERY_KIND,
    limit: int,
) -> list[Named]:
    """Return what has a name, or a word in it, that begins with a text; at most `limit` of a kind.

    Those that are called exactly so come first.
    """
    start = fold(text)
    if not start:
        return []
    found: dict[tuple[str, str], Named] = {}
    for kind in kinds:
        params: Params = {"kind": kind, "start": start, "end": start + _LAST, "limit": limit}
        for _, term, id in read(book, tables, NAMES, _LIKE, params).rows:
            found.setdefault((kind, id), Named(kind, term, id))
    return sorted(found.values(), key=lambda one: (one.term != start, kinds.index(one.kind)))


def list_accounts(
    book: Book, tables: Tables, *, start: str = "", after: tuple[str, str] | None, limit: int
) -> tuple[list[str], tuple[str, str] | None]:
    """Return a page of the accounts that anything ever happened to, and where the next one begins.

    They come in the order of their folded names.

    Args:
        start: what the folded names begin with.
        after: the place that the page before returned; None for the first.
    """
    first, last = after or (start, "")
    params: Params = {
        "term": first, "id": last, "end": start + _LAST, "limit": limit + 1,
    }  # fmt: skip
    rows = sorted(read(book, tables, NAMES, _ACCOUNTS, params).rows)
    shown = [(term, id) for term, id in rows[:limit]]
    following = shown[-1] if len(rows) > limit else None
    return [id for _, id in shown], following


# The bounds of one range of the primary key each.
_LIKE: Final = """
    SELECT kind, term, id FROM keyfold_names_2
    WHERE kind = :kind AND term >= :start AND term < :end ORDER BY term, id LIMIT :limit
"""
_ACCOUNTS: Final = """
    SELECT term, id FROM keyfold_names_2
    WHERE kind = 'account' AND is_whole = 1 AND term < :end
        AND (term > :term OR (term = :term AND id > :id))
    ORDER BY term, id LIMIT :limit
"""
_NAME: Final = """
    INSERT INTO keyfold_names_2 (kind, term, id, is_whole, position)
    VALUES (:kind, :term, :id, :is_whole, :position)
    ON CONFLICT (kind, term, id) DO NOTHING
"""


def _write(event: AnyEvent) -> Writes:
    rows = [
        cast(Params, {**row, "position": event.position})
        for kind, name, id in _names(event)
        for row in _terms(kind, name, id)
    ]
    return Write(_NAME, rows) if rows else None


def _names(event: AnyEvent) -> Iterator[tuple[NameKind, str, str]]:
    """Return the kind, name and id of what an event may name for the first time."""
    if event.version == 1 and event.stream.startswith(_ACCOUNT_STREAMS):
        account = event.stream.partition("-")[2]
        yield "account", account, account
    match event.fact:
        case KeyIssued(key=key, masked=masked, reseller=reseller):
            yield "key", key, key
            yield "code", masked[-CODE_SHOWN:], key
            yield "reseller", reseller, reseller
        case KeyAmended(after=KeyTerms(reseller=reseller)):
            yield "reseller", reseller, reseller
        case KeysIssued(batch=batch) | KeysImported(batch=batch):
            yield "batch", batch, batch
        case SeatOccupied(holder=holder) | SeatPassedOn(holder=holder):
            yield "holder", holder, holder


def _terms(kind: NameKind, name: str, id: str) -> Iterator[dict[str, str | int]]:
    whole = fold(name)
    words = whole.split("-")
    for n in range(min(len(words), WORDS_MAX)):
        term = "-".join(words[n:])
        yield {"kind": kind, "term": term, "id": id, "is_whole": int(n == 0)}


NAMES: Final = Projection(
    name="names@2",
    table="keyfold_names_2",
    columns=("kind", "term", "id", "is_whole", "position"),
    write=_write,
    key=("kind", "term", "id"),
)
