"""States of streams that a process has loaded or made, so that a load reads only what is newer."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from ledger.events import Stream
from ledger.loaded import Loaded, empty_stream
from ledger.store.lineage import Lineage

StateT = TypeVar("StateT")


class StateCache:
    """The states used last, by stream. Threads share one: each single call on it is atomic."""

    def __init__(self, lineage: Lineage, streams_max: int) -> None:
        self._latest: tuple[int, datetime] | None = None  # and the generation that it was read of
        self._lineage = lineage
        self._streams_max = streams_max
        self._states: OrderedDict[str, Loaded[Any]] = OrderedDict()  # what was used last at the end

    def get(self, stream: Stream[StateT], id: str) -> Loaded[StateT]:
        """Return a stream's state as it was kept; that of a stream of no events if it was not.

        What was read of a ledger that has gone back since does not count.
        """
        name = stream.name(id)
        generation = self._lineage.generation
        try:
            self._states.move_to_end(name)
            found = self._states[name]
        except KeyError:
            return empty_stream(stream, id, generation=generation)
        if found.generation == generation:
            return found
        return empty_stream(stream, id, generation=generation)

    def keep(self, loaded: Loaded[StateT], *, is_new: bool = False) -> Loaded[StateT]:
        """Keep a state, and return it. The least used ones are dropped.

        Not kept are a stream of no events, and one that was begun just now (`is_new`): a batch of
        keys would otherwise push out the accounts that are asked for all the time.
        """
        if loaded.recorded_at is not None:
            latest = (loaded.generation, loaded.recorded_at)
            self._latest = latest if self._latest is None else max(self._latest, latest)
        if loaded.version and not is_new and loaded.generation == self._lineage.generation:
            self._states[loaded.name] = loaded
            if len(self._states) > self._streams_max:
                with suppress(KeyError):  # other threads have just dropped all that there was
                    self._states.popitem(last=False)
        return loaded

    @property
    def latest(self) -> datetime | None:
        """Return when the last event of all states ever kept was recorded, of the ledger of now."""
        if self._latest is None or self._latest[0] != self._lineage.generation:
            return None
        return self._latest[1]

    def invalidate(self, loaded: Loaded[Any]) -> None:
        """Note that what is kept of a stream is old: nobody is to use it without a look."""
        self.keep(self.get(loaded.stream, loaded.id)._replace(head=0))
