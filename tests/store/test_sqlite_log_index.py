"""What tells without asking SQLite that nothing was committed: never wrong, and harmless."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger.store import Recorder, schema
from ledger.store.sqlite.recorder import SqliteRecorder
from tests.store.log import event, open_recorder

# SQLite locks this byte of the index for as long as a process has the file open.
OPEN_BYTE = 128


@pytest.fixture
def recorder(sqlite_url: str) -> Iterator[Recorder]:
    recorder = open_recorder(sqlite_url)
    yield recorder
    recorder.close()


def in_another_process(program: str, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


APPEND = """
import sys
from tests.store.log import event, open_recorder
recorder = open_recorder(sys.argv[1])
recorder.insert_events([event("other", int(sys.argv[2]))])
recorder.close()
"""
LOCKED = f"""
import fcntl, sys
with open(sys.argv[1], "r+b") as index:
    try:
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {OPEN_BYTE})
    except OSError:
        print("open")
"""


def test_while_nobody_commits_sqlite_is_not_asked(recorder: Recorder) -> None:
    assert isinstance(recorder, SqliteRecorder)
    recorder.insert_events([event("a", 1)])
    assert recorder.read_stream("a")[0] == 1
    look, found = recorder._last or (None, None)  # noqa: SLF001
    assert found == 1
    assert recorder.head() == 1
    assert recorder.read_stream("a", 1, seen=1) == (1, [])
    assert recorder.read_streams({"a": 1, "b": 0}, seen=1) == (1, [])
    assert recorder._last == (look, found)  # noqa: SLF001


def test_what_another_process_commits_is_seen_by_the_next_look(
    recorder: Recorder, sqlite_url: str
) -> None:
    recorder.insert_events([event("a", 1)])
    for n in range(1, 4):
        assert recorder.head() == recorder.head() == n
        in_another_process(APPEND, sqlite_url, str(n))
        head, rows = recorder.read_stream("other", n - 1, seen=n)
        assert (head, [row[:2] for row in rows]) == (n + 1, [(n + 1, n)])


def test_what_is_committed_after_the_log_was_put_into_the_file_is_seen(
    recorder: Recorder, sqlite_url: str
) -> None:
    """The log is written again from its beginning then."""
    for n in range(1, 4):
        recorder.insert_events([event("a", n)])
        assert recorder.head() == recorder.head() == n
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert recorder.head() == n


def test_a_ledger_that_is_closed_leaves_another_ones_connections_their_locks(
    recorder: Recorder, sqlite_url: str
) -> None:
    """Whoever closes a file releases all locks that its process has on it."""
    recorder.insert_events([event("a", 1)])
    index = sqlite_url.removeprefix("sqlite:///") + "-shm"
    for _ in range(3):
        with closing(open_recorder(sqlite_url)) as other:
            assert other.head() == other.head() == 1
        assert in_another_process(LOCKED, index) == "open"


def test_files_that_are_gone_are_let_go(tmp_path: Path) -> None:
    counted = []
    for n in range(8):
        url = f"sqlite:///{tmp_path / f'{n}.db'}"
        schema.upgrade(url)
        with closing(open_recorder(url)) as recorder:
            assert recorder.head() == recorder.head() == 0
        counted.append(sum(1 for _ in Path("/dev/fd").iterdir()))
        (tmp_path / f"{n}.db").unlink()
    assert counted[-1] <= counted[0]


DIE = """
import os, signal, sys
from tests.store.log import event, open_recorder
open_recorder(sys.argv[1]).insert_events([event("other", 1)])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_index_beside_a_link_is_not_taken_for_that_of_the_file(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    subprocess.run([sys.executable, "-c", DIE, sqlite_url], check=False)
    assert file.with_name(f"{file.name}-shm").exists()
    moved = tmp_path / "elsewhere" / "moved.db"
    moved.parent.mkdir()
    file.rename(moved)
    file.with_name(f"{file.name}-wal").rename(moved.with_name("moved.db-wal"))
    file.symlink_to(moved)
    with closing(open_recorder(sqlite_url)) as recorder:
        assert recorder.head() == 1
        assert recorder.insert_events([event("a", 1)]) == [2]
        assert recorder.head() == 2
        for position in (3, 4):
            in_another_process(APPEND, sqlite_url, str(position - 1))
            assert recorder.head() == position
            assert recorder.read_stream("other", position - 2, seen=position - 1)[0] == position


def test_an_index_of_an_older_file_is_not_taken_for_that_of_a_copy(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    index = file.with_name(f"{file.name}-shm")
    subprocess.run([sys.executable, "-c", DIE, sqlite_url], check=False)
    with closing(sqlite3.connect(file)) as old:
        old.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        file.with_name(f"{file.name}-wal").unlink()
        (tmp_path / "copy.db").replace(file)  # `old` is open, so its index stays
    index.touch()
    with closing(open_recorder(sqlite_url)) as reader:
        assert reader.head() == reader.head() == 1
        index.unlink()
        for position in (2, 3):
            in_another_process(APPEND, sqlite_url, str(position))
            assert reader.head() == position
