"""No reader that follows the ledger can ever miss an event, whatever the writers do.

The database is made hostile: between taking its place and committing, every append sleeps for a
random time, and one in seven then fails; a killer terminates backends all the while. Readers
follow, each from where it was. In the end each must have seen the whole ledger, in its order, as it
is.

The same is done to the library's recorder in its function mode, where positions come from a
sequence: there readers must be seen to miss events, or this test proves nothing.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import psycopg
import pytest
from eventsourcing.persistence import (
    DatabaseError,
    InterfaceError,
    Notification,
    StoredEvent,
)
from eventsourcing.postgres import Factory as LibraryFactory
from eventsourcing.utils import Environment
from psycopg.conninfo import conninfo_to_dict

from ledger.store import Recorder
from tests.store.log import event, open_recorder, whole_log

WRITERS = 6
READERS = 2
PAGE = 20

Seen = tuple[int, str, int, bytes]


@dataclass(frozen=True)
class Scheme:
    """One way to append and to follow.

    Attributes:
        appenders: one for each writer, with a connection of its own.
        follow: answers what comes after a position, at most a page of it.
    """

    appenders: Sequence[Callable[[Sequence[StoredEvent]], object]]
    follow: Callable[[int], list[Seen]]


HOSTILE = """
    CREATE FUNCTION hesitate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(random() * 0.02);
        IF random() < 0.15 THEN
            RAISE EXCEPTION 'rolled back' USING ERRCODE = 'serialization_failure';
        END IF;
        RETURN NEW;
    END $$;
    CREATE CONSTRAINT TRIGGER hesitate AFTER INSERT ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hesitate();
"""


def make_hostile(url: str, table: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(HOSTILE.format(table=table).encode())


class Chase:
    """Writers, readers and a killer at work on one ledger."""

    def __init__(self, scheme: Scheme, url: str) -> None:
        self._scheme = scheme
        self._url = url
        self._stop_writing = threading.Event()
        self._stop_reading = threading.Event()
        self.seen: list[list[Seen]] = [[] for _ in range(READERS)]
        self.failures = 0
        self.killed = 0

    def run(self, is_over: Callable[[], bool]) -> None:
        """Work until it is over; then let the readers come to the end."""
        with ThreadPoolExecutor(WRITERS + READERS + 1) as threads:
            writing = [threads.submit(self._write, n) for n in range(WRITERS)]
            writing.append(threads.submit(self._kill))
            reading = [threads.submit(self._read, seen) for seen in self.seen]
            while not is_over() and not any(each.done() for each in reading):
                time.sleep(0.05)
            self._stop_writing.set()
            for each in writing:
                each.result()
            self._stop_reading.set()
            for each in reading:
                each.result()

    def _write(self, number: int) -> None:
        append = self._scheme.appenders[number]
        versions = {"own": 0, "second": 0}
        while not self._stop_writing.is_set():
            streams = ("own", "second")[: random.choice((1, 1, 2))]
            events = [
                event(f"{stream}-{number}", versions[stream] + 1, b"%x" % random.getrandbits(64))
                for stream in streams
            ]
            try:
                append(events)
            except (DatabaseError, InterfaceError):
                # Recorded or not, nobody claims these places again: a new stream, from the start.
                self.failures += 1
                number += WRITERS
                versions = {"own": 0, "second": 0}
            else:
                versions.update({stream: versions[stream] + 1 for stream in streams})

    def _kill(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as session:
            while not self._stop_writing.wait(random.random() * 0.1):
                self.killed += len(
                    session.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND state = 'active'"
                        " AND (query LIKE '%es_insert_events%' OR query LIKE '%keyfold_append%')"
                        " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
                    ).fetchall()
                )

    def _read(self, seen: list[Seen]) -> None:
        while True:
            is_last = self._stop_reading.is_set()
            with suppress(DatabaseError, InterfaceError):
                rows = self._scheme.follow(seen[-1][0] if seen else 0)
                seen += rows
                if is_last and not rows:
                    return


# --- ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seconds",
    [10, pytest.param(600, marks=[pytest.mark.long, pytest.mark.timeout(1200)])],
    ids=["ten seconds", "ten minutes"],
)
def test_a_follower_misses_nothing(postgres_ledger_url: str, seconds: int) -> None:
    make_hostile(postgres_ledger_url, "keyfold_events")
    recorders = [open_recorder(postgres_ledger_url) for _ in range(WRITERS // 2 + 1)]
    reader, *writers = recorders
    chase = Chase(our_scheme(reader, [*writers, *writers]), postgres_ledger_url)
    end = time.monotonic() + seconds

    chase.run(lambda: time.monotonic() > end)

    ledger = [(row.position, row.stream, row.version, row.state) for row in whole_log(reader)]
    assert all(seen == ledger for seen in chase.seen)
    assert len(ledger) > 20 * seconds, "not much was written"
    assert chase.failures > seconds, "not much failed"
    assert chase.killed > seconds, "nobody was killed"
    for recorder in recorders:
        recorder.close()


def our_scheme(reader: Recorder, writers: Sequence[Recorder]) -> Scheme:
    """Two writers share one recorder, and so their commits."""
    return Scheme(
        [writer.insert_events for writer in writers],
        lambda after: [
            (row.position, row.stream, row.version, row.state)
            for row in reader.read_from(after, PAGE)
        ],
    )


# --- the control ----------------------------------------------------------------------------------


def test_the_librarys_function_mode_is_seen_to_let_a_follower_miss_events(
    postgres_url: str,
) -> None:
    factories = [library_factory(postgres_url) for _ in range(WRITERS + 1)]
    reader, *writers = [factory.application_recorder() for factory in factories]
    make_hostile(postgres_url, "control_events")

    def follow(after: int) -> list[Seen]:
        return [seen(each) for each in reader.select_notifications(after + 1, PAGE)]

    chase = Chase(Scheme([writer.insert_events for writer in writers], follow), postgres_url)
    end = time.monotonic() + 20

    def missed() -> int:
        read = {each[0] for each in tuple(chase.seen[0])}
        return sum(
            each.id not in read
            for each in reader.select_notifications(1, 100_000, max(read, default=0))
        )

    chase.run(lambda: missed() > 0 or time.monotonic() > end)

    assert missed() > 0, "the test cannot tell a bad scheme from a good one"
    for factory in factories:
        factory.close()


def library_factory(url: str) -> LibraryFactory:
    given = conninfo_to_dict(url)
    names = {"DBNAME": "dbname", "HOST": "host", "PORT": "port", "USER": "user"}
    return LibraryFactory(
        Environment(
            "control",
            {
                **{f"POSTGRES_{name}": str(given[key]) for name, key in names.items()},
                "POSTGRES_PASSWORD": str(given.get("password", "")),
                "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
                "ORIGINATOR_ID_TYPE": "text",
            },
        )
    )


def seen(each: Notification) -> Seen:
    return (each.id, str(each.originator_id), each.originator_version, each.state)
