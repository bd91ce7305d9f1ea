"""What is left of servers and workers that were killed, and the log that a long reader holds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.program import PATIENCE_S, Server, wait_until
from tests.drills import hampered
from tests.drills.meanwhile import HAMPERED, MIB, Seen, admin_of, ordered
from tests.drills.places import Place, place, served

KILLS_QUICK, KILLS = 2, 10
WORKERS_KILLED_QUICK, WORKERS_KILLED = 4, 30
WORKERS: Final = 2
FILLED_QUICK, FILLED = 1, 10
KEYS: Final = 10_000
KEYS_MEANWHILE: Final = 200
# What filling the tables takes at once; what is written meanwhile must not add up.
LOG_MIB_QUICK, LOG_MIB = 48, 128
COUNTERS: Final = frozenset({"counter", "histogram"})


def folders(*, quick: bool, planted: str = "") -> Seen:
    """Kill servers; nothing of theirs is in the folder for files of the moment."""
    seen = Seen()
    kills = KILLS_QUICK if quick else KILLS
    with tempfile.TemporaryDirectory() as folder, place("SQLite") as at:
        at.program.settings |= {"TMPDIR": folder, hampered.PLANTED: planted}
        at.program.command = HAMPERED if planted else at.program.command
        for number in range(kills):
            with served(at.program, "--workers", str(WORKERS)) as running:
                wait_until(partial(_shows_figures, running.server))
                running.kill(whole=number % 2 == 0)
        left = [one.name for one in Path(folder).iterdir()]
    seen.hold(not left, f"left in TMPDIR: {left}")
    seen.figures["servers killed; left in TMPDIR"] = f"{kills}; {len(left)}"
    return seen


def figures(*, quick: bool) -> Seen:
    """Kill workers; no count goes back, and nothing of the dead is told as if they lived."""
    seen = Seen()
    kills = WORKERS_KILLED_QUICK if quick else WORKERS_KILLED
    with place("SQLite") as at:
        token = admin_of(at)
        with served(at.program, "--workers", str(WORKERS)) as running:
            server = running.server
            wait_until(lambda: len(server.workers()) == WORKERS)
            wait_until(lambda: _answers(server))
            for number in range(20):
                ordered(server, token, f"o-{number}")
            server.get("/readyz")
            time.sleep(1.0)  # a worker says twice a second what it has counted
            before = _samples(server)
            for _ in range(kills):
                victim = min(server.workers())
                os.kill(victim, signal.SIGKILL)
                wait_until(partial(_is_replaced, server, victim))
                wait_until(lambda: _answers(server))
                server.get("/readyz")
            after = _samples(server)
        for (kind, name), value in before.items():
            now = after.get((kind, name))
            lost = now is None or now < value
            seen.hold(not (kind in COUNTERS and lost), f"{name} was {value}, and is {now}")
            alive = kind == "gauge" and "behind" not in name and now != value
            seen.hold(not alive, f"{name} was {value}, and is {now}")
        own = [name for _, name in after if name.startswith("process_") or "'pid'" in name]
        seen.hold(not own, f"of processes that may be dead: {own}")
    seen.figures["workers killed; lines of /metrics before and after"] = (
        f"{kills}; {len(before)} and {len(after)}"
    )
    return seen


def _is_replaced(server: Server, victim: int) -> bool:
    return len(server.workers() - {victim}) == WORKERS


def _shows_figures(server: Server) -> bool:
    return server.get("/metrics")[0] == 200


def _answers(server: Server) -> bool:
    try:
        return server.get("/readyz")[0] == 200
    except OSError:
        return False


def _samples(server: Server) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(server.get("/metrics")[1])
    return {
        (family.type, f"{sample.name}{sorted(sample.labels.items())}"): sample.value
        for family in families
        for sample in family.samples
        if "created" not in sample.name
    }


def staying_reader(*, quick: bool, planted: str = "") -> Seen:
    """Verify all tables while keys are ordered; SQLite's log stays small."""
    seen = Seen()
    with place("SQLite") as at:
        token = admin_of(at)
        with served(at.program) as running:
            for number in range(FILLED_QUICK if quick else FILLED):
                ordered(running.server, token, f"filled-{number}", KEYS)
            largest, written = _verified_meanwhile(at, running.server, token, planted, seen)
    log_mib = LOG_MIB_QUICK if quick else LOG_MIB
    seen.hold(largest < log_mib * MIB, f"the log grew to {largest / MIB:.0f} MiB")
    seen.figures["replay --verify: written meanwhile; largest log"] = (
        f"{written / MIB:.0f} MiB; {largest / MIB:.1f} MiB"
    )
    return seen


def _verified_meanwhile(
    at: Place, server: Server, token: str, planted: str, seen: Seen
) -> tuple[int, int]:
    """Return how large the log became while all was verified, and how much was written."""
    file = Path(at.url.removeprefix("sqlite:///"))
    log = file.with_name(f"{file.name}-wal")
    over = threading.Event()
    sizes: list[int] = []

    def look() -> None:
        while not over.wait(0.02):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(log.stat().st_size)

    def write() -> None:
        number = 0
        while not over.is_set():
            number += 1
            ordered(server, token, f"meanwhile-{number}", KEYS_MEANWHILE)
            over.wait(0.1)

    before = file.stat().st_size
    threads = [threading.Thread(target=one) for one in (look, write)]
    for one in threads:
        one.start()
    command = [*(HAMPERED if planted else at.program.command), "replay", "--verify"]
    environ = at.program.environ(**{hampered.PLANTED: planted})
    try:
        done = subprocess.run(
            command,
            cwd=at.program.folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=20 * PATIENCE_S,
            check=False,
        )
    finally:
        over.set()
        for one in threads:
            one.join()
    seen.hold(done.returncode == 0, f"replay --verify: {done.stderr.strip()}")
    return max(sizes, default=0), file.stat().st_size - before
