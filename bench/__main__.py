"""`./dev bench [--quick]`: what Keyfold costs, as ratios taken in one run.

Prints a table and exits 1 when a row falls short of its goal by more than a tenth. Commits are
synced to disk on both databases. Machines are noisy: compare ratios, not rates, and not across
runs.
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import psycopg

from bench import pages, proofs, timelines, webhooks
from bench.ledgers import Bench, postgres_ledger, sqlite_ledger
from bench.measure import FULL, QUICK, Effort, Measure
from bench.rows import measures
from tests.postgres_server import open_session, own_server


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each row once, briefly")
    effort = QUICK if parser.parse_args().quick else FULL
    short = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyfold-bench-")))
        ledgers = [
            stack.enter_context(sqlite_ledger(folder)),
            stack.enter_context(_postgres()),
        ]
        print(_machine(ledgers[1]))
        for bench in ledgers:
            short += _print_table(bench.name, _measures(bench, effort))
        short += _print_table("A customer's browser", pages.measures(effort))
    print("\nEvery row is within a tenth of its goal." if not short else f"\n{short} fall short.")
    return 1 if short else 0


@contextmanager
def _postgres() -> Iterator[Bench]:
    session = open_session()
    try:
        server = own_server(session.folder)
        try:
            with postgres_ledger(server.url(server.create_database())) as bench:
                yield bench
        finally:
            server.remove()
    finally:
        session.close()


def _measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    return chain(
        measures(bench, effort),
        webhooks.measures(bench, effort),
        proofs.measures(bench, effort),
        timelines.measures(bench, effort),
    )


def _print_table(name: str, found: Iterator[Measure]) -> int:
    print(f"\n{name}\n")
    print("| what | against | ratio | goal | verdict | in figures |")
    print("|---|---|---|---|---|---|")
    short = 0
    for measure in found:
        print(_line(measure), flush=True)
        short += measure.verdict == "short"
    return short


def _line(measure: Measure) -> str:
    sign = "≥" if measure.at_least else "≤"
    goal = f"{sign} {measure.goal:.2f}" if measure.goal is not None else ""
    return (
        f"| {measure.what} | {measure.against} | {measure.ratio:.2f}"
        f" | {goal} | {measure.verdict} | {measure.detail} |"
    )


def _machine(postgres: Bench) -> str:
    ((server,),) = postgres.raw.fetch("SHOW server_version")
    return (
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()},"
        f" SQLite {sqlite3.sqlite_version}, PostgreSQL {server}, psycopg {psycopg.__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
