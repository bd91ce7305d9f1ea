"""What a server stands on is short, wrong or away: disks, files, memory, locks, clocks, the ledger.

Each case says what was answered meanwhile; nothing acknowledged is lost, no worker dies, and what
is refused is told why. What cannot be tried on this machine, or by this user, says so.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tests.drills import disks, leftovers, other_files, shortages
from tests.drills.meanwhile import CannotTry, Seen
from tests.drills.report import Report
from tests.postgres_binaries import NoPostgres

Case = Callable[[], Seen]

# By the fault of `tests.drills.planted` that each of them must find.
PLANTED: Final[dict[str, Callable[..., Seen]]] = {
    "idle connections are kept, others wait": shortages.files,
    "another file in its place goes unnoticed": other_files.deleted,
    "a disk that cannot be read is given no reason": disks.unreadable,
    "too little memory is called a mistake of ours": partial(shortages.memory, quick=True),
    "a folder is left behind": partial(leftovers.folders, quick=True),
    "a clock that is behind the ledger is not spoken of": partial(shortages.clocks, "SQLite"),
    "a reader stays at one moment": partial(leftovers.staying_reader, quick=True),
}


def run(*, quick: bool, seed: int, planted: bool) -> Report:
    del seed  # nothing is drawn
    figures: dict[str, str] = {}
    faults: list[str] = []
    for name, case in _cases(quick=quick).items():
        try:
            seen = case()
        except (CannotTry, NoPostgres) as why:
            figures[name] = f"skipped: {why}"
            continue
        figures |= {f"{name}: {what}": figure for what, figure in seen.figures.items()}
        faults += [f"{name}: {fault}" for fault in seen.faults]
    found = {name: case(planted=name).faults for name, case in (PLANTED if planted else {}).items()}
    return Report(figures, faults, found)


def _cases(*, quick: bool) -> dict[str, Case]:
    return {
        "full disk, SQLite": partial(disks.full, "SQLite", quick=quick),
        "full disk, PostgreSQL": partial(disks.full, "PostgreSQL", quick=quick),
        "full TMPDIR": disks.full_for_files_of_the_moment,
        "read-only, SQLite": disks.read_only_file,
        "read-only, PostgreSQL": disks.read_only_database,
        "unreadable disk": disks.unreadable,
        "few files": shortages.files,
        "little memory": partial(shortages.memory, quick=quick),
        "lock of SQLite": partial(shortages.locked, quick=quick),
        "PostgreSQL hung": partial(shortages.hung, quick=quick),
        "clock, SQLite": partial(shortages.clocks, "SQLite"),
        "clock, PostgreSQL": partial(shortages.clocks, "PostgreSQL"),
        "older copy renamed into place": other_files.renamed,
        "older copy put over the file": other_files.put_over,
        "file deleted": other_files.deleted,
        "killed servers": partial(leftovers.folders, quick=quick),
        "killed workers": partial(leftovers.figures, quick=quick),
        "a long reader": partial(leftovers.staying_reader, quick=quick),
    }
