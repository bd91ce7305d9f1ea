"""Several processes on one ledger: forked at a bad moment, started at once, killed midway."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from ledger.store import Recorder, VersionConflict
from tests.store.log import (
    Account,
    Told,
    event,
    in_threads,
    new_token,
    noted,
    open_recorder,
    whole_log,
)
from tests.store.processes import in_processes, start_clean


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Recorder]:
    """Answer the recorder of each database in turn."""
    recorder = open_recorder(ledger_url)
    yield recorder
    recorder.close()


# --- forks ----------------------------------------------------------------------------------------


def test_a_child_goes_on_with_connections_of_its_own(ledger: Recorder) -> None:
    """The parent has used every kind of connection before, and goes on at the same time."""
    ledger.insert_events([event("parent", 1)])
    ledger.insert_events([event("parent", 2), event("parent", 3)])
    ledger.text_keys.put_if_absent("parent", b"key", "now")

    def go_on() -> None:
        for version in range(4, 40):
            ledger.insert_events([event("parent", version)])
            assert len(ledger.read_stream("parent")[1]) == version

    results = in_processes(3, append_and_read_back, ledger, meanwhile=go_on)

    assert results == [20, 20, 20]
    assert len(whole_log(ledger)) == 39 + 3 * 20
    assert ledger.text_keys.get("child-0") == b"child-0"


def append_and_read_back(number: int, inherited: Recorder) -> int:
    stream = f"child-{number}"
    for version in range(1, 21):
        inherited.insert_events([event(stream, version)])
        assert len(inherited.read_stream(stream)[1]) == version
    inherited.text_keys.put_if_absent(stream, stream.encode(), "now")
    assert inherited.text_keys.get("parent") == b"key"
    inherited.close()
    return version


def test_a_child_forked_in_the_middle_of_a_commit_waits_for_nobody_of_the_parents(
    postgres: Recorder, postgres_ledger_url: str
) -> None:
    """A leader of the parent waits for the ledger's turn, and followers for it.

    In the child they do not exist. (SQLite cannot be forked while a thread is inside it.)
    """
    account = Account()
    with (
        psycopg.connect(postgres_ledger_url, autocommit=True) as other,
        ThreadPoolExecutor(4) as threads,
    ):
        other.execute("BEGIN; SELECT keyfold_take_turn()")
        sent = [threads.submit(account.append, postgres, (f"parent-{n}", 1)) for n in range(4)]
        while postgres._group_commit().waiting < 3:  # type: ignore[attr-defined]  # noqa: SLF001
            time.sleep(0.001)
        answer = in_processes(1, append_one, postgres, meanwhile=lambda: other.execute("COMMIT"))
        assert [each.result() for each in sent] == [None] * 4

    assert answer[0] in range(1, 6)
    assert len(whole_log(postgres)) == 5


def append_one(_: int, inherited: Recorder) -> int:
    assert inherited.head() in range(6)
    (position,) = inherited.insert_events([event("child", 1)])
    return position


# --- many at once ---------------------------------------------------------------------------------


def test_eight_processes_open_the_ledger_and_append_at_once(ledger_url: str) -> None:
    """Each has two threads; all want the shared stream's next version in the same append."""
    told: dict[str, Told] = {}
    for theirs in in_processes(8, open_and_append, ledger_url):
        told |= theirs

    with closing(open_recorder(ledger_url)) as recorder:
        rows = Account(told).check(recorder)
    assert sum(row.stream == "shared" for row in rows) == 8 * 2 * 5
    assert len(rows) == 8 * 2 * 5 * 2


def open_and_append(number: int, url: str) -> dict[str, Told]:
    account = Account()
    with closing(open_recorder(url)) as recorder:

        def append(n: int) -> None:
            for version in range(1, 6):
                own = (f"own-{number}-{n}", version)
                while lost := account.append(recorder, own, ("shared", next_shared(recorder))):
                    assert type(lost) is VersionConflict, lost

        in_threads(2, append)
    return account.told


def next_shared(recorder: Recorder) -> int:
    return len(recorder.read_stream("shared")[1]) + 1


# --- killed ---------------------------------------------------------------------------------------


def test_writers_killed_among_others_lose_and_double_nothing(
    ledger: Recorder, ledger_url: str, tmp_path: Path
) -> None:
    """Six writers append; every few moments one of them is killed with -9 and another takes over.

    What each was told is in a file that the kill cannot take back. A reader follows all the time.
    """
    with followed(ledger) as seen:
        processes = [start_clean(append_for_ever, ledger_url, tmp_path, name) for name in range(6)]
        for name in range(6, 22):
            time.sleep(0.12)
            victim = processes.pop(random.randrange(len(processes)))
            os.kill(victim.pid or 0, signal.SIGKILL)
            victim.join()
            processes.append(start_clean(append_for_ever, ledger_url, tmp_path, name))
        for process in processes:
            os.kill(process.pid or 0, signal.SIGKILL)
            process.join()
        wait_until_settled(ledger)

    account = account_of(tmp_path)
    rows = account.check(ledger)
    assert seen == [(row.position, row.stream, row.version) for row in rows]
    assert account.recorded > 100
    assert ledger.insert_events([event("after", 1)]) == [len(rows) + 1]


def wait_until_settled(recorder: Recorder) -> None:
    """Wait until the server has done what the dead had sent it."""
    before = -1
    while before != (before := recorder.head()):
        time.sleep(0.5)


def append_for_ever(url: str, folder: Path, name: int) -> None:
    recorder = open_recorder(url)
    with (folder / f"told-{name}").open("ab", buffering=0) as told:
        for version in range(1, 1_000_000):
            token = new_token()
            told.write(json.dumps([token, None]).encode() + b"\n")
            places = [(f"writer-{name}", version), (f"second-{name}", version)]
            positions = recorder.insert_events(noted(token, *places))
            told.write(json.dumps([token, positions]).encode() + b"\n")


def account_of(folder: Path) -> Account:
    """Answer what the writers were told before they were killed."""
    account = Account()
    for file in folder.glob("told-*"):
        for line in file.read_bytes().splitlines():
            token, positions = json.loads(line)
            account.told[token] = Told(positions, is_known=positions is not None)
    return account


@contextmanager
def followed(recorder: Recorder) -> Iterator[list[tuple[int, str, int]]]:
    """Follow the ledger for the length of the block, and then to its end."""
    seen: list[tuple[int, str, int]] = []
    finished = threading.Event()

    def follow() -> None:
        while True:
            was_finished = finished.is_set()
            rows = recorder.read_from(seen[-1][0] if seen else 0, 50)
            seen.extend((row.position, row.stream, row.version) for row in rows)
            if was_finished and not rows:
                return

    following = threading.Thread(target=follow)
    following.start()
    try:
        yield seen
    finally:
        finished.set()
        following.join()
