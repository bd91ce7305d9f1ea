"""A filling takes what single appends take, and nothing else, on all three stores."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError

from ledger.store import Recorder, Row, schema
from ledger.store.bulk_load import filling
from ledger.store.contract import Required, RestoreBegun
from ledger.store.holes import holes
from tests.store.log import NAME, event, open_recorder


def rows(*places: tuple[str, int], first: int = 1) -> list[Row]:
    return [
        Row(position, stream, version, NAME, b"{}")
        for position, (stream, version) in enumerate(places, first)
    ]


def connect(url: str) -> sqlite3.Connection | psycopg.Connection:
    path = url.removeprefix("sqlite:///")
    return sqlite3.connect(path) if path != url else psycopg.connect(url)


BAD = {
    "not the first": [[("a", 2)]],
    "one is left out": [[("a", 1), ("b", 1), ("a", 3)]],
    "one is left out, a page later": [[("a", 1), ("b", 1)], [("b", 2), ("a", 3)]],
    "one twice": [[("a", 1), ("a", 1)]],
    "one twice, a page later": [[("a", 1), ("a", 2)], [("a", 2)]],
    "the wrong way round": [[("a", 2), ("a", 1)]],
}


@pytest.mark.parametrize("pages", BAD.values(), ids=BAD)
def test_a_version_that_is_not_the_next_is_refused_and_nothing_is_kept(
    recorder: Recorder, pages: list[list[tuple[str, int]]]
) -> None:
    def fill() -> None:
        with filling(recorder) as filled:
            first = 1
            for page in pages:
                filled.add(rows(*page, first=first))
                first += len(page)

    with pytest.raises(IntegrityError):
        fill()
    assert recorder.head() == 0


def test_what_follows_is_taken(recorder: Recorder) -> None:
    with filling(recorder) as filled:
        filled.add(rows(("a", 1), ("b", 1), ("a", 2)))
        filled.add(rows(("b", 2), ("c", 1), ("b", 3), first=4))
    assert recorder.head() == 6
    assert holes(recorder) == []


def test_nothing_but_the_restore_is_recorded_until_it_has_ended(ledger_url: str) -> None:
    schema.begin_restore(ledger_url)
    with closing(open_recorder(ledger_url)) as recorder:

        def hold_to_refusal() -> None:
            required = [Required("b", 0)]
            for appended in ([event("a", 1)], [event("a", 1), event("a", 2)]):
                for options in ({}, {"required": required}):
                    with pytest.raises(RestoreBegun, match="has not ended"):
                        recorder.insert_events(appended, **options)
            with pytest.raises(RestoreBegun), filling(recorder) as other:
                other.add(rows(("a", 1)))
            assert recorder.head() == 0
            with pytest.raises(schema.RestoreUnfinished):
                schema.check(ledger_url)

        hold_to_refusal()
        with suppress(IntegrityError), filling(recorder) as filled:
            filled.end_restore()
            filled.add(rows(("a", 1)))
            filled.add(rows(("a", 1), first=2))
        hold_to_refusal()
        with filling(recorder) as filled:
            filled.end_restore()
            filled.add(rows(("a", 1)))
        assert recorder.insert_events([event("a", 2)]) == [2]
        schema.check(ledger_url)


def test_a_restore_that_is_given_up_leaves_an_empty_ledger(ledger_url: str) -> None:
    assert not schema.give_up_restore(ledger_url)
    schema.begin_restore(ledger_url)
    assert schema.give_up_restore(ledger_url)
    schema.check(ledger_url)
    with closing(open_recorder(ledger_url)) as recorder:
        assert recorder.insert_events([event("a", 1)]) == [1]
        schema.begin_restore(ledger_url)  # into what is somebody's
        assert recorder.insert_events([event("a", 2)]) == [2]
    schema.check(ledger_url)


def test_a_mark_beside_events_locks_nobody_out(ledger_url: str) -> None:
    """Programs before step 23 took events while it was there."""
    with closing(open_recorder(ledger_url)) as recorder:
        recorder.insert_events([event("a", 1)])
        with closing(connect(ledger_url)) as connection, connection:
            connection.execute("INSERT INTO keyfold_projections VALUES ('restore@1', 0)")
        schema.check(ledger_url)
        assert recorder.insert_events([event("a", 2)]) == [2]
