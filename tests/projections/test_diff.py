"""What became different between two moments, and which events did it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projections.views.account_at import Moment
from projections.views.diff import Diff, applied, diff, picture
from tests.projections.histories import CATALOG, STEPS, Told, asked_at, happened, moments, recorded
from tests.projections.telling import ACCOUNT_ID, at, told

LATER = at("2040-01-01 00:00")


def between(ledger: str, start: str, end: str | None, now: str = "2026-12-01 00:00") -> Diff:
    return diff(
        told(ledger), ACCOUNT_ID, CATALOG, at(start), at(end) if end else None, now=at(now)
    )  # fmt: skip


def lines(found: Diff) -> list[tuple[str, list[int]]]:
    return [(one.summary, one.positions) for one in found.differences]


LOST = (
    "Holder till-3 may not work any more in Cloud POS:"
    " more hold seats than there are, and it came late"
)
LEDGER = """
    2026-03-01 09:00  redeem a cloud_pos 2 seats 1 month
    2026-03-01 09:30  redeem b cloud_pos 1 seats 12 months
    2026-03-02 08:00  sit till-1 cloud_pos
    2026-03-02 08:01  sit till-2 cloud_pos
    2026-03-02 08:02  sit till-3 cloud_pos
    2026-03-05 08:00  leave till-1 cloud_pos
    2026-03-20 08:00  reissue b POS-••••-••••-NEW2
    2026-06-01 08:00  terminate b
"""


def test_what_began_is_told_with_the_event_that_began_it() -> None:
    assert lines(between(LEDGER, "2026-01-01 00:00", "2026-03-02 08:00")) == [
        ("Key POS-••••-••••-AAAA gives 2 Cloud POS seats until 1 Apr 2026", [1]),
        ("Key POS-••••-••••-BBBB gives 1 Cloud POS seat until 1 Mar 2027", [2]),
        ("Holder till-1 has a Cloud POS seat", [3]),
        ("Cloud POS: seats 0 → 3, used 0 → 1", [1, 2, 3]),
    ]


def test_what_time_did_is_put_down_to_the_event_that_said_when() -> None:
    assert lines(between(LEDGER, "2026-03-06 00:00", "2026-04-02 00:00")) == [
        ("Key POS-••••-••••-AAAA is expired, was active: 2 Cloud POS seats", [1]),
        ("Key POS-••••-••••-NEW2: known by POS-••••-••••-BBBB → POS-••••-••••-NEW2", [7]),
        (
            LOST,
            [1, 7],
        ),
        ("Cloud POS: seats 3 → 1, over 0 → 1", [1, 7]),
    ]


def test_up_to_now_if_no_end_is_named() -> None:
    found = between(LEDGER, "2026-06-01 07:59", None)
    assert found.end == at("2026-12-01 00:00")
    assert lines(found)[0] == (
        "Key POS-••••-••••-NEW2 is terminated, was active: 1 Cloud POS seat",
        [8],
    )


def test_a_later_end_tells_what_will_be() -> None:
    ledger = LEDGER.rpartition("    2026-06-01")[0]
    (row, *_) = lines(between(ledger, "2026-12-01 00:00", "2027-03-01 09:30"))
    assert row == ("Key POS-••••-••••-NEW2 is expired, was active: 1 Cloud POS seat", [2])


def test_nothing_is_different_from_itself() -> None:
    assert between(LEDGER, "2026-03-06 00:00", "2026-03-06 00:00").differences == []


def test_a_label_is_told_as_changed() -> None:
    ledger = LEDGER + "    2026-06-02 08:00  label till-2 cloud_pos front"
    assert lines(between(ledger, "2026-06-01 09:00", None)) == [
        ("Holder till-2 in Cloud POS: another label", [9])
    ]


def test_with_the_knowledge_of_then() -> None:
    ledger = """
        2026-03-01 09:00  redeem a cloud_pos 2 seats 12 months
        2026-03-02 09:00 recorded 2026-03-09 09:00  sit till-1 cloud_pos
    """
    book = told(ledger)
    asked = (book, ACCOUNT_ID, CATALOG, at("2026-03-01 10:00"), at("2026-03-05 00:00"))
    known = diff(*asked, now=LATER)
    assert [one.positions for one in known.differences] == [[2], [2]]
    assert diff(*asked, now=LATER, known_at=at("2026-03-08 00:00")).differences == []


HISTORIES = STEPS.map(happened)


def hold_to_the_pictures(history: list[Told], data: st.DataObject) -> None:
    book = recorded(history)
    account = asked_at(book, Moment(LATER)).account
    steps = st.sampled_from(moments(history, account))
    for _ in range(4):
        start, end = sorted((data.draw(steps), data.draw(steps)))
        found = diff(book, ACCOUNT_ID, CATALOG, start, end, now=LATER).differences
        was = picture(asked_at(book, Moment(LATER, start)), CATALOG)
        is_ = picture(asked_at(book, Moment(LATER, end)), CATALOG)
        assert applied(was, found) == is_
        for one in found:
            assert one.was != one.now
            assert one.positions, one
            assert one.positions == sorted(set(one.positions))
            assert "None" not in one.summary


@given(HISTORIES, st.data())
def test_applied_to_the_one_state_it_gives_the_other(
    history: list[Told], data: st.DataObject
) -> None:
    hold_to_the_pictures(history, data)


@pytest.mark.long
@settings(max_examples=1_000)
@given(HISTORIES, st.data())
def test_applied_to_the_one_state_it_gives_the_other_a_thousand_times(
    history: list[Told], data: st.DataObject
) -> None:
    hold_to_the_pictures(history, data)
