"""A filling takes what single appends take, and nothing else, on all three stores."""

from __future__ import annotations

import pytest
from eventsourcing.persistence import IntegrityError

from ledger.store import Recorder, Row
from ledger.store.bulk_load import filling
from ledger.store.holes import holes
from tests.store.log import NAME


def rows(*places: tuple[str, int], first: int = 1) -> list[Row]:
    return [
        Row(position, stream, version, NAME, b"{}")
        for position, (stream, version) in enumerate(places, first)
    ]


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
