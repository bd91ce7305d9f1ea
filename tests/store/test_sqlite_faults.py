"""Every step of an append to SQLite that can fail: as failed, and as failed but persisted.

After each the whole log is compared with what every append was told (`tests.store.log`).
"""

from __future__ import annotations

import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import OperationalError

from ledger.store import OutcomeUnknown, Recorder, schema
from ledger.store.snapshots import Snapshot
from ledger.store.sqlite import patience
from ledger.store.sqlite.datastore import path_of
from tests.store.log import Account, event, open_recorder, versions
from tests.store.processes import in_processes
from tests.worlds import NOON

NOBODY = 65534


@pytest.fixture
def account(sqlite: Recorder) -> Account:
    """Answer the account of a log that holds three events already."""
    account = Account()
    assert account.append(sqlite, ("old", 1)) is None
    assert account.append(sqlite, ("old", 2), ("old", 3)) is None
    return account


@contextmanager
def another_program(url: str) -> Iterator[sqlite3.Connection]:
    """Open the file as a program does that knows nothing of us."""
    connection = sqlite3.connect(path_of(url), isolation_level=None, timeout=0)
    with closing(connection):
        yield connection


def set_on_the_appending_connection(recorder: Recorder, pragma: str) -> None:
    recorder.datastore.append(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchall())  # type: ignore[attr-defined]


# --- the file -------------------------------------------------------------------------------------


def test_a_missing_file_is_said_to_be_missing_and_not_made(tmp_path: Path) -> None:
    recorder = open_recorder(f"sqlite:///{tmp_path / 'missing.db'}")
    for use in (recorder.head, lambda: recorder.insert_events([event("a", 1)])):
        with pytest.raises(OperationalError, match=r"missing\.db.*run: keyfold db upgrade"):
            use()
    recorder.close()

    assert list(tmp_path.iterdir()) == []


def test_a_file_without_tables_is_said_to_need_them(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    recorder = open_recorder(f"sqlite:///{tmp_path / 'empty.db'}")
    for use in (recorder.head, lambda: recorder.insert_events([event("a", 1)])):
        with pytest.raises(OperationalError, match="run: keyfold db upgrade"):
            use()
    recorder.close()


def test_a_relative_path_keeps_its_meaning_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    schema.upgrade("sqlite:///here.db")
    recorder = open_recorder("sqlite:///here.db")
    monkeypatch.chdir("/")

    assert recorder.insert_events([event("a", 1)]) == [1]
    assert (tmp_path / "here.db").exists()
    recorder.close()


@pytest.mark.parametrize("size", [1, 3])
def test_a_file_that_may_not_be_written_is_said_to_be_read_only(size: int) -> None:
    """Tried as a user who may read the ledger only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        url = f"sqlite:///{folder}/ledger.db"
        schema.upgrade(url)
        account = Account()
        with closing(open_recorder(url)) as ours:
            account.append(ours, *versions("old", 3))
            for file in Path(folder).iterdir():
                file.chmod(0o444)
            (refusal,) = in_processes(1, append_as_nobody, url, size)
            for file in Path(folder).iterdir():
                file.chmod(0o644)

            assert refusal[0] == "OperationalError", refusal
            assert "readonly database" in refusal[1]
            assert len(account.check(ours)) == 3
            assert account.append(ours, ("new", 1)) is None


def append_as_nobody(_: int, url: str, size: int) -> tuple[str, str]:
    if os.getuid() == 0:
        os.setuid(NOBODY)
    recorder = open_recorder(url)
    assert recorder.head() == 3
    try:
        recorder.insert_events([event("new", version) for version in range(1, size + 1)])
    except OperationalError as refused:
        return type(refused).__name__, str(refused)
    raise AssertionError("it was written")


# --- the disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 900])
def test_a_full_disk_fails_the_append_and_leaves_nothing_of_it(
    sqlite: Recorder, account: Account, size: int
) -> None:
    set_on_the_appending_connection(sqlite, "max_page_count=1")  # means: no more than now
    refused: Exception | None = None
    for n in range(300):
        refused = account.append(sqlite, *versions(f"new-{n}", size))
        if refused:
            break

    assert type(refused) is OperationalError
    assert "disk is full" in str(refused)
    account.check(sqlite)
    assert account.append(sqlite, *versions(f"big-{n}", 500)) is not None
    set_on_the_appending_connection(sqlite, "max_page_count=1000000")
    assert account.append(sqlite, *versions(f"new-{n}", size)) is None
    account.check(sqlite)


def test_a_write_that_the_system_refuses_is_never_taken_for_done(sqlite_url: str) -> None:
    """The log may not grow: the write fails in the middle of a commit, on the real disk."""
    account = Account()
    with closing(open_recorder(sqlite_url)) as recorder:
        account.append(recorder, *versions("old", 3))
        (failed,) = in_processes(1, append_until_the_file_may_not_grow, sqlite_url)
        rows = recorder.read_from(3, 1000)

        assert failed[0] in ("OutcomeUnknown", "OperationalError"), failed
        assert [row.version for row in rows] == list(range(1, failed[1] + 1))
        assert recorder.insert_events([event("after", 1)]) == [3 + failed[1] + 1]


def append_until_the_file_may_not_grow(_: int, url: str) -> tuple[str, int]:
    recorder = open_recorder(url)
    log = Path(f"{path_of(url)}-wal")
    limit = log.stat().st_size + 50_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for version in range(1, 1000):
        try:
            recorder.insert_events([event("new", version, b"x" * 100)])
        except OperationalError as refused:
            return type(refused).__name__, version - 1
    raise AssertionError("nothing failed")


class FailingConnection(sqlite3.Connection):
    """A connection whose disk fails at a commit: before the commit's last mark, or after it."""

    plan: ClassVar[list[str]] = []

    def execute(self, sql: str, *params: Any) -> sqlite3.Cursor:
        commits_itself = "INSERT" in sql and not self.in_transaction
        if not self.plan or not (sql == "COMMIT" or commits_itself):
            return super().execute(sql, *params)
        if self.plan.pop() == "failed but persisted":
            super().execute(sql, *params)
        elif sql == "COMMIT":
            super().execute("ROLLBACK")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error


@pytest.mark.parametrize("how", ["failed", "failed but persisted"])
@pytest.mark.parametrize("size", [1, 3])
def test_a_disk_that_fails_during_the_commit_leaves_the_outcome_unknown(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, how: str, size: int
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=FailingConnection)
    )
    account = Account()
    with closing(open_recorder(sqlite_url)) as recorder:
        account.append(recorder, *versions("old", 3))
        monkeypatch.setattr(FailingConnection, "plan", [how])
        assert isinstance(account.append(recorder, *versions("new", size)), OutcomeUnknown)

        persisted = len(account.check(recorder)) - 3
        assert persisted == (size if how == "failed but persisted" else 0)
        assert account.append(recorder, ("new", persisted + 1)) is None
        account.check(recorder)


