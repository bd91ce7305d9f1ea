"""Nothing recorded can be changed: tried with every trick of SQL and the program's credentials."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, NotSupportedError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore
from psycopg.conninfo import conninfo_to_dict

from ledger.store import Recorder, VersionConflict, schema
from ledger.store.postgres.datastore import PostgresDatastore as OurPostgresDatastore
from ledger.store.sqlite.datastore import SqliteDatastore, path_of
from tests.store.log import event, fill, open_recorder, whole_log

# --- SQLite ---------------------------------------------------------------------------------------

ROW = "(2, 'a', 2, 'forged@1', x'00')"
SQLITE_ATTACKS = {
    "update": "UPDATE keyfold_events SET state = x'00' WHERE rowid = 2",
    "update or replace": "UPDATE OR REPLACE keyfold_events SET rowid = 1 WHERE rowid = 2",
    "delete": "DELETE FROM keyfold_events WHERE rowid = 3",
    "delete all": "DELETE FROM keyfold_events",
    "replace a position": "REPLACE INTO keyfold_events VALUES (2, 'z', 1, 'forged@1', x'00')",
    "replace a version": "REPLACE INTO keyfold_events VALUES (4, 'a', 2, 'forged@1', x'00')",
    "replace both": f"INSERT OR REPLACE INTO keyfold_events VALUES {ROW}",
    "replace, no position": "INSERT OR REPLACE INTO keyfold_events"
    " (originator_id, originator_version, topic, state) VALUES ('a', 2, 'forged@1', x'00')",
    "upsert": f"INSERT INTO keyfold_events VALUES {ROW}"
    " ON CONFLICT DO UPDATE SET topic = 'forged@1'",
    "leave a gap": "INSERT INTO keyfold_events VALUES (5, 'z', 1, 'forged@1', x'00')",
    "go before the first": "INSERT INTO keyfold_events VALUES (0, 'z', 1, 'forged@1', x'00')",
    "no position": "INSERT INTO keyfold_events"
    " (originator_id, originator_version, topic, state) VALUES ('z', 1, 'forged@1', x'00')",
}


@pytest.fixture
def three_in_sqlite(sqlite: Recorder) -> Recorder:
    fill(sqlite, [("a", 1), ("a", 2), ("b", 1)])
    return sqlite


@pytest.mark.parametrize("attack", SQLITE_ATTACKS.values(), ids=SQLITE_ATTACKS.keys())
def test_sqlite_refuses(three_in_sqlite: Recorder, sqlite_url: str, attack: str) -> None:
    before = whole_log(three_in_sqlite)

    connection = sqlite3.connect(path_of(sqlite_url))
    try:
        with pytest.raises(sqlite3.IntegrityError, match="append-only") as refused:
            connection.execute(attack)
        assert refused.value.sqlite_errorname == "SQLITE_CONSTRAINT_TRIGGER"
    finally:
        connection.rollback()
        connection.close()

    assert whole_log(three_in_sqlite) == before
    assert three_in_sqlite.insert_events([event("a", 3)]) == [4]


def test_a_change_that_sqlite_refuses_is_no_conflict_to_the_program(
    sqlite: Recorder, sqlite_url: str
) -> None:
    datastore = SqliteDatastore(path_of(sqlite_url))
    fill(sqlite, [("a", 1)])

    with (
        pytest.raises(IntegrityError, match="UPDATE is refused") as refused,
        datastore.transaction(commit=True) as cursor,
    ):
        cursor.execute("UPDATE keyfold_events SET topic = 'forged@1'")

    assert not isinstance(refused.value, VersionConflict)
    datastore.close()


# --- PostgreSQL -----------------------------------------------------------------------------------

POSTGRES_ATTACKS = {
    "update": "UPDATE keyfold_events SET state = '' WHERE notification_id = 2",
    "update nothing": "UPDATE keyfold_events SET state = '' WHERE false",
    "delete": "DELETE FROM keyfold_events WHERE notification_id = 3",
    "delete all": "DELETE FROM keyfold_events",
    "truncate": "TRUNCATE keyfold_events",
    "upsert": "INSERT INTO keyfold_events VALUES ('a', 2, 'forged@1', '', 4)"
    " ON CONFLICT (originator_id, originator_version) DO UPDATE SET topic = 'forged@1'",
    "merge": "MERGE INTO keyfold_events USING (SELECT 1) AS one ON notification_id = 2"
    " WHEN MATCHED THEN UPDATE SET topic = 'forged@1'",
    "as a replica": "SET session_replication_role = replica; DELETE FROM keyfold_events",
}


@pytest.fixture
def three_in_postgres(postgres: Recorder) -> Recorder:
    fill(postgres, [("a", 1), ("a", 2), ("b", 1)])
    return postgres


@pytest.fixture
def session(postgres_ledger_url: str) -> Iterator[psycopg.Connection]:
    """Answer a connection with the program's own credentials."""
    with psycopg.connect(postgres_ledger_url, autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("attack", POSTGRES_ATTACKS.values(), ids=POSTGRES_ATTACKS.keys())
def test_postgres_refuses(
    three_in_postgres: Recorder, session: psycopg.Connection, attack: str
) -> None:
    before = whole_log(three_in_postgres)

    with pytest.raises(psycopg.errors.FeatureNotSupported, match="append-only"):
        session.execute(attack.encode())

    assert whole_log(three_in_postgres) == before
    assert three_in_postgres.insert_events([event("a", 3)]) == [4]


def test_postgres_gives_no_position_to_who_inserts_around_the_functions(
    three_in_postgres: Recorder, session: psycopg.Connection
) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        session.execute("INSERT INTO keyfold_events VALUES ('z', 1, 'forged@1', '')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        session.execute("INSERT INTO keyfold_events VALUES ('z', 1, 'forged@1', '', 2)")


def test_a_change_that_postgres_refuses_is_no_conflict_to_the_program(
    postgres: Recorder, postgres_ledger_url: str
) -> None:
    datastore = OurPostgresDatastore(postgres_ledger_url)

    with pytest.raises(NotSupportedError), datastore.connection() as connection:
        connection.execute("TRUNCATE keyfold_events")

    datastore.close()


# --- the library's own recorders ------------------------------------------------------------------


def test_the_librarys_own_recorder_reads_our_table_in_sqlite(
    three_in_sqlite: Recorder, sqlite_url: str
) -> None:
    theirs = SQLiteApplicationRecorder(
        SQLiteDatastore(path_of(sqlite_url), originator_id_type="text"), "keyfold_events"
    )
    reads_the_same(theirs, three_in_sqlite)
    theirs.datastore.close()


def test_the_librarys_own_recorder_reads_our_table_in_postgres(postgres_url: str) -> None:
    schema.upgrade(postgres_url)
    ours = open_recorder(postgres_url)
    fill(ours, [("a", 1), ("a", 2), ("b", 1)])
    given = conninfo_to_dict(postgres_url)
    address = [str(given.get(key, "")) for key in ("dbname", "host", "port", "user", "password")]
    datastore = PostgresDatastore(*address, originator_id_type="text")

    reads_the_same(PostgresApplicationRecorder(datastore, events_table_name="keyfold_events"), ours)
    datastore.close()
    ours.close()


def reads_the_same(
    theirs: SQLiteApplicationRecorder | PostgresApplicationRecorder, ours: Recorder
) -> None:
    assert theirs.max_notification_id() == ours.max_notification_id() == 3
    assert theirs.select_notifications(1, 10) == ours.select_notifications(1, 10)
    assert theirs.select_notifications(1, 1, 3, ["test.noted@1"], inclusive_of_start=False) == (
        ours.select_notifications(1, 1, 3, ["test.noted@1"], inclusive_of_start=False)
    )
    for stream in ("a", "b", "c"):
        assert theirs.select_events(stream) == ours.select_events(stream)
        assert theirs.select_events(stream, desc=True, limit=1) == (
            ours.select_events(stream, desc=True, limit=1)
        )
    assert theirs.select_events("a", gt=1)[0] == StoredEvent("a", 2, "test.noted@1", b"{}")
