"""Snapshots of streams: found while they can be trusted, and no loss when they are gone."""

from __future__ import annotations

import pytest

from ledger.store import Recorder
from ledger.store.snapshots import FromSnapshot, Snapshot
from tests.store.log import event

AT = "2031-05-06T07:08:09.000010+00:00"
STATE = bytes(range(256))


@pytest.fixture
def three(recorder: Recorder) -> Recorder:
    """Answer a ledger of a stream of three events, and one of another in between."""
    for stream, version in (("a", 1), ("a", 2), ("b", 1), ("a", 3)):
        recorder.insert_events([event(stream, version)])
    return recorder


def versions(found: FromSnapshot) -> list[int]:
    return [version for _, version, _, _ in found.rows]


def test_without_one_the_whole_stream_is_read(three: Recorder) -> None:
    found = three.snapshots.read("a", 1)

    assert (found.head, found.snapshot) == (4, None)
    assert found.rows == three.read_stream("a")[1]
    assert three.snapshots.read("c", 1) == (4, None, [])


def test_with_one_only_what_came_after_it_is_read(three: Recorder) -> None:
    kept = Snapshot(1, 2, 2, AT, STATE)
    three.snapshots.keep("a", kept)

    assert three.snapshots.read("a", 1) == (4, kept, three.read_stream("a", after=2)[1])
    assert three.snapshots.read("b", 1).snapshot is None


def test_one_at_the_end_leaves_nothing_to_read(three: Recorder) -> None:
    kept = Snapshot(1, 3, 4, AT, STATE)
    three.snapshots.keep("a", kept)

    assert three.snapshots.read("a", 1) == (4, kept, [])


def test_one_of_another_shape_is_passed_over(three: Recorder) -> None:
    three.snapshots.keep("a", Snapshot(1, 2, 2, AT, STATE))

    found = three.snapshots.read("a", 2)

    assert found.snapshot is None
    assert versions(found) == [1, 2, 3]


@pytest.mark.parametrize(("version", "position"), [(2, 3), (3, 3), (4, 5), (9, 2)])
def test_one_whose_event_is_not_there_is_passed_over(
    three: Recorder, version: int, position: int
) -> None:
    three.snapshots.keep("a", Snapshot(1, version, position, AT, STATE))

    found = three.snapshots.read("a", 1)

    assert found.snapshot is None
    assert versions(found) == [1, 2, 3]


def test_a_newer_one_takes_the_place_of_an_older_and_never_the_other_way(three: Recorder) -> None:
    newer = Snapshot(1, 3, 4, AT, b"newer")
    three.snapshots.keep("a", Snapshot(1, 1, 1, AT, b"older"))
    three.snapshots.keep("a", newer)
    three.snapshots.keep("a", Snapshot(1, 2, 2, AT, b"late"))

    assert three.snapshots.read("a", 1).snapshot == newer


def test_one_of_another_shape_takes_the_place_of_any(three: Recorder) -> None:
    three.snapshots.keep("a", Snapshot(1, 3, 4, AT, b"old shape"))
    three.snapshots.keep("a", Snapshot(2, 1, 1, AT, b"new shape"))

    assert three.snapshots.read("a", 1).snapshot is None
    assert three.snapshots.read("a", 2).snapshot == Snapshot(2, 1, 1, AT, b"new shape")


def test_they_are_listed_in_order_of_their_streams(three: Recorder) -> None:
    a, b = Snapshot(1, 1, 1, AT, b"a"), Snapshot(1, 1, 3, AT, b"b")
    three.snapshots.keep("b", b)
    three.snapshots.keep("a", a)

    assert three.snapshots.streams("", 10) == [("a", a), ("b", b)]
    assert three.snapshots.streams("", 1) == [("a", a)]
    assert three.snapshots.streams("a", 10) == [("b", b)]