# --- other programs -------------------------------------------------------------------------------


def test_who_waits_too_long_for_the_lock_has_recorded_nothing(
    sqlite: Recorder, sqlite_url: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BUSY_TIMEOUT_S", 0.1)
    with another_program(sqlite_url) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = account.append(sqlite, ("new", 1))
        assert sqlite.head() == 3, "readers do not wait"
        other.execute("ROLLBACK")

    assert type(refused) is OperationalError
    assert "database is locked" in str(refused)
    assert len(account.check(sqlite)) == 3
    assert account.append(sqlite, ("new", 1)) is None


def test_what_a_read_writes_aside_does_not_wait_for_the_lock(
    sqlite: Recorder, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BUSY_TIMEOUT_S", 3600.0)
    kept = Snapshot(1, 1, 1, "2026-03-01T12:00:00+00:00", b"")
    with another_program(sqlite_url) as other:
        other.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: sqlite.token_uses.put("kft_one", NOON),
            lambda: sqlite.snapshots.keep("account-acme", kept),
        ):
            with pytest.raises(OperationalError, match="locked"):
                write()
        other.execute("ROLLBACK")


def test_who_waits_for_the_lock_goes_on_when_it_is_free(
    sqlite: Recorder, sqlite_url: str, account: Account
) -> None:
    with another_program(sqlite_url) as other, ThreadPoolExecutor(1) as threads:
        other.execute("BEGIN IMMEDIATE")
        waiting = threads.submit(account.append, sqlite, ("new", 1))
        time.sleep(0.1)
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert waiting.result() is None

    assert len(account.check(sqlite)) == 4


def test_a_reader_that_does_not_finish_holds_nobody_up(
    sqlite: Recorder, sqlite_url: str, account: Account
) -> None:
    with another_program(sqlite_url) as other:
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM keyfold_events").fetchone() == (3,)
        for n in range(20):
            assert account.append(sqlite, (f"new-{n}", 1)) is None
        assert other.execute("SELECT count(*) FROM keyfold_events").fetchone() == (3,)

    assert len(account.check(sqlite)) == 23


def test_an_event_that_the_database_refuses_for_another_reason_is_no_conflict(
    sqlite: Recorder, sqlite_url: str, account: Account
) -> None:
    with another_program(sqlite_url) as other:
        other.execute(
            "CREATE TRIGGER fault BEFORE INSERT ON keyfold_events WHEN NEW.originator_id = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'bad'); END"
        )
    for size in (1, 3):
        refused = account.append(sqlite, *versions("bad", size))
        assert type(refused).__name__ == "IntegrityError"
        assert len(account.check(sqlite)) == 3


def test_a_copy_that_lost_its_write_ahead_log_gets_it_back(sqlite_url: str) -> None:
    """A backup restored with SQLite's own tools is in another journal mode."""
    with another_program(sqlite_url) as other:
        other.execute("PRAGMA journal_mode=DELETE")
    with closing(open_recorder(sqlite_url)) as recorder:
        recorder.insert_events([event("a", 1)])
        with another_program(sqlite_url) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("setting", ["synchronous=2", "fullfsync=1", "temp_store=2"])
def test_the_appending_connection_is_set_for_durability_and_needs_no_other_disk(
    sqlite: Recorder, setting: str
) -> None:
    name, value = setting.split("=")
    found = sqlite.datastore.append(  # type: ignore[attr-defined]
        lambda connection: connection.execute(f"PRAGMA {name}").fetchone()
    )
    assert found == (int(value),)
