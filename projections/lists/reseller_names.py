"""Every spelling of a reseller's name that was recorded, and where it was recorded first."""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from ledger.book import Book
from ledger.events import AnyEvent, Fact
from ledger.reseller_names import folded
from ledger.streams.batch import KeysIssued
from ledger.streams.key import KeyAmended, KeyImportedAgain, KeyIssued
from ledger.streams.order import OrderPlaced
from ledger.streams.reseller import ResellerNamed
from ledger.streams.token import TokenCreated
from projections.lists.catch_up import Projection, Write, Writes, read
from projections.lists.keys import KEY_LIST
from projections.lists.stores.tables import Tables

# Of a name with this id, where it is a parameter: other tables have names as they were recorded.
SPELLINGS = "SELECT name FROM keyfold_reseller_names_1 WHERE id = :reseller_id"
_FIRST = """
    SELECT name FROM keyfold_reseller_names_1 WHERE id = :reseller_id
    ORDER BY position, name LIMIT 1
"""
_NAMED = "SELECT id, name FROM keyfold_reseller_names_1 ORDER BY position, name"
_HAS_KEYS = """
    SELECT 1 FROM keyfold_key_list_2
    WHERE reseller_id = :reseller_id AND ended_at IS NULL LIMIT 1
"""
NEAR_MAX = 3
_NOTE = """
    INSERT INTO keyfold_reseller_names_1 (name, id, position) VALUES (:name, :id, :position)
    ON CONFLICT (name) DO NOTHING
"""


def first_spelling(book: Book, tables: Tables, id: str) -> str | None:
    """Return how a reseller was spelled first; None if nobody has named it.

    Args:
        id: its folded name.
    """
    rows = read(book, tables, RESELLER_NAMES, _FIRST, {"reseller_id": id}).rows
    return rows[0][0] if rows else None


def names(book: Book, tables: Tables) -> dict[str, str]:
    """Return every reseller's folded name, with the spelling that was recorded first."""
    found: dict[str, str] = {}
    for id, name in read(book, tables, RESELLER_NAMES, _NAMED, {}).rows:
        found.setdefault(id, name)
    return found


class Unheard(NamedTuple):
    """A name of a reseller that has no keys.

    Attributes:
        resembles: those that have, and are spelled much like it.
    """

    name: str
    resembles: list[str]


def unheard(book: Book, tables: Tables, name: str) -> Unheard | None:
    """Return the name, with those that it may have been meant for, if no key is that reseller's."""
    if read(book, tables, KEY_LIST, _HAS_KEYS, {"reseller_id": folded(name)}).rows:
        return None
    known = names(book, tables)
    known.pop(folded(name), None)
    near = get_close_matches(folded(name), known, n=NEAR_MAX)
    return Unheard(name, [known[id] for id in near])


def note_all(book: Book, tables: Tables) -> None:
    """Bring the table up to date, for a question that another table's rows are held against it."""
    first_spelling(book, tables, "")


def _write(event: AnyEvent) -> Writes:
    name = _named(event.fact)
    if name is None:
        return None
    return Write(_NOTE, [{"name": name, "id": folded(name), "position": event.position}])


def _named(fact: Fact) -> str | None:
    match fact:
        # An order's keys bear its name.
        case KeyIssued(derived=True):
            return None
        case KeyAmended(after=terms):
            return terms.reseller
        case (
            KeysIssued(reseller=name)
            | KeyIssued(reseller=name)
            | KeyImportedAgain(reseller=name)
            | ResellerNamed(reseller=name)
            | OrderPlaced(reseller=name)
            | TokenCreated(reseller=name)
        ):
            return name
    return None


RESELLER_NAMES = Projection(
    name="reseller_names@1",
    table="keyfold_reseller_names_1",
    columns=("name", "id", "position"),
    write=_write,
    key=("name",),
    facts=frozenset(
        {
            KeysIssued,
            KeyIssued,
            KeyAmended,
            KeyImportedAgain,
            ResellerNamed,
            OrderPlaced,
            TokenCreated,
        }
    ),
)
