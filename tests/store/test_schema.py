"""The tables: made once by whoever comes first, upgraded in order, never guessed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import DatabaseError, OperationalError

from ledger.store import Kind, schema
from ledger.store.schema import SchemaMissing, SchemaNewer, SchemaOutdated, SchemaStep
from tests.store.log import event, open_recorder
from tests.store.processes import in_processes

CHECKOUT = Path(__file__).parents[2]


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
    more = [*known, SchemaStep(len(known) + 1, "0099_more", "CREATE TABLE more (a integer);")]
    monkeypatch.setattr(schema, "steps", lambda _: more)

    with pytest.raises(
        SchemaOutdated, match=rf"version {len(known)}, .* needs {len(more)}; run: k"
    ):
        schema.check(empty_url)
    assert schema.upgrade(empty_url) == ["0099_more"]
    schema.check(empty_url)


def test_a_newer_ledger_is_refused_also_by_an_upgrade(empty_url: str) -> None:
    schema.upgrade(empty_url)
    execute(
        empty_url,
        "INSERT INTO keyfold_schema (version, applied_at) VALUES (4711, '2031-01-01T00:00:00Z')",
    )

    for refused in (schema.check, schema.upgrade):
        with pytest.raises(SchemaNewer, match=r"4711.*keyfold db upgrade"):
            refused(empty_url)


def test_an_older_program_goes_on_with_a_newer_ledger_whose_steps_say_so(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty_url)
    known = schema.steps("sqlite")
    last = len(known)
    table = "CREATE TABLE {} (a integer);"
    good = SchemaStep(last + 1, "0098_good", f"-- oldest program: {last}\n" + table.format("good"))
    other = SchemaStep(
        last + 2, "0099_other", f"-- oldest program: {last + 1}\n" + table.format("other")
    )
    with monkeypatch.context() as later:
        later.setattr(schema, "steps", lambda _: [*known, good])
        assert schema.upgrade(empty_url) == ["0098_good"]

    schema.check(empty_url)
    assert schema.upgrade(empty_url) == []
    with closing(open_recorder(empty_url)) as recorder:
        assert recorder.insert_events([event("a", 1)]) == [1]

    with monkeypatch.context() as later:
        later.setattr(schema, "steps", lambda _: [*known, good, other])
        schema.upgrade(empty_url)
    for refused in (schema.check, schema.upgrade):
        with pytest.raises(SchemaNewer, match=rf"need a Keyfold that knows {last + 1}, this one"):
            refused(empty_url)
    monkeypatch.setattr(schema, "steps", lambda _: [*known, good])
    schema.check(empty_url)


def test_a_ledger_that_was_made_before_steps_named_a_program_is_upgraded(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty_url)
    execute(empty_url, "ALTER TABLE keyfold_schema DROP COLUMN oldest_program")
    schema.check(empty_url)
    known = schema.steps("sqlite")
    last = len(known)
    more = SchemaStep(
        last + 1, "0099_more", f"-- oldest program: {last}\nCREATE TABLE more (a integer);"
    )
    monkeypatch.setattr(schema, "steps", lambda _: [*known, more])

    assert schema.upgrade(empty_url) == ["0099_more"]
    schema.check(empty_url)
    monkeypatch.setattr(schema, "steps", lambda _: known)
    schema.check(empty_url)
    monkeypatch.setattr(schema, "steps", lambda _: known[:-1])
    with pytest.raises(SchemaNewer, match=f"knows {last}, this one knows {last - 1}"):
        schema.check(empty_url)


def test_workers_of_the_last_commit_before_steps_named_a_program_append_and_read_on(
    empty_url: str, tmp_path: Path
) -> None:
    found = git("log", "--format=%H", "-S", "oldest_program", "--", "ledger/store/schema.py")
    archive = git("archive", f"{found.decode().split()[-1]}^", "ledger") if found else b""
    if not archive:
        pytest.skip("no older program: this checkout has no history")
    (tmp_path / "old.tar").write_bytes(archive)
    subprocess.run(["tar", "-xf", tmp_path / "old.tar", "-C", tmp_path], check=True)
    schema.upgrade(empty_url)

    ran = subprocess.run(
        [sys.executable, "-c", OLD_WORKER, empty_url],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (0, "[1, 2] 2\n"), ran.stderr
    with closing(open_recorder(empty_url)) as recorder:
        assert [row.version for row in recorder.read_from(0, 10)] == [1, 2]


OLD_WORKER = """
import sys
from eventsourcing.persistence import StoredEvent
import ledger.store
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment

assert "oldest_program" not in open(ledger.store.__path__[0] + "/schema.py").read()
environment = Environment("keyfold", ledger.store.open_environment(sys.argv[1]))
recorder = InfrastructureFactory.construct(environment).application_recorder()
stored = [StoredEvent("a", version, "some@1", b"{}") for version in (1, 2)]
print(recorder.insert_events(stored), recorder.head())
recorder.close()
"""


def git(*arguments: str) -> bytes:
    """Return what git says about this checkout; nothing where it has no history."""
    done = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def test_a_step_that_fails_leaves_nothing_of_itself(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty_url)
    known = schema.steps("sqlite")
    good = SchemaStep(len(known) + 1, "0098_good", "CREATE TABLE good (a integer);")
    bad = SchemaStep(len(known) + 2, "0099_bad", "CREATE TABLE bad (a integer);\nSELECT nonsense;")
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


def test_a_step_takes_nothing_away_from_the_programs_that_may_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older program reads on where it was: each row that it knows is still there."""
    file = tmp_path / "ledger.db"
    known = schema.steps("sqlite")
    filled: dict[str, set[tuple]] = {}
    for step in known:
        with monkeypatch.context() as earlier:
            earlier.setattr(schema, "steps", lambda _, upto=step.version: known[:upto])
            schema.upgrade(f"sqlite:///{file}")
        if step.oldest_program < step.version:
            found = rows_of(file, filled)
            lost = {table: rows - found[table] for table, rows in filled.items()}
            assert not any(lost.values()), f"older programs cannot go on with {step.name}: {lost}"
        filled = fill_each_table(file)


def fill_each_table(file: Path) -> dict[str, set[tuple]]:
    """Put a row into each table that is empty, and a bookmark for each name; return all rows."""
    with closing(sqlite3.connect(file)) as connection, connection:
        select = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'keyfold_%'"
        tables = [name for (name,) in connection.execute(select)]
        for table in tables:
            if not connection.execute(f"SELECT 1 FROM {table}").fetchone():
                columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
                row = [1 if column[2] == "INTEGER" else "1" for column in columns]
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        if "keyfold_projections" in tables:
            connection.executemany(
                "INSERT OR IGNORE INTO keyfold_projections VALUES (?, 7)",
                [(f"{name}@1:kfwh_a",) for name in ("webhook", "webhook_notices", "notices")],
            )
    return rows_of(file, tables)


def rows_of(file: Path, tables: Iterable[str]) -> dict[str, set[tuple]]:
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: {tuple(row[:2]) for row in connection.execute(f"SELECT * FROM {table}")}
            for table in tables
        }


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
