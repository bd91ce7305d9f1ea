"""What proofs cost: over a million events, each piece of work in a process of its own.

A process of its own shows how much memory the work takes, and that it needs no more for a million
events than for a few.

    python -m bench.proofs verify sqlite:////tmp/bench.db      prints seconds and megabytes
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from bench.ledgers import Bench
from bench.measure import Effort, Measure
from ledger.book import Book
from ledger.proof.verifier.program import main as verify_file
from projections.audit import integrity, tree
from projections.audit.export import blocks, plan
from projections.lists.stores import open_tables

PAGE: Final = 1_000
MEMORY_MAX_MB: Final = 300
PROOF_MAX_MS: Final = 5.0
PROOFS: Final = 500


class Spent(NamedTuple):
    """What a piece of work took."""

    seconds: float
    megabytes: float


def measures(bench: Bench, _effort: Effort) -> Iterator[Measure]:
    """Measure the proofs of one ledger."""
    url = bench.services.book.env["KEYFOLD_DATABASE_URL"]
    events = bench.services.book.head()
    with tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder:
        file = str(Path(folder) / "ledger.jsonl")
        reading = spend("read", url)
        for what, goal, work, arguments in (
            ("tree of all events, made at once", 6, "extend", (url,)),
            ("audit verify", 6, "verify", (url,)),
            ("export", 12, "export", (url, file)),
            ("the verifier, over the export", 20, "check", (file,)),
        ):
            yield from _costs(what, spend(work, *arguments), reading, events, goal)
    yield _inclusion(bench.services.book, url, events)


def _costs(what: str, spent: Spent, reading: Spent, events: int, goal: float) -> Iterator[Measure]:
    rate = f"{events / spent.seconds:,.0f} events/s over {events:,}"
    slower = spent.seconds / reading.seconds
    yield Measure(what, "reading the rows", slower, goal, at_least=False, detail=rate)
    yield Measure(
        f"{what}: memory",
        f"{MEMORY_MAX_MB} MB",
        spent.megabytes / MEMORY_MAX_MB,
        1,
        at_least=False,
        detail=f"{spent.megabytes:.0f} MB at most",
    )


def _inclusion(book: Book, url: str, events: int) -> Measure:
    chance = random.Random(7)
    took: list[float] = []
    with closing(open_tables(url)) as tables:
        for _ in range(PROOFS):
            size = chance.randint(1, events)
            began = time.perf_counter()
            tree.inclusion(book, tables, chance.randint(1, size), size)
            took.append((time.perf_counter() - began) * 1000)
    median, p99 = statistics.median(took), sorted(took)[int(PROOFS * 0.99)]
    return Measure(
        f"inclusion proof, of any of {events:,} events in any tree",
        f"{PROOF_MAX_MS:.0f} ms",
        p99 / PROOF_MAX_MS,
        1,
        at_least=False,
        detail=f"p99 {p99:.2f} ms, median {median:.2f} ms",
    )


# Each in a process of its own


def spend(work: str, *arguments: str) -> Spent:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "bench.proofs", work, *arguments]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{work}: {ran.stderr}")
    return Spent(**json.loads(ran.stdout.splitlines()[-1]))


def read(url: str) -> None:
    with closing(Book(url)) as book:
        after = 0
        while page := book.store.read_from(after, PAGE):
            after = page[-1].position


def extend(url: str) -> None:
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        tree.extend(book, tables, book.head())


def verify(url: str) -> None:
    with closing(Book(url)) as book, closing(open_tables(url)) as tables:
        found = integrity.verify(book, tables, [])
        assert not found.findings
        assert found.hashed == found.events


def export(url: str, file: str) -> None:
    with closing(Book(url)) as book, Path(file).open("wb") as out:
        out.writelines(blocks(book, plan(book)))


def check(file: str) -> None:
    assert verify_file([file]) == 0


WORK: dict[str, Callable[..., None]] = {
    work.__name__: work for work in (read, extend, verify, export, check)
}


def main() -> None:
    began = time.perf_counter()
    WORK[sys.argv[1]](*sys.argv[2:])
    seconds = time.perf_counter() - began
    print(json.dumps(Spent(seconds, _peak_mb())._asdict()))


def _peak_mb() -> float:
    """Return how much memory this process held at most, and not its parent before it began."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text("ascii"), re.MULTILINE)
    return int(peak) / 1024


if __name__ == "__main__":
    main()
