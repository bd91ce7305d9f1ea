"""The least position that what is read must be of.

Several servers may be behind one address of the ledger, and one of them may lag. What one session
has seen, another may not have yet. Whoever must not be answered from before a position says so
once, and every reading is held to it, whichever connection it is made on:

    with at_least(1234):
        book.load(ACCOUNT, "acme")      # PositionNotReached, if it was read from before 1234
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_min_position: ContextVar[int] = ContextVar("min_position", default=0)


class PositionNotReached(Exception):
    """What was read is from before the least position.

    Attributes:
        position: that it is of.
    """

    def __init__(self, position: int) -> None:
        super().__init__(f"the ledger is at position {position}")
        self.position = position


@contextmanager
def at_least(position: int) -> Iterator[None]:
    """Return a context in which all that this thread reads is of a position or a later one."""
    before = _min_position.set(position)
    try:
        yield
    finally:
        _min_position.reset(before)


def hold_to_min_position(position: int) -> None:
    """Take what was read at a position.

    Raises:
        PositionNotReached: it is too early a one.
    """
    if position < _min_position.get():
        raise PositionNotReached(position)
