"""Where two histories differ, written as words of one letter an event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.proof import differences
from ledger.proof.differences import EventChange, compare


def hashes(word: str) -> list[bytes]:
    return [letter.encode() for letter in word]


def told(old: str, new: str) -> str:
    found = compare(hashes(old), hashes(new))
    return ", ".join(f"{one.kind} {one.first}-{one.last}" for one in found)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("abc", "abc", ""),
        ("abcdef", "abXdef", "changed 3-3"),
        ("abcdef", "abXYef", "changed 3-4"),
        ("abcdef", "abXdYf", "changed 3-3, changed 5-5"),
        ("abcdef", "abdef", "removed 3-3"),
        ("abcdef", "aef", "removed 2-4"),
        ("abcdef", "bcdef", "removed 1-1"),
        ("abcdef", "abcd", "removed 5-6"),
        ("abcdef", "", "removed 1-6"),
        ("abcdef", "abXcdef", "added 3-3"),
        ("abcdef", "abcdefXY", "added 7-8"),
        ("", "ab", "added 1-2"),
        ("abcdef", "aecdbf", "swapped 2-5"),
        ("abcdef", "acbdef", "moved 2-3"),
        ("abcdef", "bcdefa", "moved 1-6"),
        ("abcdef", "abXYZW", "changed 3-6"),
        ("abcdef", "axcefg", "changed 2-2, removed 4-4, added 6-6"),
        ("abcdef", "abXf", "changed 3-3, removed 4-5"),
        ("aaaa", "aaa", "removed 4-4"),
    ],
)
def test_differences_are_told_by_what_happened(old: str, new: str, expected: str) -> None:
    assert told(old, new) == expected


@given(st.text("abcdefgh"), st.text("abcdefgh"))
def test_the_same_has_no_difference_and_other_has_one(old: str, new: str) -> None:
    assert (told(old, new) == "") is (old == new)


@given(st.lists(st.binary(min_size=3, max_size=3), min_size=1, max_size=40, unique=True), st.data())
def test_one_event_gone_or_come_is_found_where_it_was(
    history: list[bytes], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(history) - 1))
    without = history[:place] + history[place + 1 :]
    here = place + 1
    assert compare(history, without) == [EventChange("removed", here, here)]
    assert compare(without, history) == [EventChange("added", here, here)]


@given(
    st.lists(st.binary(min_size=3, max_size=3), max_size=60),
    st.lists(st.binary(min_size=3, max_size=3), max_size=60),
    st.integers(1, 5),
)
def test_a_narrow_view_finds_that_there_is_a_difference_as_well(
    old: list[bytes], new: list[bytes], window: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(differences, "WINDOW", window)
        patch.setattr(differences, "EDITS_MAX", window)
        found = compare(old, new)
    assert bool(found) is (old != new)
    assert all(1 <= one.first <= one.last <= max(len(old), len(new)) for one in found)
