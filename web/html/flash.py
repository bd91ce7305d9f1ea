"""What a page says at its top: what was done, or why not and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Tone = Literal["good", "warn", "bad"]


class Saying(NamedTuple):
    """A message.

    Attributes:
        title: what happened.
        advice: what to do about it, a sentence each.
    """

    tone: Tone
    title: str
    advice: Sequence[str] = ()
    status: int = 200
