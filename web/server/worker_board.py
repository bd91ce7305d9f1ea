"""What the processes of one server tell each other: that they are well, and their figures.

Each worker has a file without a name that the first process makes for it. It writes there when its
loop last went round, and what it has counted; the others read it. Nothing waits for anybody, and a
write that fails (no memory, no disk) is left out. Nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ledger.encoding import encoded
from web.app.anonymous_file import AnonymousFile

_ENCODER: Final = msgspec.msgpack.Encoder()
_BEAT: Final = struct.Struct("!d")
_HEAD: Final = struct.Struct("!II")  # length and checksum of the figures
_FIGURES_AT: Final = 64
_FIGURES_MAX: Final = 8 * 1024 * 1024

# By the name of a sample and its labels.
Figures = dict[str, float]


class WorkerSlot(AnonymousFile):
    """The file of one worker."""

    def beat(self) -> None:
        """Say that the process is well."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, _BEAT.pack(time.monotonic()), 0)

    def last_beat(self) -> float:
        """Return when the process last said so, by this machine's monotonic clock; 0 for never."""
        with contextlib.suppress(OSError, struct.error):
            found: float = _BEAT.unpack(os.pread(self._fd, _BEAT.size, 0))[0]
            return found
        return 0.0

    def write(self, figures: Mapping[str, float]) -> None:
        """Replace the figures."""
        body = encoded(_ENCODER, figures)
        head = _HEAD.pack(len(body), zlib.crc32(body))
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, head + body, _FIGURES_AT)

    def read(self) -> Figures:
        """Return the figures; none where there are none, or they are just being replaced."""
        for _ in range(3):
            with contextlib.suppress(OSError, struct.error, msgspec.MsgspecError):
                length, sum_ = _HEAD.unpack(os.pread(self._fd, _HEAD.size, _FIGURES_AT))
                body = os.pread(self._fd, min(length, _FIGURES_MAX), _FIGURES_AT + _HEAD.size)
                if zlib.crc32(body) == sum_:
                    return msgspec.msgpack.decode(body, type=Figures)
            time.sleep(0.001)
        return {}

    def clear(self) -> None:
        """Forget what is there, for the next process."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)


class Board:
    """All slots: those of the workers, and one for what those counted who have ended."""

    def __init__(self, slots: Sequence[WorkerSlot]) -> None:
        self.slots = slots

    @classmethod
    def for_workers(cls, count: int) -> Board:
        """Return a board for so many workers, and one for those that were before them."""
        return cls([WorkerSlot.new() for _ in range(count + 1)])

    @property
    def is_shared(self) -> bool:
        """Return whether there is more than one worker, or was one before this one."""
        return len(self.slots) > 2 or bool(self.slots[-1].read())  # noqa: PLR2004

    def take_leave(self, number: int) -> None:
        """Keep what a worker has counted that has ended, so that no figure goes back."""
        gone, slot = self.slots[-1], self.slots[number]
        gone.write(added([gone.read(), slot.read()]))
        slot.clear()

    def of_others(self, number: int) -> Figures:
        """Return what all but one worker have counted, as far as they have said."""
        return added([slot.read() for other, slot in enumerate(self.slots) if other != number])


def added(several: Sequence[Mapping[str, float]]) -> Figures:
    """Return the sums by name."""
    sums: Figures = {}
    for figures in several:
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums
