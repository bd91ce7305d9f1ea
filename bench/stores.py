"""Appends, beside those of other event stores on the same machine: each as its makers mean it.

Every append is one event of about as many bytes, to a stream of its own that must not exist yet,
and is on disk when it is answered; for one client and for eight.

The library's `Application.save` makes a new aggregate, encodes its event and records it, in this
process, with the library's own recorders: as it comes (SQLite syncs every commit by default), and
with `POSTGRES_ENABLE_DB_FUNCTIONS`, where a follower can miss events. Emmett's `appendToStream`
encodes and records, in Node.js, from one pool. To both `Book.append` is compared, which makes a
fact an event, encodes it, records it and folds it. UmaDB, which has a server of its own, is handed
bytes, and so is `insert_events`, to which it is compared.

What is not installed is told and not measured. Emmett is installed with npm, once.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent
from psycopg.conninfo import conninfo_to_dict

from bench.ledgers import CLIENTS, STATE, Bench, new_database
from bench.measure import Effort, Measure, rates
from bench.programs import NotRun, not_run, program, python
from bench.rounds import Contestant, Run, interleaved, threads
from ledger.book import Change
from ledger.events import RequestContext
from ledger.loaded import empty_stream
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT

# There are many of them, so each gets less time than others have; in short rounds, since a machine
# that others use too drifts within a second.
SHARE_OF_TIME: Final = 0.4
ROUNDS_IN_ONE: Final = 3
EMMETT: Final = Path(__file__).parent / "others" / "emmett"
NODE_MIN: Final = 20
INSTALL_S: Final = 180
SYNCED_EVERY_COMMIT: Final = 2  # PRAGMA synchronous: FULL

PRODUCT: Final = "cloud_pos"
HOLDER: Final = "till-0123456789"
ACTOR: Final = "kft_abcdefghijklmnopqrstuvwxyz"
REQUEST: Final = "req_abcdefghijklmnopqrstuvwxyz"

Opened = Callable[[int], AbstractContextManager[Run]]  # is given the number of clients


def measures(bench: Bench, effort: Effort) -> Iterator[Measure]:
    """Measure one ledger: on SQLite beside the library alone, the others know only PostgreSQL."""
    if bench.name == "SQLite":
        with tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder:
            as_it_comes = _on_sqlite(Path(folder) / "library.db")
            yield from _beside(bench, effort, "the library's Application.save", as_it_comes)
        return
    with new_database(bench.url) as url:
        as_it_comes = _on_postgres(url, {})
        yield from _beside(bench, effort, "the library's Application.save", as_it_comes)
        functions = _on_postgres(url, {"POSTGRES_ENABLE_DB_FUNCTIONS": "y"})
        yield from _beside(
            bench, effort, "the library's Application.save, database functions", functions
        )
        yield from _beside(bench, effort, "Emmett's appendToStream", _emmett(url))
    yield from _beside(bench, effort, "UmaDB's append", _umadb, as_bytes=True)


def _beside(
    bench: Bench, effort: Effort, against: str, open_other: Opened, *, as_bytes: bool = False
) -> Iterator[Measure]:
    append = _insert(bench) if as_bytes else _append(bench)
    for clients in (1, CLIENTS):
        what = f"append one event{' of bytes' if as_bytes else ''}"
        what += f", {clients} client{'s' if clients > 1 else ''}"
        try:
            with open_other(clients) as other:
                found = interleaved(
                    [Contestant("ours", threads(append, clients)), Contestant("other", other)],
                    rounds=effort.rounds * ROUNDS_IN_ONE,
                    seconds=effort.seconds * SHARE_OF_TIME / ROUNDS_IN_ONE,
                )
        except NotRun as error:
            yield not_run(what, against, error)
            continue
        yield rates(what, against, found["ours"], found["other"], 1.0)


def _append(bench: Bench) -> Callable[[int], object]:
    book = bench.services.book

    def append(client: int) -> None:
        account = empty_stream(ACCOUNT, f"stores-{client}-{next(_numbers)}")
        fact = SeatOccupied(product=PRODUCT, tier=None, holder=HOLDER)
        book.append(RequestContext(datetime.now(UTC), ACTOR, REQUEST), Change(account, [fact]))

    return append


def _insert(bench: Bench) -> Callable[[int], object]:
    store = bench.services.book.store

    def insert(client: int) -> None:
        stream = f"stores-{client}-{next(_numbers)}"
        store.insert_events([StoredEvent(stream, 1, "account.seat_occupied@1", STATE)])

    return insert


_numbers = itertools.count()


# --- the library ----------------------------------------------------------------------------------


class Seat(Aggregate):
    """What the library makes events of; they hold as much as ours."""

    def __init__(
        self,
        product: str,
        tier: str | None,
        holder: str,
        label: str | None,
        actor: str,
        request_id: str,
    ):
        """Make the first event."""
        self.product = product
        self.tier = tier
        self.holder = holder
        self.label = label
        self.actor = actor
        self.request_id = request_id


def _on_postgres(url: str, settings: Mapping[str, str]) -> Opened:
    given = conninfo_to_dict(url)
    env = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given["port"]),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given.get("password", "")),
    }
    return _saving({**env, **settings})


def _on_sqlite(file: Path) -> Opened:
    return _saving({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(file)})


def _saving(env: Mapping[str, str]) -> Opened:
    @contextmanager
    def opened(clients: int) -> Iterator[Run]:
        application = Application[UUID](env=dict(env))
        with closing(application):
            if "SQLITE_DBNAME" in env:
                _sees_that_it_syncs(application)

            def save(client: int) -> None:
                application.save(Seat(PRODUCT, None, HOLDER, None, ACTOR, REQUEST))

            save(0)
            yield threads(save, clients)

    return opened


def _sees_that_it_syncs(application: Application[UUID]) -> None:
    datastore: Any = application.factory.datastore  # type: ignore[attr-defined]
    with datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        if cursor.fetchone()[0] != SYNCED_EVERY_COMMIT:
            raise NotRun("this SQLite does not sync every commit by itself, as the library expects")


# --- Emmett ---------------------------------------------------------------------------------------


def _emmett(url: str) -> Opened:
    @contextmanager
    def opened(clients: int) -> Iterator[Run]:
        _install_emmett()
        env = {"DATABASE_URL": url, "CLIENTS": str(clients), "STATE": STATE.decode()}
        with program(["node", EMMETT / "append.mjs"], env) as run:
            yield run

    return opened


def _install_emmett() -> None:
    """Install what the lock says, unless it is there already."""
    if not shutil.which("npm") or _node_version() < NODE_MIN:
        raise NotRun(f"no Node.js {NODE_MIN} or newer")
    lock = (EMMETT / "package-lock.json").read_bytes()
    installed = EMMETT / "node_modules" / "installed-lock.json"
    if installed.exists() and installed.read_bytes() == lock:
        return
    print("installing Emmett …", file=sys.stderr)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        # npm's own word goes where nobody keeps it: it may name a registry.
        subprocess.run(command, cwd=EMMETT, stdout=sys.stderr, check=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotRun("npm could not install Emmett") from error
    installed.write_bytes(lock)


def _node_version() -> int:
    """Return Node's major version; 0 without one."""
    try:
        completed = subprocess.run(
            ["node", "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return int(completed.stdout.strip().lstrip("v").split(".")[0])


# --- UmaDB ----------------------------------------------------------------------------------------


@contextmanager
def _umadb(clients: int) -> Iterator[Run]:
    command = python("bench.others.umadb_append", str(clients))
    with program(command, {"STATE": STATE.decode()}) as run:
        yield run
