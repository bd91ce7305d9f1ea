"""A ledger that goes back under a running process: nothing that is no longer in it is answered."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import PersistenceError
from psycopg import sql

from ledger.book import Book, Change, ClockWrong, LedgerUnavailable
from ledger.store import schema
from ledger.store.contract import VersionConflict
from ledger.store.holes import holes
from ledger.store.sqlite.datastore import settle
from ledger.store.sqlite.files import Files
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from projections.lists.catch_up import read
from projections.lists.keys import KEY_LIST
from projections.lists.stores import open_tables
from tests.postgres_server import Server
from tests.store.log import event, open_recorder
from tests.worlds import NOON, context


def sits(book: Book, holder: str) -> int:
    """Have somebody sit down; return the position."""
    fact = SeatOccupied(product="cloud_pos", tier=None, holder=holder, label=None)
    return book.append(context(), Change(book.load(ACCOUNT, "acme"), [fact])).position


def holders(book: Book) -> list[str]:
    return sorted(seat.holder for seat in book.load(ACCOUNT, "acme").state.seats.values())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keyfold.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def book(file: Path) -> Iterator[Book]:
    with closing(Book(f"sqlite:///{file}")) as book:
        yield book


def copy_of(file: Path) -> Path:
    copy = file.with_name("copy.db")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy


def test_an_older_file_renamed_into_place_is_answered_from(book: Book, file: Path) -> None:
    sits(book, "till-1")
    copy = copy_of(file)
    sits(book, "till-2")
    sits(book, "till-3")
    copy.rename(file)
    assert holders(book) == ["till-1"]
    assert "went back" in (book.store.lineage.notice or "")
    assert sits(book, "till-4") == 2
    with closing(Book(f"sqlite:///{file}")) as another:
        assert holders(another) == ["till-1", "till-4"]
        assert holes(another.store) == []


def test_what_was_decided_on_a_file_that_was_replaced_is_decided_again(
    book: Book, file: Path
) -> None:
    sits(book, "till-1")
    copy = copy_of(file)
    sits(book, "till-2")
    loaded = book.load(ACCOUNT, "acme")
    copy.rename(file)
    fact = SeatOccupied(product="cloud_pos", tier=None, holder="till-9", label=None)
    with pytest.raises(VersionConflict):
        book.append(context(), Change(loaded, [fact]))
    assert holders(book) == ["till-1"]


def test_nothing_is_recorded_in_a_file_that_was_deleted(book: Book, file: Path) -> None:
    sits(book, "till-1")
    kept = copy_of(file)
    file.unlink()
    with pytest.raises((LedgerUnavailable, PersistenceError)):
        sits(book, "till-2")
    with pytest.raises(PersistenceError):
        holders(book)
    kept.rename(file)
    assert holders(book) == ["till-1"]
    assert sits(book, "till-3") == 2


def test_a_file_that_was_moved_away_and_back_is_used_again(book: Book, file: Path) -> None:
    sits(book, "till-1")
    away = file.with_name("away.db")
    settle(f"sqlite:///{file}")
    file.rename(away)
    with pytest.raises(PersistenceError):
        holders(book)
    away.rename(file)
    assert holders(book) == ["till-1"]


def put_over(copy: Path, file: Path) -> None:
    shutil.copyfile(copy, file)
    for name in ("-wal", "-shm"):
        file.with_name(file.name + name).unlink()


@pytest.mark.parametrize("has_written", [True, False])
def test_an_older_copy_put_over_the_open_file_is_noticed_and_left_whole(
    file: Path, has_written: bool
) -> None:
    with closing(Book(f"sqlite:///{file}")) as book:
        sits(book, "till-1")
        copy = copy_of(file)
        if has_written:
            sits(book, "till-2")
            sits(book, "till-3")
        else:
            with closing(Book(f"sqlite:///{file}")) as another:
                sits(another, "till-2")
            holders(book)
        put_over(copy, file)
        for use in (lambda: holders(book), lambda: sits(book, "till-4"), book.head):
            with pytest.raises((PersistenceError, LedgerUnavailable), match="put over it"):
                use()
        assert "put over it" in (book.store.lineage.notice or "")
    with closing(Book(f"sqlite:///{file}")) as again:
        assert holders(again) == ["till-1"]
        assert sits(again, "till-5") == 2
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_an_older_copy_put_over_the_open_file_under_its_log_is_noticed_and_left_whole(
    file: Path,
) -> None:
    with closing(Book(f"sqlite:///{file}")) as book, closing(Book(f"sqlite:///{file}")) as another:
        sits(book, "till-1")
        copy = copy_of(file)
        for number in range(2, 30):
            sits(book, f"till-{number}")
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint").fetchall()
        sits(book, "till-30")  # what SQLite itself puts into the file is no copy
        sits(another, "till-31")
        shutil.copyfile(copy, file)
        for one in (book, another):
            with pytest.raises((PersistenceError, LedgerUnavailable), match="put over it"):
                sits(one, "till-32")
        with pytest.raises((PersistenceError, LedgerUnavailable), match="put over it"):
            holders(book)
        assert "put over it" in (book.store.lineage.notice or "")
    with closing(Book(f"sqlite:///{file}")) as again:
        assert holders(again) == ["till-1"]
        assert sits(again, "till-5") == 2
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_copy_of_the_same_size_put_over_the_open_file_is_noticed(file: Path) -> None:
    settle(f"sqlite:///{file}")
    with closing(Book(f"sqlite:///{file}")) as book:
        sits(book, "till-1")
        copy = copy_of(file)
        assert copy.stat().st_size == file.stat().st_size
        sits(book, "till-2")
        shutil.copyfile(copy, file)
        with pytest.raises((PersistenceError, LedgerUnavailable), match="put over it"):
            sits(book, "till-3")


def test_what_sqlite_puts_into_the_file_is_not_taken_for_a_copy(file: Path) -> None:
    with closing(Book(f"sqlite:///{file}")) as book, closing(sqlite3.connect(file)) as other:
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(lambda: [sits(book, f"till-{n}") for n in range(200)])
            while not writing.done():
                for how in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
                    with suppress(sqlite3.OperationalError):
                        other.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
                holders(book)
        assert writing.result()
        file.touch()
        sits(book, "the last")
        assert book.store.lineage.notice is None


def test_what_was_in_a_log_that_was_removed_is_saved_by_whoever_leaves(file: Path) -> None:
    with closing(Book(f"sqlite:///{file}")) as book:
        sits(book, "till-1")
        sits(book, "till-2")
        file.with_name(file.name + "-wal").unlink()
        with pytest.raises((PersistenceError, LedgerUnavailable), match="was removed"):
            sits(book, "till-3")
    with closing(Book(f"sqlite:///{file}")) as again:
        assert holders(again) == ["till-1", "till-2"]


def test_a_file_is_whole_by_itself_when_everybody_has_left(file: Path) -> None:
    with closing(Book(f"sqlite:///{file}")) as book:
        for n in range(3):
            sits(book, f"till-{n}")
        settle(f"sqlite:///{file}")
        copy = shutil.copyfile(file, file.with_name("alone.db"))
        with closing(sqlite3.connect(copy)) as alone:
            assert alone.execute("SELECT count(*) FROM keyfold_events").fetchone() == (3,)


def test_a_table_with_events_that_the_ledger_has_not_is_filled_anew(file: Path, book: Book) -> None:
    sits(book, "till-1")
    with closing(open_tables(f"sqlite:///{file}")) as tables:
        with tables.transaction() as work:
            work.execute(
                "INSERT INTO keyfold_projections VALUES (:name, 9)", {"name": KEY_LIST.name}
            )
        caught = read(book, tables, KEY_LIST, "SELECT id FROM keyfold_key_list_2", {})
    assert caught.position == 1


def test_holes_are_found(file: Path, book: Book) -> None:
    sits(book, "till-1")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER keyfold_events_refuse_other_version")
        connection.execute("DROP TRIGGER keyfold_events_refuse_other_position")
        for place, version in ((2, 2), (3, 5), (6, 6)):
            connection.execute(
                "INSERT INTO keyfold_events"
                " SELECT ?, originator_id, ?, topic, state FROM keyfold_events WHERE rowid = 1",
                (place, version),
            )
        connection.commit()
    assert [one.sentence for one in holes(book.store)] == [
        "versions 3 to 4 of account-acme are missing",
        "positions 4 to 5 are missing",
    ]


def test_a_version_that_was_written_over_is_a_hole(sqlite_url: str) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    with closing(open_recorder(sqlite_url)) as recorder:
        recorder.insert_events([event("a", version) for version in (1, 2, 3)])
        with closing(sqlite3.connect(file)) as connection:
            triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                connection.execute(f"DROP TRIGGER {name}")
            connection.execute("UPDATE keyfold_events SET originator_version = 2.5 WHERE rowid = 2")
            connection.commit()
        assert holes(recorder)[0].sentence == "version 2 of a is missing"


@pytest.mark.parametrize("off", [-90, 90])
def test_nobody_records_whose_clock_is_not_the_databases(
    postgres_ledger_url: str, off: float
) -> None:
    import time
    from datetime import UTC, datetime, timedelta

    fact = SeatOccupied(product="cloud_pos", tier=None, holder="till-1", label=None)
    with closing(Book(postgres_ledger_url)) as book:
        now = datetime.now(UTC)
        wrong = context(now + timedelta(seconds=off))._replace(read_at=time.monotonic())
        with pytest.raises(ClockWrong):
            book.append(wrong, Change(book.load(ACCOUNT, "acme"), [fact]))
        assert book.head() == 0
        right = wrong._replace(now=now)
        assert book.append(right, Change(book.load(ACCOUNT, "acme"), [fact])).position == 1
        told = context(NOON)
        assert book.append(told, Change(book.load(ACCOUNT, "acme"), [fact])).position == 2


def test_the_log_of_another_file_is_left_alone_by_who_comes_second(book: Book, file: Path) -> None:
    """Each process puts the old log aside; what it looked at may be another by the time it does."""
    sits(book, "till-1")
    log = Path(f"{file}-wal")
    first, second = Files(str(file)), Files(str(file))
    first.note_log()
    second.note_log()
    folder = os.open(file.parent, os.O_RDONLY)
    with closing_fd(folder), ThreadPoolExecutor() as pool:
        fcntl.flock(folder, fcntl.LOCK_EX)  # the first is at it
        waiting = pool.submit(second.put_log_aside)
        time.sleep(0.05)
        assert not waiting.done()
        log.rename(f"{log}.replaced")
        log.write_bytes(b"the other file's")
        fcntl.flock(folder, fcntl.LOCK_UN)
        waiting.result()
    first.put_log_aside()
    assert log.read_bytes() == b"the other file's"


@contextmanager
def closing_fd(opened: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(opened)


def test_a_ledger_that_is_ahead_of_the_clock_is_not_said_to_be_after_a_restore(
    book: Book, file: Path
) -> None:
    sits(book, "till-1")
    copy = copy_of(file)
    later = NOON + timedelta(days=400)
    fact = SeatOccupied(product="cloud_pos", tier=None, holder="till-2", label=None)
    book.append(context(later), Change(book.load(ACCOUNT, "acme"), [fact]))
    assert "ahead of the clock" in (book.ahead_of(NOON) or "")
    copy.rename(file)
    assert holders(book) == ["till-1"]
    assert book.ahead_of(NOON) is None


def test_an_older_database_under_the_same_name_is_answered_from(postgres_server: Server) -> None:
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    schema.upgrade(url)
    with closing(Book(url)) as book:
        sits(book, "till-1")
    old = postgres_server.create_database(template=name)
    with closing(Book(url)) as book:
        sits(book, "till-2")
        sits(book, "till-3")
        postgres_server.drop_database(name)
        with psycopg.connect(postgres_server.admin_url, autocommit=True) as connection:
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(rename.format(sql.Identifier(old), sql.Identifier(name)))
        with closing(Book(url)) as another:
            for number in range(4):  # past where the lost one ended
                fact = SeatOccupied(product="cloud_pos", tier=None, holder=f"x-{number}")
                another.append(context(), Change(another.load(ACCOUNT, "beta"), [fact]))
        with suppress(PersistenceError):  # its connection was cut
            holders(book)
        assert holders(book) == ["till-1"]
        assert "went back" in (book.store.lineage.notice or "")
    postgres_server.drop_database(name)


def test_a_process_that_upgrades_its_own_ledger_keeps_its_locks(book: Book, file: Path) -> None:
    """Else another one that leaves takes itself for the last, and removes the log beneath it."""
    sits(book, "till-1")
    schema.upgrade(f"sqlite:///{file}")
    another = """if 1:
        import sys
        from contextlib import closing
        from ledger.book import Book
        with closing(Book(sys.argv[1])) as book:
            assert book.head() == 1
    """
    subprocess.run([sys.executable, "-c", another, f"sqlite:///{file}"], check=True)
    assert Path(f"{file}-wal").exists()
    sits(book, "till-2")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
