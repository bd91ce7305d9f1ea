"""Each question to the list of keys goes by an index of its own, on both databases.

The tables are filled directly, and large enough for PostgreSQL to have a choice; SQLite plans
without looking at the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import pytest

from ledger.book import Book
from projections.lists.keys import KeyQuery, list_keys
from projections.lists.stores import (
    BulkTables,
    ReadTransaction,
    Tables,
    WriteTransaction,
    open_tables,
)
from projections.lists.stores.tables import Params, Row
from projections.views.account_at import Moment
from tests.projections.telling import asked

KEYS = 20_000
# One key in a hundred is of integrations, one in fifty revoked, and half of the rest redeemed.
FILL = """
    INSERT INTO keyfold_key_list_2 (
        position, id, masked, product, seats, months, reseller, reseller_id, batch, batch_index,
        issued_at, redeem_by, redeemed_at, redeemed_by, subscription, revoked_at, since, ended_by
    )
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :keys)
    SELECT
        n, 'key_' || n, 'POS-••••-••••-XXXX',
        CASE WHEN n % 100 = 0 THEN 'integrations' ELSE 'cloud_pos' END,
        3, 12, 'Reseller-' || (n % 40), 'reseller-' || (n % 40), 'bat_' || (n / 100), n % 100, n,
        CASE WHEN n % 3 = 0 THEN n + 100 END,
        CASE WHEN n % 50 > 25 THEN n + 1 END,
        CASE WHEN n % 50 > 25 THEN 'account-' || (n % 997) END,
        CASE WHEN n % 50 > 25 THEN 'kfsub_' || n END,
        CASE WHEN n % 50 = 1 THEN n + 1 END, n, 0
    FROM numbers
"""

NOW = asked("2026-06-01 00:00")
BY_THEN = asked("2026-06-01 00:00", as_of="1970-01-01 00:00:00.010000")


class Question(NamedTuple):
    """A query, and the index that answers it."""

    goes_by: str
    query: KeyQuery
    moment: Moment = NOW


QUESTIONS = {
    "no filter": Question("primary key", KeyQuery()),
    "product": Question("product", KeyQuery(product="integrations")),
    "reseller": Question("reseller", KeyQuery(reseller="reseller-7")),
    "batch": Question("batch", KeyQuery(batch="bat_7")),
    "redeemed by": Question("redeemed_by", KeyQuery(redeemed_by="account-7")),
    "issued": Question("open", KeyQuery("issued")),
    "lapsed": Question("open", KeyQuery("lapsed")),
    "redeemed": Question("redeemed", KeyQuery("redeemed")),
    "revoked": Question("revoked", KeyQuery("revoked")),
    "issued to a reseller": Question("open_reseller", KeyQuery("issued", reseller="reseller-7")),
    "lapsed of a reseller": Question("open_reseller", KeyQuery("lapsed", reseller="reseller-7")),
    "issued of a product": Question("open_product", KeyQuery("issued", product="integrations")),
    "redeemed, then": Question("redeemed", KeyQuery("redeemed"), BY_THEN),
    "revoked, then": Question("revoked", KeyQuery("revoked"), BY_THEN),
    "reseller, then": Question("reseller", KeyQuery(reseller="reseller-7"), BY_THEN),
    "redeemed by, then": Question("redeemed_by", KeyQuery(redeemed_by="account-7"), BY_THEN),
}


class Explaining:
    """Tables that explain a reading statement instead of running it."""

    def __init__(self, tables: Tables, explain: str) -> None:
        self.tables = tables
        self.explain = explain
        self.plan: list[Row] = []

    @property
    def position_column(self) -> str | None:
        return self.tables.position_column

    def read(self, sql: str, params: Params) -> list[Row]:
        self.plan = self.tables.read(self.explain + sql, params)
        return []

    @contextmanager
    def transaction(self) -> Iterator[WriteTransaction]:
        with self.tables.transaction() as work:
            yield work

    def change(self, statements: Sequence[str], params: Params) -> list[int]:
        return self.tables.change(statements, params)

    @contextmanager
    def bulk_writes(self) -> Iterator[BulkTables]:
        yield self

    @contextmanager
    def snapshot(self) -> Iterator[ReadTransaction]:
        with self.tables.snapshot() as reading:
            yield reading

    def close(self) -> None:
        self.tables.close()


def fill(tables: Tables) -> None:
    with tables.transaction() as work:
        work.execute(FILL, {"keys": KEYS})


def test_on_sqlite_each_question_goes_by_its_index() -> None:
    with closing(Book("memory:")) as book, closing(open_tables("memory:")) as tables:
        explaining = Explaining(tables, "EXPLAIN QUERY PLAN ")
        for after in (None, 5_000):
            for name, (goes_by, query, moment) in QUESTIONS.items():
                list_keys(book, explaining, query, moment, after=after, limit=50)
                steps = [step for *_, step in explaining.plan if "keyfold_key_list_2" in step]
                assert len(steps) == 1, (name, steps)
                assert _index_in_sqlite(steps[0]) == goes_by, (name, steps)
                assert not any("TEMP B-TREE" in step for *_, step in explaining.plan), name


def _index_in_sqlite(step: str) -> str:
    # Its rows are in the order of the primary key: to scan it backwards is to go by that key.
    if "USING INDEX" not in step:
        return "primary key"
    return step.partition("USING INDEX keyfold_key_list_2_")[2].partition(" ")[0]


@pytest.mark.parametrize("analysed", [True, False])
def test_on_postgres_each_question_goes_by_an_index(
    analysed: bool, postgres_ledger_url: str
) -> None:
    with (
        closing(Book(postgres_ledger_url)) as book,
        closing(open_tables(postgres_ledger_url)) as tables,
    ):
        fill(tables)
        if analysed:
            with tables.transaction() as work:
                work.execute("ANALYZE keyfold_key_list_2", {})
        explaining = Explaining(tables, "EXPLAIN (FORMAT JSON) ")
        for after in (None, 5_000):
            for name, (goes_by, query, moment) in QUESTIONS.items():
                list_keys(book, explaining, query, moment, after=after, limit=50)
                nodes = list(_nodes(explaining.plan[0][0][0]["Plan"]))
                used = [_index_in_postgres(node) for node in nodes if "Index Name" in node]
                # It weighs indexes by the rows it expects: one of them, in order, and no sorting.
                assert len(used) == 2, (name, after, nodes)
                assert ("primary key" in used) == (goes_by == "primary key"), (name, after, used)
                assert {node["Node Type"] for node in nodes} <= IN_ORDER, (name, after, nodes)


IN_ORDER = {"Nested Loop", "Limit", "Subquery Scan", "Index Scan", "Index Only Scan"}


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def _index_in_postgres(node: dict[str, Any]) -> str:
    name: str = node["Index Name"]
    if name == "keyfold_key_list_2_pkey":
        return "primary key"
    return name.removeprefix("keyfold_key_list_2_")
