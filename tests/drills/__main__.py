"""`./dev drill [--quick] [--planted] [--seed N] [DRILL …]`: what Keyfold is held to under faults.

Without `--quick` each drill is run at length. `--planted` also plants faults, each of which the
drill must find: an acknowledgement that nobody gave, an event that was deleted, an answer that is
given twice. Exits 1 when something did not hold, or a planted fault was not found, and names it.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from tests import postgres_binaries
from tests.drills import failover, histories, inputs, kills, overload, past, resources, writes, year
from tests.drills.report import Report
from tests.postgres_binaries import NoPostgres

SEED: Final = 17


class Drill(NamedTuple):
    """A drill in the table.

    Attributes:
        run: takes `quick`, `seed`, `planted`.
        in_tests: whether its brief form is one of the tests, too.
    """

    run: Callable[..., Report]
    shows: str
    in_tests: bool = True


DRILLS: Final[dict[str, Drill]] = {
    "writes": Drill(writes.run, "every write, failed in every way, is done once"),
    "kills": Drill(kills.run, "what was acknowledged survives kill -9, once"),
    "failover": Drill(failover.run, "a standby takes over, and the processes stay up"),
    "histories": Drill(histories.run, "what eight clients were answered has one order"),
    "year": Drill(year.run, "a vendor's year: promises are kept, day by day"),
    "inputs": Drill(inputs.run, "bad input is refused, in a time that grows with its length only"),
    "overload": Drill(
        overload.run,
        "too much is refused soon, and seat checks and webhooks go on",
        in_tests=False,
    ),
    "resources": Drill(
        resources.run, "what it stands on is short or away: it says so, and goes on"
    ),
    "past": Drill(past.run, "a changed past byte turns /readyz red within an hour"),
}


def main() -> int:
    args = _arguments()
    logging.getLogger("keyfold").setLevel(logging.CRITICAL)  # what is planted is told loudly
    print(f"{machine()}; seed {args.seed}")
    wrong = [
        f"{name}: {what}"
        for name in args.drill
        for what in _drilled(name, quick=args.quick, seed=args.seed, planted=args.planted)
    ]
    print("\n" + ("\n".join(["did not hold:", *wrong]) if wrong else "all of it held"))
    return 1 if wrong else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev drill", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each briefly: some minutes in all")
    parser.add_argument("--planted", action="store_true", help="plant faults that must be found")
    parser.add_argument("--seed", type=int, default=SEED, help=f"{SEED} if left out")
    parser.add_argument("drill", nargs="*", default=list(DRILLS), help=f"of {', '.join(DRILLS)}")
    args = parser.parse_args()
    if unknown := [name for name in args.drill if name not in DRILLS]:
        parser.error(f"there is no {unknown[0]!r}: choose of {', '.join(DRILLS)}")
    return args


def _drilled(name: str, *, quick: bool, seed: int, planted: bool) -> list[str]:
    """Run a drill and print what it saw; return what did not hold."""
    print(f"\n{name}: {DRILLS[name].shows}", flush=True)
    began = time.monotonic()
    report = DRILLS[name].run(quick=quick, seed=seed, planted=planted)
    if report.skipped:
        print(f"  skipped: {report.skipped}")
    for label, figure in {**report.figures, "took": f"{time.monotonic() - began:.0f} s"}.items():
        print(f"  {label:<44} {figure}")
    for wrong in report.faults:
        print(f"  DID NOT HOLD: {wrong}")
    for fault, said in report.planted.items():
        print(f"  planted: {fault}: {f'found: {said[0]}' if said else 'NOT FOUND'}", flush=True)
    return [*report.faults, *(f"planted and not found: {fault}" for fault in report.not_found)]


def machine() -> str:
    """Return what the figures were seen on."""
    try:
        postgres = f"PostgreSQL {postgres_binaries.find().version}"
    except NoPostgres:
        postgres = "no PostgreSQL"
    system = f"{platform.system()} {platform.release()}, {os.cpu_count()} cores"
    return (
        f"{system}; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {postgres}"
    )


if __name__ == "__main__":
    sys.exit(main())
