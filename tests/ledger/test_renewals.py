"""What has been renewed, held against the definition taken word by word, and in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.renewals import SubscriptionSpan, renewed
from tests.worlds import NOON

DAY = timedelta(days=1)


def by_definition(spans: Sequence[SubscriptionSpan]) -> set[str]:
    """Return what has been renewed: what ends first is served first, by what may renew least."""
    left = {one.id: one.seats for one in spans}
    found = set()
    for one in sorted(spans, key=lambda one: (one.ends_at, one.position)):
        taken: dict[str, int] = {}
        for later in sorted(spans, key=lambda one: (one.renews_until, one.position)):
            goes_on = later.starts_at <= one.ends_at < later.ends_at and not later.suspended
            if goes_on and later.position > one.position and later.renews_until >= one.ends_at:
                taken[later.id] = min(left[later.id], one.seats - sum(taken.values()))
        if sum(taken.values()) == one.seats:
            for id, seats in taken.items():
                left[id] -= seats
            found.add(one.id)
    return found


SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(-1, 25), st.integers(0, 4), st.booleans()),
    max_size=12,
)


@settings(max_examples=500)
@given(SPANS, st.randoms(use_true_random=False))
def test_it_is_what_the_definition_says(
    given: list[tuple[int, int, int, bool]], chance: object
) -> None:
    spans = [
        SubscriptionSpan(
            *(str(n), 1, n + 1, seats),
            *(NOON + start * DAY, NOON + (start + length) * DAY, suspended),
        )
        for n, (start, length, seats, suspended) in enumerate(given)
    ]
    chance.shuffle(spans)  # type: ignore[attr-defined]
    assert renewed(spans) == by_definition(spans)
