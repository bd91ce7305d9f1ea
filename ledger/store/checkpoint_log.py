"""What was signed, in a file outside the database: it is still known when the database is lost.

A line is a checkpoint, in the order in which they were signed. It is on the disk before the
checkpoint is handed out. A last line that was cut off by a loss of power is passed over: its
checkpoint was never handed out.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from ledger.store.eventsourcing_adapter import OperationalError
from ledger.store.signed_checkpoints import SignedCheckpoint, SignedCheckpoints

# Checkpoints of one time: whoever signs has the newest, and others sign at the same moment.
TAIL_BYTES: Final = 64 * 1024

_LINE = msgspec.json.Decoder(SignedCheckpoint)


class LoggedCheckpoints:
    """The signed checkpoints of a ledger, and those of a file, as one."""

    def __init__(self, signed: SignedCheckpoints, file: Path) -> None:
        self._signed = signed
        self._file = file

    def put_if_absent(self, signed: SignedCheckpoint) -> SignedCheckpoint:
        """See `SignedCheckpoints.put_if_absent`.

        Raises:
            OperationalError: the file cannot be written, so that nothing may be handed out.
        """
        kept = self._signed.put_if_absent(signed)
        try:
            self._append(kept)
        except OSError as error:
            raise OperationalError(f"{self._file}: {error.strerror}") from error
        return kept

    def newest(self) -> SignedCheckpoint | None:
        """See `SignedCheckpoints.newest`."""
        known = [one for one in [self._signed.newest(), *self._logged(TAIL_BYTES)] if one]
        return max(known, default=None)

    def all(self) -> Iterator[SignedCheckpoint]:
        """See `SignedCheckpoints.all`."""
        known = {one[:2]: one for one in self._logged(None)}
        known.update({one[:2]: one for one in self._signed.all()})
        yield from sorted(known.values())

    def _logged(self, last_bytes: int | None) -> list[SignedCheckpoint]:
        """Return what the file has, or what is at its end."""
        try:
            with self._file.open("rb") as file:
                lines = _lines(file, last_bytes)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise OperationalError(f"{self._file}: {error.strerror}") from error
        try:
            return [_LINE.decode(line) for line in lines if line.endswith(b"\n")]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OperationalError(f"{self._file} has a line that is no checkpoint") from error

    def _append(self, signed: SignedCheckpoint) -> None:
        number = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = _lines(file, TAIL_BYTES)
            line = msgspec.json.encode(signed) + b"\n"
            if line in lines:
                return
            end = file.seek(0, os.SEEK_END)
            if lines and not lines[-1].endswith(b"\n"):
                end = file.seek(end - len(lines[-1]))
                file.truncate()
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _lines(file: BinaryIO, last_bytes: int | None) -> list[bytes]:
    """Return the lines of a file, or the whole ones at its end; the last may be cut off."""
    end = file.seek(0, os.SEEK_END)
    begin = max(0, end - last_bytes) if last_bytes else 0
    file.seek(begin)
    lines = file.read().splitlines(keepends=True)
    return lines[1:] if begin else lines
