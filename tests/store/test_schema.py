"""The tables: made once by whoever comes first, upgraded in order, never guessed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import DatabaseError, OperationalError

from ledger.store import Kind, schema
from ledger.store.schema import SchemaMissing, SchemaNewer, SchemaOutdated, Step
from tests.store.log import event, open_recorder
from tests.store.processes import in_processes


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Answer the address of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def execute(url: str, statement: str) -> list[tuple]:
    """Execute a statement in a session of its own."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()
    with psycopg.connect(url, autocommit=True) as session:
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_an_upgrade_says_what_it_applied_and_a_second_one_does_nothing(empty_url: str) -> None:
    applied = schema.upgrade(empty_url)

    assert applied[0] == "0001_ledger"
    assert applied == sorted(applied)
    assert schema.upgrade(empty_url) == []
    schema.check(empty_url)


def test_an_upgrade_keeps_the_events(empty_url: str) -> None:
    schema.upgrade(empty_url)
    recorder = open_recorder(empty_url)
    recorder.insert_events([event("a", 1)])
    schema.upgrade(empty_url)

    assert recorder.insert_events([event("a", 2)]) == [2]
    recorder.close()


def test_a_database_without_a_ledger_is_refused_with_the_mend(empty_url: str) -> None:
    with pytest.raises(SchemaMissing, match=r"run: keyfold db upgrade$"):
        schema.check(empty_url)


def test_an_older_ledger_is_refused_with_the_mend(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty_url)
    known = schema.steps("sqlite")
    more = [*known, Step(len(known) + 1, "0099_more", "CREATE TABLE more (a integer);")]
    monkeypatch.setattr(schema, "steps", lambda _: more)

    with pytest.raises(
        SchemaOutdated, match=rf"version {len(known)}, .* needs {len(more)}; run: k"
    ):
        schema.check(empty_url)
    assert schema.upgrade(empty_url) == ["0099_more"]
    schema.check(empty_url)


def test_a_newer_ledger_is_refused_also_by_an_upgrade(empty_url: str) -> None:
    schema.upgrade(empty_url)
    execute(empty_url, "INSERT INTO keyfold_schema VALUES (4711, '2031-01-01T00:00:00Z')")

    for refused in (schema.check, schema.upgrade):
        with pytest.raises(SchemaNewer, match=r"4711.*keyfold db upgrade"):
            refused(empty_url)


def test_a_step_that_fails_leaves_nothing_of_itself(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty_url)
    known = schema.steps("sqlite")
    good = Step(len(known) + 1, "0098_good", "CREATE TABLE good (a integer);")
    bad = Step(len(known) + 2, "0099_bad", "CREATE TABLE bad (a integer);\nSELECT nonsense;")
    monkeypatch.setattr(schema, "steps", lambda _: [*known, good, bad])

    with pytest.raises(DatabaseError, match="nonsense"):
        schema.upgrade(empty_url)

    execute(empty_url, "SELECT * FROM good")
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        execute(empty_url, "SELECT * FROM bad")
    assert execute(empty_url, "SELECT max(version) FROM keyfold_schema") == [(len(known) + 1,)]


def test_eight_processes_may_upgrade_at_once(empty_url: str) -> None:
    results = in_processes(8, upgrade_and_append, empty_url)

    applied = [name for names, _ in results for name in names]
    assert sorted(applied) == sorted(step.name for step in schema.steps("sqlite"))
    assert sorted(position for _, position in results) == list(range(1, 9))


def upgrade_and_append(number: int, url: str) -> tuple[list[str], int]:
    applied = schema.upgrade(url)
    schema.check(url)
    recorder = open_recorder(url)
    (position,) = recorder.insert_events([event(f"process-{number}", 1)])
    recorder.close()
    return applied, position


def test_both_databases_have_the_same_steps_numbered_without_gaps() -> None:
    kinds: list[Kind] = ["sqlite", "postgres"]
    numbered = [[step[:2] for step in schema.steps(kind)] for kind in kinds]

    assert numbered[0] == numbered[1]
    assert numbered[0][0] == (1, "0001_ledger")


def test_the_ledger_in_memory_needs_no_tables() -> None:
    assert schema.upgrade("memory:") == []
    schema.check("memory:")


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but long enough to look like one\n" * 100)
    before = file.read_bytes()

    for refused in (schema.check, schema.upgrade):
        with pytest.raises(DatabaseError, match=r"notes\.txt"):
            refused(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_a_ledger_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperationalError, match="unable to open"):
        schema.upgrade(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")


@pytest.mark.parametrize("name", ["a b.db", "50%25.db", "what?.db", "a#b.db", "häh.db"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path / name}"
    schema.upgrade(url)
    recorder = open_recorder(url)
    recorder.insert_events([event("a", 1)])
    recorder.close()

    assert (tmp_path / name).is_file()
