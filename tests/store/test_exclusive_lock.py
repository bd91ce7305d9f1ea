"""A lock that one of all processes holds, and that its death gives up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ledger.store.exclusive_lock import open_exclusive_lock
from tests.cli.program import ROOT

HOLD = """
import sys
from ledger.store.exclusive_lock import open_exclusive_lock
lock = open_exclusive_lock(sys.argv[1], "webhooks")
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/keyfold.db"


def test_one_of_two_holds_it_and_the_other_once_it_is_given_up(url: str) -> None:
    first, second = (open_exclusive_lock(url, "webhooks") for _ in range(2))
    assert (first.acquire(), second.acquire()) == (True, False)
    assert (first.acquire(), first.is_held(), second.is_held()) == (True, True, False)
    other = open_exclusive_lock(url, "others")
    assert other.acquire()
    first.release()
    assert not first.is_held()
    while not second.acquire():
        pass
    assert not first.acquire()
    for lock in (first, second, other):
        lock.release()


def test_it_is_given_up_by_the_death_of_its_holder(url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        lock = open_exclusive_lock(url, "webhooks")
        assert not lock.acquire()
        holder.kill()
        holder.wait()
    while not lock.acquire():
        pass
    lock.release()


def test_a_clean_end_leaves_no_file(tmp_path: Path) -> None:
    lock = open_exclusive_lock(f"sqlite:///{tmp_path}/keyfold.db", "webhooks")
    assert lock.acquire()
    assert [file.name for file in tmp_path.iterdir()] == ["keyfold.db-webhooks"]
    (tmp_path / "keyfold.db-webhooks").unlink()
    assert not lock.is_held()
    assert lock.acquire()
    lock.release()
    assert list(tmp_path.iterdir()) == []
