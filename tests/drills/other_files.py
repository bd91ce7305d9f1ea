"""Another file in the place of a SQLite ledger, while it is served and ordered from.

Nothing is acknowledged into a file that is not the ledger's, `/readyz` says what happened, and
there is a way back that it names.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ledger.store.eventsourcing_adapter import PersistenceError
from ledger.streams.key import KeyIssued
from tests.cli.program import Server, wait_until
from tests.drills import hampered
from tests.drills.meanwhile import HAMPERED, Seen, admin_of, asked, keys_of, ordered
from tests.drills.places import Place, Served, place, served

WORKERS: Final = 2
ORDERERS: Final = 4
FOR_S: Final = 2.0


def renamed(planted: str = "") -> Seen:
    """Rename an older copy into the ledger's place: it is the ledger from then on."""
    return _replaced(Path.rename, "", None, planted)


def put_over(planted: str = "") -> Seen:
    """Copy an older copy over the open file: nothing is answered until Keyfold was stopped."""

    def mend(copy: Path, file: Path, running: Served) -> None:
        running.server.stop()
        for one in file.parent.glob(f"{file.name}*"):
            one.unlink()
        shutil.copyfile(copy, file)
        running.kill()
        running.start_again()

    return _replaced(shutil.copyfile, "put over it", mend, planted)


def deleted(planted: str = "") -> Seen:
    """Delete the file: nothing is answered until there is one again."""

    def mend(copy: Path, file: Path, _: Served) -> None:
        shutil.copyfile(copy, file.with_suffix(".new"))
        file.with_suffix(".new").rename(file)

    return _replaced(lambda _, file: file.unlink(), "put it back", mend, planted)


def _replaced(
    replace: Callable[[Path, Path], object],
    says: str,
    mend: Callable[[Path, Path, Served], None] | None,
    planted: str,
) -> Seen:
    seen = Seen()
    with place("SQLite") as at:
        file = Path(at.url.removeprefix("sqlite:///"))
        token = admin_of(at)
        at.program.settings[hampered.PLANTED] = planted
        at.program.command = HAMPERED if planted else at.program.command
        with served(at.program, "--workers", str(WORKERS)) as running:
            server = running.server
            wait_until(lambda: len(server.workers()) == WORKERS)
            first = keys_of(ordered(server, token, "first"))
            copy = _copy_of(file)
            with _ordering(server, token) as orders:
                wait_until(lambda: len(orders.keys) > ORDERERS)
                replace(copy if mend is None else _spare(copy), file)
                replaced_at = time.monotonic()
                time.sleep(FOR_S)
            ready = asked(server, token, "GET", "/readyz")
            health = asked(server, token, "GET", "/healthz")
            if mend:
                mend(copy, file, running)
                server = running.server
            mended_at = time.monotonic()
            wait_until(lambda: ordered(server, token, "last").status == 201)
            again_s = time.monotonic() - mended_at
            last = keys_of(ordered(server, token, "last"))
            server.stop()
        after = [key for began, keys in orders.keys for key in keys if began > replaced_at]
        told = " ".join([ready.detail, *ready.page.get("notices", [])]).strip()
        seen.hold(bool(told) and says in told, f"/readyz does not say so: {ready.page}")
        seen.hold(health.status == 200, f"/healthz: {health}")
        try:
            there = _keys_in(at)
        except PersistenceError as error:
            seen.faults.append(f"the ledger cannot be read: {error}")
            return seen
        lost = {*first, *after, *last} - there
        seen.hold(not lost, f"{len(lost)} of {len(after) + 2} keys acknowledged into a lost file")
        seen.faults += at.verified()
    seen.figures["/readyz"] = f"{ready.status} {told}"
    seen.figures["acknowledged afterwards, all there; as before once mended"] = (
        f"{len(after)}; {again_s:.2f} s"
    )
    return seen


def _copy_of(file: Path) -> Path:
    copy = file.with_name("older.copy")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy


def _spare(copy: Path) -> Path:
    return Path(shutil.copyfile(copy, copy.with_suffix(".spare")))


def _keys_in(at: Place) -> set[str]:
    with at.book() as book:
        issued = (event.fact for event in book.follow(0))
        return {fact.key for fact in issued if isinstance(fact, KeyIssued)}


class _Orders:
    """What was acknowledged: when it was asked for, and the ids of the keys."""

    def __init__(self) -> None:
        self.keys: list[tuple[float, list[str]]] = []


@contextlib.contextmanager
def _ordering(server: Server, token: str) -> Iterator[_Orders]:
    """Order keys all the time, meanwhile."""
    orders, over = _Orders(), threading.Event()

    def order(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            began = time.monotonic()
            answer = ordered(server, token, f"o-{number}-{turn}")
            if answer.status == 201:
                orders.keys.append((began, keys_of(answer)))
            else:
                time.sleep(0.05)

    threads = [threading.Thread(target=order, args=(number,)) for number in range(ORDERERS)]
    for one in threads:
        one.start()
    try:
        yield orders
    finally:
        over.set()
        for one in threads:
            one.join()
