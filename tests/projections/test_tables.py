"""What every store of tables keeps to: memory, SQLite and PostgreSQL."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    InterfaceError,
    OperationalError,
)
from hypothesis import given
from hypothesis import strategies as st

from projections.lists.stores import Tables, open_tables
from projections.lists.stores.postgres import COPY_ROWS_MIN
from projections.lists.stores.tables import Params, Row, statement, to_moment, to_number

INSERT = "INSERT INTO keyfold_projections (projection, position) VALUES (:name, :position)"
SELECT = "SELECT position FROM keyfold_projections WHERE projection = :name"


def position(tables: Tables, name: str = "x@1") -> int | None:
    found = tables.read(SELECT, {"name": name})
    return found[0][0] if found else None


def put(tables: Tables, number: int) -> None:
    with tables.transaction() as work:
        work.execute(INSERT, {"name": "x@1", "position": number})


def test_a_transaction_is_kept_when_its_block_ends_well(tables: Tables) -> None:
    put(tables, 7)
    assert position(tables) == 7


def test_a_transaction_whose_block_fails_leaves_nothing(tables: Tables) -> None:
    def put_and_fail() -> None:
        with tables.transaction() as work:
            work.execute(INSERT, {"name": "x@1", "position": 7})
            raise KeyError

    with pytest.raises(KeyError):
        put_and_fail()
    assert position(tables) is None
    put(tables, 8)
    assert position(tables) == 8


def test_a_transaction_sees_its_own_writes_and_others_do_not(shared_url: str) -> None:
    mine, theirs = open_tables(shared_url), open_tables(shared_url)
    with mine.transaction() as work:
        work.execute(INSERT, {"name": "x@1", "position": 7})
        assert work.execute(SELECT, {"name": "x@1"}) == [(7,)]
        assert position(theirs) is None
    assert position(theirs) == 7
    mine.close()
    theirs.close()


def test_a_statement_answers_its_rows_or_none(tables: Tables) -> None:
    put(tables, 7)
    update = "UPDATE keyfold_projections SET position = :new WHERE position = :old"
    with tables.transaction() as work:
        assert work.execute(update, {"old": 7, "new": 8}) == []
        assert work.execute(update + " RETURNING position", {"old": 7, "new": 9}) == []
        assert work.execute(update + " RETURNING position", {"old": 8, "new": 9}) == [(9,)]


def test_one_statement_runs_once_for_each_set_of_parameters(tables: Tables) -> None:
    many: list[Params] = [{"name": f"x@{n}", "position": n} for n in range(5)]
    with tables.transaction() as work:
        work.execute_many(INSERT, many)
    assert [position(tables, f"x@{n}") for n in range(5)] == [0, 1, 2, 3, 4]


def test_texts_go_in_and_come_out_unchanged(tables: Tables) -> None:
    texts = ["", "it's", "100 %s", ":name", "naïve — “quoted”", "\N{SNOWMAN}", "a\nb"]
    with tables.transaction() as work:
        work.execute_many(INSERT, [{"name": text, "position": 1} for text in texts])
    found = tables.read("SELECT projection FROM keyfold_projections", {})
    assert {text for (text,) in found} == set(texts)


TOKENS = "keyfold_token_list_1"
COLUMNS = ("position", "id", "role", "reseller", "created_at", "expires_at", "revoked_at")


def tokens(count: int, first: int = 1) -> list[Row]:
    """Return rows with everything in their texts that a driver may stumble over."""
    odd = ["", "it's", "a\tb", "a\nb", "a\\b", "\\N", "100 %s", ":name", "naïve “quoted”", None]
    return [
        (n, f"kft_{n}", "admin", odd[n % len(odd)], -n, None, 2**62)
        for n in range(first, first + count)
    ]


@pytest.mark.parametrize("count", [0, 1, COPY_ROWS_MIN - 1, COPY_ROWS_MIN, 300])
def test_rows_go_in_and_come_out_unchanged_however_many(tables: Tables, count: int) -> None:
    rows = tokens(count)
    with tables.transaction() as work:
        work.insert(TOKENS, COLUMNS, rows)
    found = tables.read(f"SELECT {', '.join(COLUMNS)} FROM {TOKENS} ORDER BY position", {})
    assert found == rows


@pytest.mark.parametrize("count", [3, 300])
def test_of_rows_that_cannot_all_be_added_none_is(shared_url: str, count: int) -> None:
    tables = open_tables(shared_url)
    rows = [*tokens(count), *tokens(1)]
    with pytest.raises(IntegrityError), tables.transaction() as work:
        work.insert(TOKENS, COLUMNS, rows)
    with (
        pytest.raises(IntegrityError),
        tables.bulk_writes() as bulk_writes,
        bulk_writes.transaction() as work,
    ):
        work.insert(TOKENS, COLUMNS, rows)
    assert tables.read(f"SELECT count(*) FROM {TOKENS}", {}) == [(0,)]
    with tables.transaction() as work:
        work.insert(TOKENS, COLUMNS, tokens(count))
    assert tables.read(f"SELECT count(*) FROM {TOKENS}", {}) == [(count,)]
    tables.close()


def test_others_write_between_the_transactions_of_a_filling(shared_url: str) -> None:
    mine, theirs = open_tables(shared_url), open_tables(shared_url)
    with mine.bulk_writes() as bulk_writes:
        for turn in range(3):
            with bulk_writes.transaction() as work:
                work.insert(TOKENS, COLUMNS, tokens(100, first=1 + turn * 100))
            with theirs.transaction() as work:
                work.execute(INSERT, {"name": f"x@{turn}", "position": turn})
    assert mine.read(f"SELECT count(*) FROM {TOKENS}", {}) == [(300,)]
    assert [position(mine, f"x@{turn}") for turn in range(3)] == [0, 1, 2]
    with mine.bulk_writes() as bulk_writes, bulk_writes.transaction() as work:
        work.execute("DELETE FROM keyfold_token_list_1", {})
    assert theirs.read(f"SELECT count(*) FROM {TOKENS}", {}) == [(0,)]
    mine.close()
    theirs.close()


def test_a_snapshot_sees_nothing_that_comes_later(shared_url: str) -> None:
    tables = open_tables(shared_url)
    with tables.snapshot() as reading:
        assert reading.execute(SELECT, {"name": "x@1"}) == []
        put(tables, 7)
        assert reading.execute(SELECT, {"name": "x@1"}) == []
    assert position(tables) == 7
    tables.close()


def test_a_broken_rule_of_the_table_is_an_integrity_error(shared_url: str) -> None:
    tables = open_tables(shared_url)
    put(tables, 7)
    with pytest.raises(IntegrityError):
        put(tables, 8)
    assert position(tables) == 7
    tables.close()


def test_a_second_writer_waits_for_the_first(tables: Tables) -> None:
    put(tables, 0)
    add = "UPDATE keyfold_projections SET position = position + 1"

    def count() -> None:
        for _ in range(25):
            with tables.transaction() as work:
                work.execute(add, {})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert position(tables) == 100


def test_closed_tables_answer_nothing(shared_url: str) -> None:
    tables = open_tables(shared_url)
    position(tables)
    tables.close()
    with pytest.raises(InterfaceError):
        position(tables)


def test_a_forked_child_and_its_parent_both_go_on(shared_url: str) -> None:
    tables = open_tables(shared_url)
    put(tables, 0)

    def count() -> None:
        for _ in range(25):
            with tables.transaction() as work:
                work.execute("UPDATE keyfold_projections SET position = position + 1", {})
            assert position(tables)

    child = os.fork()
    if not child:
        # Nothing of the test session may run to its end here, a failed assertion neither.
        status = 1
        try:
            count()
            status = 0
        finally:
            os._exit(status)
    count()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert position(tables) == 50
    tables.close()


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/ledger.db", "postgresql://nobody@127.0.0.1:1/none"]
)
def test_a_database_that_cannot_be_reached_is_an_operational_error(url: str) -> None:
    tables = open_tables(url)
    with pytest.raises(OperationalError):
        position(tables)
    with pytest.raises(OperationalError), tables.transaction():
        pass
    tables.close()


def test_a_name_in_a_statement_becomes_a_drivers_place() -> None:
    asked = statement("SELECT a FROM b WHERE c = :c AND d < :d_e OR c > :c", "?")
    assert asked.sql == "SELECT a FROM b WHERE c = ? AND d < ? OR c > ?"
    assert asked.values({"d_e": 2, "c": "1", "f": None}) == ("1", 2, "1")
    assert statement("SELECT a % :b", "%s").sql == "SELECT a %% %s"
    assert statement("SELECT a % :b", "?").sql == "SELECT a % ?"


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_kept_to_the_microsecond(moment: datetime) -> None:
    assert to_moment(to_number(moment)) == moment


def test_moments_before_1970_are_numbers_below_zero() -> None:
    assert to_number(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert to_number(None) is None
    assert to_moment(None) is None


def test_what_is_read_at_leisure_outlasts_a_writer_that_fell_silent(postgres_url: str) -> None:
    tables = open_tables(postgres_url)
    rest = "SELECT CAST(current_setting('idle_in_transaction_session_timeout') AS text)"
    with tables.transaction() as work:
        assert work.execute(rest, {}) == [("10s",)]
    with tables.snapshot() as reading:
        assert reading.execute(rest, {}) == [("1h",)]
    tables.close()
