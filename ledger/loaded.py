"""A stream's state as it was loaded, and where in the ledger that was."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from ledger.events import AnyOccurrence, Stream

StateT = TypeVar("StateT")


class Loaded(NamedTuple, Generic[StateT]):
    """A stream's state, and the place in the ledger that it was folded up to.

    Attributes:
        name: of the stream, as the ledger has it.
        version: of the last event; 0 for a stream that nothing happened to.
        recorded_at: of the last event.
        head: the ledger's last position when the stream was read.
        derived: what readers have worked out of this very state, each under a key of its own; it
            is forgotten together with the state.
        generation: of the ledger that was read (`ledger.store.lineage`).
    """

    stream: Stream[StateT]
    id: str
    name: str
    state: StateT
    version: int
    recorded_at: datetime | None
    head: int
    derived: dict[str, Any]
    generation: int = 0

    @property
    def next_event(self) -> str:
        """Return what `causation` calls the event that is appended to this state next."""
        return f"{self.name}/{self.version + 1}"

    def after(self, events: Iterable[AnyOccurrence], head: int = 0) -> Loaded[StateT]:
        """Return the state with the next events folded in, at their position or a later head."""
        following = list(events)
        if not following:
            return self.at(head)
        last = following[-1]
        return self._replace(
            state=self.stream.fold(self.state, following),
            version=last.version,
            recorded_at=last.recorded_at,
            head=max(self.head, head, last.position),
            derived={},
        )

    def at(self, head: int) -> Loaded[StateT]:
        """Return the same state, read when the ledger had come to `head`."""
        return self if head <= self.head else self._replace(head=head)


def empty_stream(
    stream: Stream[StateT], id: str, head: int = 0, generation: int = 0
) -> Loaded[StateT]:
    """Return a stream that nothing has happened to; an append to it fails if something has."""
    return Loaded(stream, id, stream.name(id), stream.initial, 0, None, head, {}, generation)
