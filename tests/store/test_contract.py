"""What `ledger.store.contract.Recorder` promises, on all three stores."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from threading import Barrier
from uuid import uuid4

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    StoredEvent,
    Tracking,
)

from ledger.store import Recorder, Row, VersionConflict
from ledger.store.contract import Required
from tests.store.log import (
    NAME,
    Account,
    event,
    fill,
    in_threads,
    open_recorder,
    versions,
    whole_log,
)
from tests.store.processes import in_processes

# --- appending ------------------------------------------------------------------------------------


def test_positions_are_answered_in_the_order_of_the_input(recorder: Recorder) -> None:
    first = recorder.insert_events([event("b", 1), event("a", 1), event("b", 2)])
    second = recorder.insert_events([event("a", 2)])

    assert (first, second) == ([1, 2, 3], [4])
    assert [row[:3] for row in whole_log(recorder)] == [
        (1, "b", 1),
        (2, "a", 1),
        (3, "b", 2),
        (4, "a", 2),
    ]


def test_nothing_is_recorded_for_no_events(recorder: Recorder) -> None:
    assert recorder.insert_events([]) == []
    assert recorder.head() == 0


def test_what_is_stored_is_what_was_given(recorder: Recorder) -> None:
    state = bytes(range(256))
    recorder.insert_events([StoredEvent("a", 1, "account.seat_occupied@1", state)])

    assert recorder.read_from(0, 1) == [Row(1, "a", 1, "account.seat_occupied@1", state)]
    assert recorder.read_stream("a") == (1, [(1, 1, "account.seat_occupied@1", state)])
    assert type(recorder.read_from(0, 1)[0].state) is bytes
    assert type(recorder.read_stream("a")[1][0][3]) is bytes


def test_a_conflict_tells_stream_expected_and_actual_version(recorder: Recorder) -> None:
    fill(recorder, versions("a", 3))

    with pytest.raises(VersionConflict) as conflict:
        recorder.insert_events([event("b", 1), event("a", 2)])

    assert (conflict.value.stream, conflict.value.expected, conflict.value.actual) == ("a", 2, 3)
    assert str(conflict.value) == "version 2 of a is taken: it is at version 3"


def test_a_conflict_leaves_neither_an_event_nor_a_gap(recorder: Recorder) -> None:
    fill(recorder, versions("a", 2))

    for conflicting in (
        [event("a", 2)],
        [event("b", 1), event("c", 1), event("a", 1)],
        [event("a", 1), event("a", 3)],
    ):
        with pytest.raises(VersionConflict):
            recorder.insert_events(conflicting)

    assert recorder.insert_events([event("b", 1), event("a", 3)]) == [3, 4]
    assert len(whole_log(recorder)) == 4


def test_the_same_version_twice_in_one_append_is_a_mistake_not_a_conflict(
    recorder: Recorder,
) -> None:
    with pytest.raises(IntegrityError) as refused:
        recorder.insert_events([event("a", 1), event("b", 1), event("a", 1)])

    assert not isinstance(refused.value, VersionConflict)
    assert recorder.head() == 0


def test_ten_thousand_events_go_into_one_append(recorder: Recorder) -> None:
    batch = [event(f"key-{n % 100}", n // 100 + 1, b'{"n": %d}' % n) for n in range(10_000)]

    assert recorder.insert_events(batch) == list(range(1, 10_001))

    assert len(whole_log(recorder, page=4_000)) == 10_000
    with pytest.raises(VersionConflict):
        recorder.insert_events([event("other", 1), *batch])
    assert recorder.head() == 10_000


def test_threads_that_race_for_versions_get_each_its_own_outcome(recorder: Recorder) -> None:
    """In every round, four threads want the same two places, and four want one of their own."""
    account = Account()
    losses: list[Exception] = []
    together = Barrier(8)

    def work(n: int) -> None:
        for version in range(1, 16):
            together.wait()
            if n < 4:
                assert account.append(recorder, (f"own-{n}", version)) is None
            elif lost := account.append(recorder, ("x", version), ("y", version)):
                losses.append(lost)

    in_threads(8, work)

    assert len(account.check(recorder)) == 15 * (4 + 2)
    assert len(losses) == 15 * 3
    assert all(type(lost) is VersionConflict for lost in losses)


@pytest.mark.parametrize(
    "stream",
    ["account-Zoë", "key-\U0001f511", "a b", "a%", "a_", "a'b\"c\\", "A", "ά", "a\r\n", " a", "a "],
)
def test_a_stream_may_have_any_text_for_an_id(recorder: Recorder, stream: str) -> None:
    fill(recorder, versions("a", 2))
    recorder.insert_events([event(stream, 1, name="tést@1")])

    assert recorder.read_stream(stream) == (3, [(3, 1, "tést@1", b"{}")])
    assert recorder.read_streams({stream: 0}) == (3, [Row(3, stream, 1, "tést@1", b"{}")])
    assert len(recorder.read_stream("a")[1]) == 2


@pytest.mark.parametrize(
    "impossible",
    [
        event("a\0b", 1),
        event("a", 1, name="n\0"),
        event("a\ud800", 1),
        StoredEvent(uuid4(), 1, NAME, b""),
        StoredEvent("a", 1, NAME, "text"),  # type: ignore[arg-type]
        event("a", 0),
        event("a", 2**63),
    ],
    ids=["NUL in id", "NUL in name", "half a pair", "UUID", "text state", "version 0", "too far"],
)
def test_what_one_store_cannot_hold_none_takes(recorder: Recorder, impossible: StoredEvent) -> None:
    with pytest.raises(DataError):
        recorder.insert_events([event("b", 1), impossible])

    assert recorder.head() == 0


def test_a_tracking_record_is_refused_not_dropped(recorder: Recorder) -> None:
    with pytest.raises(NotSupportedError):
        recorder.insert_events([event("a", 1)], tracking=Tracking("upstream", 1))

    assert recorder.insert_events([event("a", 1)], tracking=None) == [1]


# --- reading --------------------------------------------------------------------------------------


@pytest.fixture
def filled(recorder: Recorder) -> Recorder:
    """Answer a recorder of nine events: a1 b1 a2 c1 a3 b2 a4 b3 a5."""
    fill(recorder, list(zip("abacababa", (1, 1, 2, 1, 3, 2, 4, 3, 5), strict=True)))
    return recorder


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (0, None, [1, 2, 3, 4, 5]),
        (2, None, [3, 4, 5]),
        (0, 2, [1, 2]),
        (3, 1, [4]),
        (4, 9, [5]),
        (5, None, []),
        (9, None, []),
        (0, 0, []),
    ],
)
def test_a_stream_is_read_from_a_version_on_with_the_head(
    filled: Recorder, after: int, limit: int | None, expected: list[int]
) -> None:
    head, rows = filled.read_stream("a", after, limit)

    assert head == 9
    assert [version for _, version, _, _ in rows] == expected
    for position, version, *_ in rows:
        assert filled.read_from(position - 1, 1)[0][:3] == (position, "a", version)


def test_an_unknown_stream_has_no_rows_but_the_ledger_a_head(filled: Recorder) -> None:
    assert filled.read_stream("d") == (9, [])


def test_an_empty_ledger_answers_every_question(recorder: Recorder) -> None:
    assert recorder.head() == 0
    assert recorder.read_stream("a") == (0, [])
    assert recorder.read_stream("a", seen=0) == (0, [])
    assert recorder.read_streams({"a": 0, "b": 0}) == (0, [])
    assert recorder.read_positions([0, 1]) == []
    assert recorder.read_from(0, 10) == []


def test_a_stream_that_was_read_at_an_earlier_head_is_read_on(recorder: Recorder) -> None:
    """Whatever a store remembers, to look only where something may be new."""
    version, seen = 0, -1
    reached = Counter[str]()
    for n, stream in enumerate("aabaccaaa" * 3, 1):
        reached[stream] += 1
        fill(recorder, [(stream, reached[stream])])
        for _ in range(n % 4):
            head, rows = recorder.read_stream("a", version, seen=seen)
            assert head == n
            assert rows == [row for row in recorder.read_stream("a")[1] if row[1] > version]
            version = rows[-1][1] if rows else version
            seen = head


def test_what_another_process_has_appended_is_read_at_once(ledger_url: str) -> None:
    """Also on connections that have read before, and by a reader that expects nothing new."""
    with closing(open_recorder(ledger_url)) as ours:
        fill(ours, versions("a", 2))
        for version in range(2, 12):
            in_threads(3, lambda _: read_often(ours))
            before = ours.head()
            assert ours.read_stream("a", version, seen=before) == (before, [])
            assert ours.read_stream("a", version, seen=before) == (before, [])
            in_processes(1, append_elsewhere, ledger_url, version + 1)
            head, rows = ours.read_stream("a", version, seen=before)
            assert (head, [row[:2] for row in rows]) == (before + 1, [(before + 1, version + 1)])


def read_often(recorder: Recorder) -> None:
    for _ in range(3):
        recorder.read_stream("a", seen=recorder.head())


def append_elsewhere(_: int, url: str, version: int) -> None:
    with closing(open_recorder(url)) as theirs:
        theirs.insert_events([event("a", version)])


def test_only_the_next_version_of_a_stream_is_recorded(recorder: Recorder) -> None:
    fill(recorder, [("a", 1), ("a", 2), ("b", 1)])
    for append in (
        [event("a", 4)],
        [event("c", 2)],
        [event("b", 2), event("a", 4)],
        [event("a", 3), event("a", 5)],
        [event("a", 4), event("a", 3)],
    ):
        with pytest.raises(VersionConflict):
            recorder.insert_events(append)
    assert recorder.head() == 3
    assert recorder.insert_events([event("a", 3), event("c", 1), event("a", 4)]) == [4, 5, 6]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"b": 0, "a": 0}, [1, 2, 3, 5, 6, 7, 8, 9]),
        ({"c": 0, "b": 1}, [4, 6, 8]),
        ({"a": 4, "b": 3, "c": 9}, [9]),
        ({"d": 0, "c": 0}, [4]),
        ({"a": 5}, []),
        ({}, []),
    ],
)
def test_many_streams_are_read_in_the_order_of_positions_with_the_head(
    filled: Recorder, after: dict[str, int], expected: list[int]
) -> None:
    head, rows = filled.read_streams(after)

    assert head == 9
    assert [row.position for row in rows] == expected
    assert rows == filled.read_positions(expected)


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([1], [1]),
        ([9, 2, 4], [2, 4, 9]),
        ([3, 3, 0, -1, 10], [3]),
        ([2**62], []),
        ([], []),
    ],
)
def test_rows_are_read_at_positions(
    filled: Recorder, positions: list[int], expected: list[int]
) -> None:
    found = filled.read_positions(positions)

    assert [row.position for row in found] == expected
    assert found == [filled.read_from(position - 1, 1)[0] for position in expected]


def test_ten_thousand_streams_are_read_at_once(recorder: Recorder) -> None:
    streams = [f"key-{n}" for n in range(10_000)]
    recorder.insert_events([event(stream, 1) for stream in streams])

    head, rows = recorder.read_streams(dict.fromkeys(streams[::-1], 0))
    assert (head, [row.stream for row in rows]) == (10_000, streams)


@pytest.mark.parametrize(
    ("after", "limit", "upto", "expected"),
    [
        (0, 100, None, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (0, 2, None, [1, 2]),
        (7, 100, None, [8, 9]),
        (2, 100, 4, [3, 4]),
        (2, 1, 4, [3]),
        (9, 100, None, []),
        (4, 100, 4, []),
        (4, 100, 2, []),
        (7, 100, 50, [8, 9]),
        (-3, 2, None, [1, 2]),
        (0, 100, 0, []),
    ],
)
def test_the_ledger_is_read_from_a_position_on(
    filled: Recorder, after: int, limit: int, upto: int | None, expected: list[int]
) -> None:
    assert [row.position for row in filled.read_from(after, limit, upto)] == expected


# --- the library's way of reading -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"gt": 2}, [3, 4, 5]),
        ({"lte": 2}, [1, 2]),
        ({"gt": 1, "lte": 4, "limit": 2}, [2, 3]),
        ({"desc": True}, [5, 4, 3, 2, 1]),
        ({"desc": True, "limit": 1}, [5]),
        ({"desc": True, "lte": 3, "limit": 1}, [3]),
    ],
)
def test_the_library_reads_a_stream(filled: Recorder, wanted: dict, expected: list[int]) -> None:
    events = filled.select_events("a", **wanted)

    assert [each.originator_version for each in events] == expected
    assert events[0] == StoredEvent("a", expected[0], NAME, b"{}")


@pytest.mark.parametrize(
    ("start", "limit", "stop", "wanted", "expected"),
    [
        (None, 3, None, {}, [1, 2, 3]),
        (3, 10, 5, {}, [3, 4, 5]),
        (3, 10, 5, {"inclusive_of_start": False}, [4, 5]),
        (1, 2, None, {"topics": ["other@1"]}, []),
        (2, 3, None, {"topics": [NAME, "other@1"]}, [2, 3, 4]),
    ],
)
def test_the_library_reads_by_position(
    filled: Recorder,
    start: int | None,
    limit: int,
    stop: int | None,
    wanted: dict,
    expected: list[int],
) -> None:
    found = filled.select_notifications(start, limit, stop, **wanted)

    assert [each.id for each in found] == expected


def test_the_library_finds_rare_topics_far_apart(recorder: Recorder) -> None:
    names = ["rare@1" if n % 1500 == 0 else NAME for n in range(1, 4001)]
    recorder.insert_events([event("a", n, name=name) for n, name in enumerate(names, 1)])

    found = recorder.select_notifications(1, 10, topics=["rare@1"])

    assert [each.id for each in found] == [1500, 3000]
    assert [each.id for each in recorder.select_notifications(1, 1, topics=["rare@1"])] == [1500]


def test_the_library_knows_the_head(recorder: Recorder) -> None:
    assert recorder.max_notification_id() is None
    fill(recorder, versions("a", 2))
    assert recorder.max_notification_id() == 2


# --- closing --------------------------------------------------------------------------------------


def test_a_closed_recorder_says_so(ledger_url: str) -> None:
    recorder = open_recorder(ledger_url)
    recorder.insert_events([event("a", 1)])
    recorder.close()
    recorder.close()

    with pytest.raises(InterfaceError):
        recorder.head()
    with pytest.raises(InterfaceError):
        recorder.insert_events([event("a", 2)])


# --- required versions ----------------------------------------------------------------------------


def test_a_required_version_lets_an_append_in_only_while_it_holds(recorder: Recorder) -> None:
    fill(recorder, versions("a", 2))
    held = [Required("a", 2), Required("none", 0)]
    assert recorder.insert_events([event("b", 1)], required=held) == [3]
    assert recorder.insert_events([event("b", 2), event("c", 1)], required=held) == [4, 5]
    for required, reached in ((Required("a", 1), 2), (Required("a", 3), 2), (Required("c", 0), 1)):
        for events in ([event("b", 3)], [event("b", 3), event("d", 1)]):
            with pytest.raises(VersionConflict) as conflict:
                recorder.insert_events(events, required=[Required("none", 0), required])
            assert conflict.value.stream == required.stream
            assert conflict.value.expected == required.version + 1
            assert conflict.value.actual == reached
    assert recorder.insert_events([event("b", 3)]) == [6]
    assert len(whole_log(recorder)) == 6


def test_of_threads_that_require_what_others_take_each_gets_its_own_outcome(
    recorder: Recorder,
) -> None:
    """One takes the next version of a stream; all others require that nobody has."""
    rounds, threads = 20, 8
    start = Barrier(threads)
    outcomes: list[list[tuple[bool, int]]] = [[] for _ in range(rounds)]

    def run(number: int) -> None:
        for turn in range(rounds):
            start.wait()
            shared = f"shared-{turn}"
            try:
                if number % 4 == 0:
                    positions = recorder.insert_events([event(shared, 1 + number // 4)])
                else:
                    own = [event(f"own-{turn}-{number}", 1)]
                    positions = recorder.insert_events(own, required=[Required(shared, 0)])
            except VersionConflict:
                continue
            outcomes[turn].append((number % 4 == 0, positions[0]))

    in_threads(threads, run)
    log = whole_log(recorder)
    assert [row.position for row in log] == list(range(1, len(log) + 1))
    assert len(log) == sum(map(len, outcomes))
    for turn in range(rounds):
        first = min((row.position for row in log if row.stream == f"shared-{turn}"), default=0)
        own = [row.position for row in log if row.stream.startswith(f"own-{turn}-")]
        assert first
        assert all(position < first for position in own)
