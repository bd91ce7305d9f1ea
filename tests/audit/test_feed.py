"""The feed: every event once, in order, whoever writes and reads meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import StoredEvent

from ledger.book import Book
from projections.lists.feed import read_feed
from tests.web.api import Api, Got, stored_api
from tests.worlds import NOON, issue

ROOT = Path(__file__).parents[2]


def ask(api: Api, after: int = 0, role: str = "auditor", **query: int) -> Got:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    return api.get(role, f"/v1/events?after={after}{more}")


def ids(got: Got) -> list[int]:
    assert got.status == 200, got.body
    return [int(event["id"]) for event in got.body["items"]]


# What is answered


def test_a_portal_follows_what_concerns_accounts_and_misses_nothing(api: Api) -> None:
    api.issue()
    api.redeem("acme")
    api.issue()
    api.redeem("beta")
    api.issue()
    whole = api.get("auditor", "/v1/events?after=0&limit=500").body["items"]
    told, after = [], 0
    while True:
        page = ask(api, after, role="portal", limit=2).body
        told += page["items"]
        if page["next"] is None:
            break
        after = int(page["next"])
    assert told == [one for one in whole if one["subject"].startswith("account-")]
    assert {one["subject"] for one in told} == {"account-acme", "account-beta"}
    assert after == api.head


def test_an_event_is_a_cloud_event_with_its_state_as_json(api: Api) -> None:
    api.redeem("acme")
    api.sit("till-1", label="Front desk")
    row = api.services.book.store.read_from(api.head - 1, 1)[0]
    got = ask(api, api.head - 1)
    state = json.loads(row.state)
    assert got.body == {
        "items": [
            {
                "specversion": "1.0",
                "id": str(api.head),
                "source": "/keyfold",
                "type": "account.seat_occupied@1",
                "subject": "account-acme",
                "time": "2026-03-01T12:00:00.000000Z",
                "datacontenttype": "application/json",
                "keyfoldversion": 2,
                "data": state,
            }
        ],
        "next": None,
        "position": api.head,
    }
    assert state["fact"]["holder"] == "till-1"
    assert state["recorded_at"] == NOON.isoformat().replace("+00:00", "Z")


def test_free_text_stays_sealed(api: Api) -> None:
    api.redeem("acme")
    api.sit("till-1", label="Front desk")
    assert b"Front desk" not in ask(api, limit=500, role="admin").raw


def test_pages_follow_on_each_other_to_the_end(api: Api) -> None:
    for _ in range(5):
        api.issue()
    found, after = [], 0
    while True:
        got = ask(api, after, limit=4)
        found += ids(got)
        assert got.body["position"] == api.head
        if got.body["next"] is None:
            break
        after = int(got.body["next"])
        assert after == found[-1]
    assert found == list(range(1, api.head + 1))
    assert ask(api, found[-1]).body == {"items": [], "next": None, "position": api.head}


def test_a_page_that_ends_at_the_head_has_none_after_it(api: Api) -> None:
    assert ask(api, limit=api.head).body["next"] is None
    assert ask(api, limit=api.head - 1).body["next"] == str(api.head - 1)


def test_an_empty_ledger_has_no_events() -> None:
    assert read_feed(Book("memory:"), 0, 9) == ([], 0, None)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("after=-1", "/after"),
        ("after=x", "/after"),
        ("after=", "/after"),
        ("limit=0", "/limit"),
        ("limit=501", "/limit"),
        ("wait=61", "/wait"),
        ("wait=-1", "/wait"),
        ("wait=1.5", "/wait"),
        ("cursor=1", "/cursor"),
        ("after=1&after=2", "/after"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(api: Api, query: str, pointer: str) -> None:
    got = api.get("auditor", f"/v1/events?{query}")
    assert (got.status, got.code, got.pointers) == (422, "invalid_request", [pointer])


def test_to_be_after_the_end_is_to_follow_another_ledger(api: Api) -> None:
    got = ask(api, api.head + 1)
    assert (got.status, got.code) == (503, "position_not_reached")
    assert got.headers["Retry-After"] == "1"
    assert got.body["detail"] == f"The ledger is at position {api.head}."


def test_to_be_after_the_end_is_told_at_once_and_not_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def must_not(_seconds: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr(time, "sleep", must_not)
    got = ask(api, api.head + 1, wait=20)
    assert (got.status, got.code) == (503, "position_not_reached")


# Waiting


def test_who_waits_gets_the_event_that_comes(api: Api) -> None:
    head = api.head
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(ask, api, head, wait=60)
        issue(api.services)
        assert ids(waiting.result())[0] == head + 1


def test_who_waits_in_vain_gets_nothing(api: Api) -> None:
    assert ids(ask(api, api.head, wait=1)) == []


def test_who_waits_is_not_kept_when_there_is_something(api: Api) -> None:
    assert ids(ask(api, 0, wait=60, limit=1)) == [1]


def test_when_too_many_wait_one_more_does_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.app.waiting._slots", threading.BoundedSemaphore(1))
    head, waits = api.head, threading.Event()
    read_stream = api.services.book.store.read_from

    def watched(*asked: Any) -> Any:
        waits.set()
        return read_stream(*asked)

    with ThreadPoolExecutor() as pool:
        monkeypatch.setattr(api.services.book.store, "read_from", watched)
        waiting = pool.submit(ask, api, head, wait=60)
        waits.wait()
        assert ids(ask(api, head, wait=60)) == []
        assert not waiting.done()
        issue(api.services)
        assert ids(waiting.result())[0] == head + 1
    assert ids(ask(api, 0, wait=60, limit=1)) == [1]


# At the rate of the writers

WRITERS = 4
APPENDS = 150
READERS = 3

_WRITER = """
import sys
from ledger.book import Book
from tests.audit.test_feed import write
write(Book(sys.argv[1]), "elsewhere")
"""


def write(book: Book, writer: str) -> None:
    """Append one, two and three events at a time, without a pause."""
    state = book.store.read_from(0, 1)[0].state
    for number in range(APPENDS):
        name = f"account-{writer}-{number}"
        book.store.insert_events(
            [
                StoredEvent(name, version, "account.seat_released@1", state)
                for version in range(1, 2 + number % 3)
            ]
        )


@pytest.fixture
def served(database_url: str) -> Iterator[Api]:
    with stored_api(database_url) as api:
        yield api


def test_readers_at_the_heels_of_the_writers_skip_nothing_and_get_nothing_twice(
    served: Api, database_url: str
) -> None:
    first = served.head
    total = first + (WRITERS + 1) * sum(1 + number % 3 for number in range(APPENDS))

    def follow(limit: int) -> list[Any]:
        events: list[Any] = []
        while len(events) < total - first:
            after = int(events[-1]["id"]) if events else first
            got = ask(served, after, wait=20, limit=limit)
            assert got.status == 200, got.body
            events += got.body["items"]
        return events

    elsewhere = subprocess.Popen(
        [sys.executable, "-c", _WRITER, database_url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        readers = [pool.submit(follow, limit) for limit in (1 + 7, 100, 500)]
        writers = [
            pool.submit(write, served.services.book, f"writer-{number}")
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.result()
        assert elsewhere.wait(60) == 0
        followed = [reader.result() for reader in readers]
    rows = served.services.book.store.read_from(first, total)
    stored = [(str(row.position), row.stream, row.version) for row in rows]
    for events in followed:
        assert [(e["id"], e["subject"], e["keyfoldversion"]) for e in events] == stored
    assert len(stored) == total - first
