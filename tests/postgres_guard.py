"""Ends the tests' PostgreSQL servers when the test session is over, however it ended.

Run as a program of its own by `tests.postgres_server`, away from the terminal's Ctrl-C. The session
holds a lock on the file `alive` in its folder for as long as it lives; the kernel gives that lock
to the waiting guard the moment the session exits, crashes or is killed. Standard library only, so
that it starts at once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE_S = 10.0


def pid_of(data: Path) -> int | None:
    """Return the process id of the postmaster that runs on this data folder, or None.

    A postmaster works in its data folder; where that can be seen, a number that another process
    has been given since is not taken for it.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    if not lives(pid):
        return None
    works_in = Path(f"/proc/{pid}/cwd")
    return pid if not os.path.lexists(works_in) or works_in.resolve() == data.resolve() else None


def lives(pid: int) -> bool:
    """Say whether the process still runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.read_text().rpartition(")")[2].startswith(" Z")
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()


def end(data: Path, sign: signal.Signals = signal.SIGQUIT) -> None:
    """End the postmaster on this data folder, if there is one, and wait until it is gone.

    SIGQUIT is PostgreSQL's immediate shutdown: nothing is written, nothing waited for.
    """
    pid = pid_of(data)
    if pid is None:
        return
    os.kill(pid, sign)
    patient_until = time.monotonic() + PATIENCE_S
    while lives(pid):
        if time.monotonic() > patient_until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def guard(folder: Path) -> None:
    """Wait for the session to be over; then end every server in its folder and remove it."""
    with (folder / "alive").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        for data in folder.glob("*/data"):
            end(data)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
