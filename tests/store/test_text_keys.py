"""The keys of sealed free text: one for each owner, and gone when they are destroyed."""

from __future__ import annotations

import random
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError

from ledger.store import Recorder
from ledger.store.sqlite import patience
from ledger.store.sqlite.datastore import path_of
from ledger.store.text_keys import TextKeys
from tests.store.log import event, in_threads, open_recorder

AT = "2031-05-06T07:08:09.000010Z"


@pytest.fixture
def keys(recorder: Recorder) -> TextKeys:
    return recorder.text_keys


def test_an_owner_without_a_key_has_none(keys: TextKeys) -> None:
    assert keys.get("account-acme") is None


def test_a_key_is_kept_as_it_was_given(keys: TextKeys) -> None:
    wrapped = bytes(range(256))

    assert keys.put_if_absent("account-acme", wrapped, AT) == wrapped
    assert keys.get("account-acme") == wrapped
    assert keys.get("account-other") is None


def test_the_first_key_stays(keys: TextKeys) -> None:
    assert keys.put_if_absent("account-acme", b"first", AT) == b"first"
    assert keys.put_if_absent("account-acme", b"second", AT) == b"first"
    assert keys.get("account-acme") == b"first"


def test_a_destroyed_key_is_gone_and_others_are_not(keys: TextKeys) -> None:
    keys.put_if_absent("account-acme", b"acme", AT)
    keys.put_if_absent("account-other", b"other", AT)

    assert keys.destroy("account-acme") is True
    assert keys.destroy("account-acme") is False
    assert (keys.get("account-acme"), keys.get("account-other")) == (None, b"other")
    assert keys.put_if_absent("account-acme", b"new", AT) == b"new"


def test_threads_that_make_a_key_at_once_get_the_same(keys: TextKeys) -> None:
    answers: list[bytes] = []
    in_threads(
        8, lambda n: answers.append(keys.put_if_absent("account-acme", f"key {n}".encode(), AT))
    )

    assert len(answers) == 8
    assert set(answers) == {keys.get("account-acme")}


def test_keys_and_events_are_kept_side_by_side(recorder: Recorder) -> None:
    recorder.insert_events([event("account-acme", 1)])
    recorder.text_keys.put_if_absent("account-acme", b"acme", AT)
    recorder.text_keys.destroy("account-acme")

    assert recorder.insert_events([event("account-acme", 2)]) == [2]


# --- SQLite: the bytes themselves -----------------------------------------------------------------


@pytest.fixture
def files(sqlite_url: str) -> Iterator[list[Path]]:
    """Answer every file that the ledger may leave its bytes in."""
    path = Path(path_of(sqlite_url))
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))]  # type: ignore[return-value]


def bytes_of(files: list[Path]) -> bytes:
    return b"".join(file.read_bytes() for file in files if file.exists())


def test_no_file_of_the_ledger_holds_a_destroyed_key(sqlite: Recorder, files: list[Path]) -> None:
    """Also after pages have been split, merged and reused."""
    keys = sqlite.text_keys
    wrapped = {f"account-{n}": secrets.token_bytes(60) for n in range(160)}
    for owner, key in random.sample(sorted(wrapped.items()), len(wrapped)):
        keys.put_if_absent(owner, key, AT)
    destroyed = random.sample(sorted(wrapped), 100)
    assert all(wrapped[owner] in bytes_of(files) for owner in destroyed)

    for owner in destroyed:
        assert keys.destroy(owner)
    for n in range(40):
        keys.put_if_absent(f"late-{n}", secrets.token_bytes(60), AT)

    left = bytes_of(files)
    assert [owner for owner in destroyed if wrapped[owner] in left] == []
    assert all(keys.get(owner) == key for owner, key in wrapped.items() if owner not in destroyed)


def test_a_destroyed_key_that_a_long_read_keeps_is_said_to_be_there_still(
    sqlite: Recorder, sqlite_url: str, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "BUSY_TIMEOUT_S", 0.1)
    wrapped = secrets.token_bytes(60)
    with closing(open_recorder(sqlite_url)) as recorder:
        recorder.text_keys.put_if_absent("account-acme", wrapped, AT)
        with closing(sqlite3.connect(path_of(sqlite_url), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM keyfold_events").fetchall()
            with pytest.raises(OperationalError, match="destroy it again"):
                recorder.text_keys.destroy("account-acme")
            assert recorder.text_keys.get("account-acme") is None
            reader.execute("ROLLBACK")

        assert recorder.text_keys.destroy("account-acme") is False
        assert wrapped not in bytes_of(files)
