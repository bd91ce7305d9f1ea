"""Is there one order of all calls, each between its beginning and its end, that explains them?

The search is Wing and Gong's with Lowe's memory of what was tried, as in Porcupine and Knossos: it
is complete, and ends when an order was found or none is left. A call whose outcome nobody knows may
have happened at any time after its beginning and before its end, if that is known, or never.

Source: G. Lowe, "Testing for linearizability", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

StateT = TypeVar("StateT", bound=Hashable)
UNKNOWN = None


class Timed(NamedTuple):
    """A call: what was asked, what was answered, and between which moments.

    Attributes:
        answer: `UNKNOWN` if nobody heard of it.
        ended: of one that nobody heard of, after when it can have done nothing any more.
    """

    asked: tuple[Any, ...]
    answer: Any
    began: float
    ended: float = math.inf


class Searched(NamedTuple):
    """What the search came to; `states` is how many it has looked at."""

    found: bool
    states: int


def search(
    calls: Sequence[Timed],
    initial: StateT,
    step: Callable[[StateT, tuple[Any, ...]], tuple[StateT, Any]],
) -> Searched:
    """Return whether an order explains the calls.

    Args:
        step: what a call makes of a state, and the answer that it gets there.
    """
    calls = sorted(calls, key=lambda call: call.began)
    needed = sum(1 << n for n, call in enumerate(calls) if call.answer is not UNKNOWN)
    seen: set[tuple[int, StateT]] = {(0, initial)}
    to_do: list[tuple[int, StateT]] = [(0, initial)]
    while to_do:
        done, state = to_do.pop()
        if done & needed == needed:
            return Searched(found=True, states=len(seen))
        following = []
        for n in _may_be_next(calls, done):
            after, answer = step(state, calls[n].asked)
            # What nobody heard of, and would change nothing, may as well never have happened.
            is_right = after != state if calls[n].answer is UNKNOWN else calls[n].answer == answer
            if is_right and (tried := (done | 1 << n, after)) not in seen:
                seen.add(tried)
                following.append((calls[n].ended, tried))
        # What ended first is tried first.
        to_do += [tried for _, tried in sorted(following, key=lambda one: one[0], reverse=True)]
    return Searched(found=False, states=len(seen))


def _may_be_next(calls: Sequence[Timed], done: int) -> list[int]:
    """Return the calls that began before any other that is left had ended."""
    first = (~done & done + 1).bit_length() - 1
    reached = calls[done.bit_length() - 1].began if done else -math.inf
    left, ended = [], math.inf
    for n in range(first, len(calls)):
        if calls[n].began > ended:
            break
        if done >> n & 1:
            continue
        if calls[n].answer is not UNKNOWN:
            ended = min(ended, calls[n].ended)
        elif calls[n].ended < reached:
            continue
        left.append(n)
    return left
