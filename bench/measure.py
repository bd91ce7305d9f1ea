"""What the table is made of: something of ours, against something that is measured beside it."""

from __future__ import annotations

from typing import Final, NamedTuple

from bench.rounds import Measured

TOLERANCE: Final = 0.10  # machines are noisy: so far may a row be from its goal


class Effort(NamedTuple):
    """How long to measure, and over how much.

    Attributes:
        rounds, seconds: of each contestant, in turn with the others.
        events: of the ledger that is replayed, proved and asked.
        repeats: of what is timed as a whole.
    """

    rounds: int
    seconds: float
    events: int
    repeats: int


QUICK: Final = Effort(rounds=2, seconds=0.2, events=30_000, repeats=3)
FULL: Final = Effort(rounds=5, seconds=0.6, events=1_000_000, repeats=9)
LONG: Final = FULL._replace(events=10_000_000)


class Measure(NamedTuple):
    """One row: a ratio, and what it should be.

    Attributes:
        goal: None for a row that is only told.
        at_least: the ratio should be at least the goal (a rate), else at most (a time).
        detail: both sides in figures, for people.
    """

    what: str
    against: str
    ratio: float
    goal: float | None
    at_least: bool
    detail: str

    @property
    def verdict(self) -> str:
        """Return `good`, `close` (within a tenth of the goal), `short`, or `told`."""
        if self.goal is None:
            return "told"
        over = self.ratio / self.goal if self.at_least else self.goal / self.ratio
        if over >= 1:
            return "good"
        return "close" if over >= 1 - TOLERANCE else "short"


def rates(what: str, against: str, ours: Measured, theirs: Measured, goal: float | None) -> Measure:
    """Return the row of how many a second ours does of what theirs does."""
    return Measure(
        what,
        against,
        ours.per_s / theirs.per_s,
        goal,
        at_least=True,
        detail=f"{ours.per_s:,.0f}/s (p99 {ours.p99_ms:.1f} ms)"
        f" against {theirs.per_s:,.0f}/s (p99 {theirs.p99_ms:.1f} ms)",
    )
