"""What a drill saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Report(NamedTuple):
    """What a drill saw.

    Attributes:
        figures: what was counted and measured, by name, as it is written in docs/reliability.md.
        faults: what did not hold, a sentence each.
        planted: of each fault that was planted, what the drill said of it; nothing if it was blind.
        skipped: why it could not be run here, if so.
    """

    figures: Mapping[str, str]
    faults: Sequence[str] = ()
    planted: Mapping[str, Sequence[str]] = {}
    skipped: str = ""

    @property
    def not_found(self) -> list[str]:
        """Return the planted faults that the drill did not find."""
        return [name for name, said in self.planted.items() if not said]
