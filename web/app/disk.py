"""What keeps a SQLite ledger from being written, as far as that can be seen without writing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from ledger.store.sqlite.datastore import path_of

FREE_BYTES_MIN: Final = 100 * 1024 * 1024
GONE: Final = "the ledger's file is gone: put it back, or a copy of it"


def disk_fault(database_url: str) -> str | None:
    """Return what is wrong with the disk of a SQLite ledger; None for nothing, or no such ledger.

    The sentence names no path: whoever asks whether a server is ready may read it.
    """
    if not database_url.startswith("sqlite:"):
        return None
    file = Path(path_of(database_url))
    if not file.exists():
        return GONE
    if not os.access(file, os.W_OK):
        return "the ledger's file may not be written: nothing can be recorded"
    try:
        free = shutil.disk_usage(file.parent).free
    except OSError as error:
        return f"the ledger's disk cannot be looked at: {error.strerror}"
    if free < FREE_BYTES_MIN:
        return (
            f"the ledger's disk has {free // 1024**2} MiB left: make room, or nothing is recorded"
        )
    return None
