"""A derived table's rules change only together with its version.

A ledger that was filled by an earlier program keeps its tables, as long as they have the same name.
So what each table makes of one fixed ledger is on record, beside the version that made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.book import Book
from ledger.catalog import builtin
from ledger.store.eventsourcing_adapter import StoredEvent
from projections.audit.rebuild import PROJECTIONS, SPANS
from projections.lists import catch_up, notices_table
from projections.lists.stores import ScratchTables
from projections.lists.stripe_spans import STRIPE_CHANGED, fold_changed

GOLDEN = Path(__file__).parents[1] / "golden"
# [stream, version, name, state] a line; neither is ever changed.
LEDGER, LEDGER_OF_STRIPE = GOLDEN / "ledger.jsonl", GOLDEN / "ledger_of_stripe.jsonl"
RECORD = GOLDEN / "tables.json"
TABLES = {one.name: one.table for one in PROJECTIONS} | {
    notices_table.NAME: notices_table.TABLE, SPANS: "keyfold_stripe_spans_1",
}  # fmt: skip
OF_STRIPE = (STRIPE_CHANGED.name, SPANS)


def filled() -> Iterator[tuple[str, str]]:
    """Yield each table's name with its version, and the digest of what it holds."""
    yield from filled_from(LEDGER, [name for name in TABLES if name not in OF_STRIPE])
    yield from filled_from(LEDGER_OF_STRIPE, OF_STRIPE)


def filled_from(ledger: Path, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    stored = [
        StoredEvent(stream, version, name, state.encode())
        for stream, version, name, state in map(json.loads, ledger.read_text().splitlines())
    ]
    with closing(Book("memory:")) as book, closing(ScratchTables()) as tables:
        book.store.insert_events(stored)
        catch_up.catch_up_all(book, tables, PROJECTIONS, book.head())
        notices_table.fill(book, tables, builtin().notices)
        fold_changed(book, tables)
        for name in names:
            rows = tables.read(f"SELECT * FROM {TABLES[name]}", {})
            assert rows, f"the ledger in {ledger.name} has nothing for {name}: give it some"
            content = "\n".join(sorted(repr(tuple(row)) for row in rows))
            yield name, hashlib.sha256(content.encode()).hexdigest()


@pytest.fixture(scope="module")
def found() -> dict[str, str]:
    return dict(filled())


@pytest.mark.parametrize("name", TABLES)
def test_a_table_holds_what_its_version_always_held(name: str, found: dict[str, str]) -> None:
    known = json.loads(RECORD.read_text())
    assert name in known, f"{name} is new: add {found[name]!r} to {RECORD}, which keeps the older"
    assert found[name] == known[name], (
        f"{name} holds other rows than it did, and ledgers that were filled before keep theirs:"
        " give it the next version, in its name and in a step of the schema that makes its table"
    )
