"""`./dev bench [--quick | --long] [--keep] [ROOM …]`: what Keyfold costs, as ratios of one run.

Prints a table and exits 1 when a row falls short of its goal by more than a tenth. Commits are
synced to disk on both databases. Machines are noisy: compare ratios, not rates, and not across
runs. docs/performance.md explains each row.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import (
    appends,
    growth,
    messages,
    pages,
    proofs,
    reads,
    replays,
    results,
    seats,
    serving,
    starting,
    stores,
    webhooks,
)
from bench.ledgers import Bench, ledger, new_database
from bench.measure import FULL, LONG, QUICK, Effort, Measure
from bench.results import Results
from tests.postgres_server import open_session, own_server

# What is measured on each database, in this order, each on a ledger of its own.
ROOMS: Final[dict[str, Callable[[Bench, Effort], Iterator[Measure]]]] = {
    "appends": appends.measures,
    "stores": stores.measures,
    "seats": seats.measures,
    "reads": reads.measures,
    "serving": serving.measures,
    "starting": starting.measures,
    "webhooks": webhooks.measures,
    "messages": messages.measures,
}
# What is measured on the largest of the ledgers that growth is measured on, before that.
LARGE: Final[dict[str, Callable[[Bench, Effort], Iterator[Measure]]]] = {
    "proofs": proofs.measures,
    "replays": replays.measures,
}
GROWTH: Final = "growth"
PAGES: Final = "pages"


def main() -> int:
    effort, keep, rooms = _arguments()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyfold-bench-")))
        kinds = [("SQLite", f"sqlite:///{folder / 'bench.db'}"), ("PostgreSQL", _postgres(stack))]
        with ledger(kinds[1][1]) as bench:
            ((server_version,),) = bench.raw.fetch("SHOW server_version")
        found = Results(server_version, lambda text: print(text, flush=True))
        for name, url in kinds:
            found.table(name, _measures(url, effort, rooms, found))
        if PAGES in rooms:
            found.table("A customer's browser", pages.measures(effort))
    print(f"\n{found.conclusion}")
    if keep:
        _keep(found)
    return 1 if found.short else 0


def _arguments() -> tuple[Effort, bool, list[str]]:
    rooms = [*ROOMS, *LARGE, GROWTH, PAGES]
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="each row once, briefly")
    length.add_argument("--long", action="store_true", help="ledgers of ten million events, too")
    parser.add_argument("--keep", action="store_true", help="write bench/results and the plot")
    parser.add_argument("room", nargs="*", default=rooms, help=f"of {', '.join(rooms)}; all")
    args = parser.parse_args()
    if unknown := [room for room in args.room if room not in rooms]:
        parser.error(f"there is no {unknown[0]!r}: choose of {', '.join(rooms)}")
    return QUICK if args.quick else LONG if args.long else FULL, args.keep, args.room


def _postgres(stack: ExitStack) -> str:
    session = open_session()
    stack.callback(session.close)
    server = own_server(session.folder)
    stack.callback(server.remove)
    return server.url(server.create_database())


def _measures(url: str, effort: Effort, rooms: list[str], found: Results) -> Iterator[Measure]:
    for room, measures in ROOMS.items():
        if room in rooms:
            with new_database(url) as own, ledger(own) as bench:
                yield from measures(bench, effort)
    if not {*LARGE, GROWTH}.isdisjoint(rooms):
        with growth.ledgers(url, effort) as ledgers:
            for room, measures in LARGE.items():
                if room in rooms:
                    yield from measures(ledgers[-1].bench, effort)
            if GROWTH in rooms:
                for grown in growth.grown(ledgers, effort):
                    found.points += grown.points
                    yield grown.measure


def _keep(found: Results) -> None:
    file = found.keep(results.now())
    print(f"kept as {file.relative_to(Path.cwd())}")
    if found.points:
        try:
            results.draw(file.with_suffix(".json"))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"the plot was not drawn: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
