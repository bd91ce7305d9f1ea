"""What a process costs before and after its work: its start, and the memory that it comes to hold.

Start-up is that of `keyfold subscriptions` as a shell runs it, from nothing to its answer, on a
large ledger (in PostgreSQL a smaller one, filled sooner); beside it a Python that only imports
Flask and psycopg. Both are fresh processes, in turn, whose files the system has in memory already.

Memory is that of one process which is asked for the Subscriptions view of every account of a
ledger, through the whole application; only the server and its sockets are left out. The process
remembers as many streams as `KEYFOLD_MEMO_STREAMS` says and drops the rest: what it holds at most
after all accounts (VmHWM, which is the process's own and not its parent's) stands beside what it
held when it had been asked for as many as it remembers.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from eventsourcing.persistence import StoredEvent

from bench.ledgers import SECRET, Bench
from bench.measure import Effort, Measure
from commands.give_access import create_token
from ledger import codec
from ledger.book import Book
from ledger.events import Envelope, Fact
from ledger.streams.account.facts import SeatOccupied, SubscriptionActivated
from web.app.services import wire
from web.app.settings import MEMO_STREAMS_DEFAULT, read_settings

START_GOAL: Final = 1.6
MEMORY_GOAL: Final = 1.3
ACCOUNT: Final = "starting"
ACCOUNTS_ASKED: Final = 100_000
ACCOUNTS_QUICK: Final = 5_000
MEMO_QUICK: Final = 500
EVENTS: Final = 10  # of an account: its subscription, and the seats in it
APPEND: Final = 100  # accounts
PATIENCE_S: Final = 600.0
_CHECKOUT: Final = Path(__file__).parents[1]
_SECRET: Final = base64.b64encode(SECRET).decode()
_BEGAN: Final = datetime.now(UTC) - timedelta(days=30)
_PEAK: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger; memory is the same on either, so it is measured on SQLite."""
    accounts = max(ACCOUNTS_QUICK, effort.events // EVENTS)
    if bench.name != "SQLite":  # a start reads one account, and the large ledger takes long to fill
        accounts = ACCOUNTS_QUICK
    _fill(bench.services.book, accounts)
    yield _start(bench, effort)
    if bench.name == "SQLite":
        quick = accounts == ACCOUNTS_QUICK
        cached = MEMO_QUICK if quick else MEMO_STREAMS_DEFAULT
        yield _memory(bench.url, min(accounts, ACCOUNTS_ASKED), cached)


# Start


def _start(bench: Bench, effort: Effort) -> Measure:
    ours = _timed(bench.url, "-m", "web.cli", "subscriptions", f"{ACCOUNT}-0")
    imports = _timed(bench.url, "-c", "import flask, psycopg")
    ours(), imports()  # the system reads their files now
    took: list[tuple[float, float]] = [(ours(), imports()) for _ in range(effort.repeats)]
    mine, theirs = (statistics.median(one) for one in zip(*took, strict=True))
    return Measure(
        f"`keyfold subscriptions`, ledger of {bench.services.book.head():,} events",
        "import flask, psycopg",
        mine / theirs,
        START_GOAL,
        at_least=False,
        detail=f"{mine * 1e3:.0f} ms against {theirs * 1e3:.0f} ms",
    )


def _timed(url: str, *arguments: str) -> Callable[[], float]:
    command, environ = [sys.executable, *arguments], _environ(url)

    def run() -> float:
        began = time.perf_counter()
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    return run


def _environ(url: str, **settings: str) -> dict[str, str]:
    ours = {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": _SECRET, "PYTHONPATH": str(_CHECKOUT)}
    return {**os.environ, **ours, **settings}


# Memory


def _memory(url: str, accounts: int, cached: int) -> Measure:
    completed = subprocess.run(
        [sys.executable, "-m", "bench.starting", str(accounts), str(cached)],
        env=_environ(url, KEYFOLD_MEMO_STREAMS=str(cached)),
        stdout=subprocess.PIPE,
        timeout=PATIENCE_S,
        check=True,
    )
    began, remembered, whole = json.loads(completed.stdout)
    return Measure(
        f"memory of a worker after {accounts:,} accounts were asked",
        f"after {cached:,}, which is KEYFOLD_MEMO_STREAMS",
        whole / remembered,
        MEMORY_GOAL,
        at_least=False,
        detail=f"{whole:.0f} MB against {remembered:.0f} MB; {began:.0f} MB before the first",
    )


def _ask_all(accounts: int, cached: int) -> tuple[float, float, float]:
    """Ask this process for every account; answer its peak before, at the memo's size, and after."""
    from web.create_app import create_app

    wiring = wire(read_settings())
    with closing(wiring):
        token = create_token(
            wiring.services, wiring.request_context("operator", "req_bench"), "admin"
        ).secret
        app = create_app(wiring)
        peaks = [_peak_mb()]
        for number in range(accounts):
            if number == cached:
                peaks.append(_peak_mb())
            _get(app, f"/v1/accounts/{ACCOUNT}-{number}/subscriptions", token)
        return peaks[0], peaks[1], _peak_mb()


def _get(app: Any, path: str, token: str) -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
    }
    statuses: list[str] = []
    response = app(environ, lambda status, _headers, _error=None: statuses.append(status))
    body = b"".join(response)
    assert statuses == ["200 OK"], body
    assert b'"used":9' in body, body


def _peak_mb() -> float:
    found = _PEAK.search(Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


# A ledger of accounts


def _fill(book: Book, accounts: int) -> None:
    """Record so many accounts of one subscription, in which all seats but one are taken."""
    for first in range(0, accounts, APPEND):
        numbers = range(first, min(first + APPEND, accounts))
        book.store.insert_events([event for number in numbers for event in _account(number)])


def _account(number: int) -> Iterator[StoredEvent]:
    for version in range(1, EVENTS + 1):
        fact: Fact = SeatOccupied(product="cloud_pos", tier=None, holder=f"till-{version}")
        if version == 1:
            fact = SubscriptionActivated(
                subscription=f"kfsub_{_id(number)}",
                key=f"key_{_id(number)}",
                masked="POS-••••-••••-7K2M",
                product="cloud_pos",
                tier=None,
                seats=EVENTS,
                months=12,
                expires_at=_BEGAN + timedelta(days=365),
            )
        at = _BEGAN + timedelta(seconds=version)
        envelope = Envelope(
            fact=fact,
            recorded_at=at,
            occurred_at=at,
            actor="kft_abcdefghijklmnopqrstuvwxyz",
            request_id=f"req_{number:026}",
        )
        yield StoredEvent(
            f"account-{ACCOUNT}-{number}", version, codec.name_of(fact), codec.encode(envelope)
        )


def _id(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "abcdefghij")).rjust(26, "a")


if __name__ == "__main__":
    print(json.dumps(_ask_all(int(sys.argv[1]), int(sys.argv[2]))))
