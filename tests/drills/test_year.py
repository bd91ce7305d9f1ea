"""A quarter of a year of small vendors; the whole year is a drill."""

from __future__ import annotations

import pytest

from tests.drills.year import SHORT, lived

QUARTER = 90


@pytest.mark.parametrize("seed", range(20))
def test_promises_are_kept_day_by_day(seed: int) -> None:
    with lived(seed, SHORT, QUARTER) as year:
        assert year.faults == [], f"to live it again: ./dev drill --quick --seed {seed} year"
        assert year.counted["workers that died"]
        assert year.counted["refusals"]
