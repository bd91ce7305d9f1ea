"""What a run found: printed while it goes on, and kept with the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg

from bench.growth import Point
from bench.measure import TOLERANCE, Measure
from bench.programs import CHECKOUT, OTHERS

FOLDER: Final = CHECKOUT / "bench" / "results"
PLOT: Final = CHECKOUT / "docs" / "images" / "growth.svg"
HEADER: Final = (
    "| what | against | ratio | goal | verdict | in figures |\n|---|---|---|---|---|---|"
)
SYNCS: Final = 200


class Results:
    """The tables of a run, in the order in which they were measured."""

    def __init__(self, server_version: str, write: Callable[[str], None]) -> None:
        self._write = write
        self.machine = _machine(server_version)
        self.tables: dict[str, list[Measure]] = {}
        self.points: list[Point] = []
        write(self.machine)

    def table(self, name: str, found: Iterable[Measure]) -> None:
        """Take the rows of a table, and print each when it is there."""
        self._write(f"\n## {name}\n\n{HEADER}")
        rows = self.tables.setdefault(name, [])
        for measure in found:
            self._write(line(measure))
            rows.append(measure)

    @property
    def short(self) -> int:
        """How many rows fall short of their goal by more than is tolerated."""
        return sum(row.verdict == "short" for rows in self.tables.values() for row in rows)

    @property
    def conclusion(self) -> str:
        if not self.short:
            return f"Every row is within {TOLERANCE:.0%} of its goal."
        return f"{self.short} rows fall short of their goals by more than {TOLERANCE:.0%}."

    def keep(self, today: datetime) -> Path:
        """Write the tables under the day's date, and the points for the plot; answer the former."""
        FOLDER.mkdir(exist_ok=True)
        file = FOLDER / f"{today:%Y-%m-%d}.md"
        file.write_text("\n".join(self._page(today)) + "\n", encoding="utf-8")
        points = [one._asdict() for one in self.points]
        file.with_suffix(".json").write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")
        return file

    def _page(self, today: datetime) -> Iterator[str]:
        yield f"# {today:%Y-%m-%d}\n\n{self.machine}\n\n{self.conclusion}"
        for name, rows in self.tables.items():
            yield f"\n## {name}\n\n{HEADER}"
            yield from map(line, rows)


def line(measure: Measure) -> str:
    """Return a row of the table."""
    sign = "≥" if measure.at_least else "≤"
    goal = f"{sign} {measure.goal:.2f}" if measure.goal is not None else ""
    return (
        f"| {measure.what} | {measure.against} | {measure.ratio:.2f}"
        f" | {goal} | {measure.verdict} | {measure.detail} |"
    )


def draw(points: Path) -> None:
    """Draw the growth of every call, as docs/performance.md shows it.

    Raises:
        OSError, subprocess.CalledProcessError: what draws is not installed.
    """
    command = [str(OTHERS / "bin" / "python"), "-m", "bench.others.plot", str(points), str(PLOT)]
    subprocess.run(command, check=True, cwd=CHECKOUT)


def now() -> datetime:
    return datetime.now(UTC)


def _machine(server_version: str) -> str:
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} × {_processor()},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" PostgreSQL {server_version}, psycopg {psycopg.__version__};"
        f" a sync of the disk takes {_sync_ms():.2f} ms (median)"
    )


def _processor() -> str:
    with suppress(OSError):
        for entry in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if entry.startswith("model name"):
                return entry.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _sync_ms() -> float:
    """Return how long the disk under the ledgers takes to keep a page for good."""
    took = []
    with tempfile.TemporaryFile(prefix="keyfold-bench-") as file:
        for _ in range(SYNCS):
            file.write(bytes(8192))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(1e3 * (time.perf_counter() - began))
    return statistics.median(took)
