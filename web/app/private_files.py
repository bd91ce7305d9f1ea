"""The files of a SQLite ledger, which are for their owner alone.

They are made so. Older ones, and those that were copied or restored, may be open to others: those
who read the database read what customers have, and those who read the secret can make every code.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ledger.store.sqlite.datastore import path_of

SECRET_FILE: Final = "keyfold.secret"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def secret_file(database_url: str) -> Path:
    """Return where the secret of a SQLite ledger is kept: beside its file."""
    return Path(database_url.removeprefix("sqlite:///")).parent / SECRET_FILE


def files_open_to_others(database_url: str) -> Iterator[tuple[Path, int]]:
    """Return each file of a ledger that its group or others may use, with its mode."""
    if not database_url.startswith("sqlite:"):
        return
    database = Path(path_of(database_url))
    beside = [database.with_name(database.name + end) for end in ("-wal", "-shm")]
    for file in (database, *beside, secret_file(database_url)):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
        except OSError:
            continue
        if mode & _OTHERS:
            yield file, mode


def restrict_to_owner(database_url: str) -> Iterator[Path]:
    """Take every file of a ledger from its group and others; yield those that were changed.

    One that belongs to somebody else stays as it is.
    """
    for file, mode in files_open_to_others(database_url):
        try:
            file.chmod(mode & ~_OTHERS)
        except PermissionError:
            continue
        yield file
