"""A store with something in the way of its next append."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Insert = Callable[[], list[int]]


class FaultyStore:
    """The real store, but for the next append.

    Attributes:
        plan: takes what inserts, and is called instead; once, unless it plans itself again.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.plan: Callable[[Insert], list[int]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def insert_events(self, *args: Any, **kwargs: Any) -> list[int]:
        plan, self.plan = self.plan, None

        def insert() -> list[int]:
            positions: list[int] = self._store.insert_events(*args, **kwargs)
            return positions

        return plan(insert) if plan else insert()
