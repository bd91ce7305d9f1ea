"""What drills stand on: a ledger on each database, and a server of it that may be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ledger.book import Book
from tests.cli.program import PATIENCE_S, Program, Server
from tests.postgres_server import DURABLE, OwnServer, open_session, own_server

Kind = Literal["SQLite", "PostgreSQL"]
KINDS: Final[tuple[Kind, ...]] = ("SQLite", "PostgreSQL")
SECRET: Final = "ZHJpbGwgc2VjcmV0LCAzMiBieXRlcyBhdCBsZWFzdCE="


@dataclass
class Place:
    """An empty ledger in a folder of its own.

    Attributes:
        program: the command line on it.
        database: the PostgreSQL under it, which may be killed; None for SQLite.
        session: the folder for further servers.
    """

    program: Program
    database: OwnServer | None
    session: Path

    @property
    def url(self) -> str:
        return self.program.settings["KEYFOLD_DATABASE_URL"]

    @contextlib.contextmanager
    def book(self) -> Iterator[Book]:
        with contextlib.closing(Book(self.url)) as book:
            yield book

    def verified(self) -> list[str]:
        """Return what the verifiers of the command line find wrong."""
        checks = (("audit", "verify"), ("replay", "--verify"))
        ran = [(check, self.program.run(*check)) for check in checks]
        return [
            f"keyfold {' '.join(check)}: {one.err.strip() or one.out.strip()}"
            for check, one in ran
            if one.code
        ]


@contextlib.contextmanager
def place(kind: Kind, *, within: Path | None = None, **settings: str) -> Iterator[Place]:
    """Make an empty ledger; nothing of it is left in the end.

    Args:
        within: where a SQLite ledger's folder is made.
    """
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="keyfold-drill-", dir=within)
        folder = Path(stack.enter_context(made))
        session, database = folder, None
        url = f"sqlite:///{folder}/drill.db"
        if kind == "PostgreSQL":
            opened = open_session()
            stack.callback(opened.close)
            session = opened.folder
            database = own_server(session, DURABLE)
            url = database.admin_url
        kept = {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": SECRET, **settings}
        program = Program(folder, kept)
        program.done("db", "upgrade")
        yield Place(program, database, session)


class Served:
    """A server of a ledger that can be killed and begun again where it was."""

    def __init__(self, program: Program, *arguments: str, log: Path | None = None) -> None:
        self._program = program
        self._log = log or program.folder / "stderr.log"
        self._arguments = arguments
        self._port = 0
        self.server = self._start()
        self._port = self.server.port

    def _start(self) -> Server:
        with self._log.open("a") as stderr:
            process = subprocess.Popen(
                [*self._program.command, "serve", "--port", str(self._port), *self._arguments],
                cwd=self._program.folder,
                env=self._program.environ(),
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        server = Server(process, self._log)
        try:
            server.wait_for_line()
        except AssertionError:
            process.communicate()
            raise
        return server

    def kill(self, *, whole: bool = True) -> None:
        """Kill it: all of its processes, or the first, which looks after the others."""
        process = self.server.process
        if whole:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()

    def start_again(self) -> None:
        """Begin it again, as what looks after services does: until it stays."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.server = self._start()
            except AssertionError:  # what is left of it still holds the port
                assert time.monotonic() < until
                time.sleep(0.1)
            else:
                return


@contextlib.contextmanager
def served(program: Program, *arguments: str, log: Path | None = None) -> Iterator[Served]:
    """Serve a ledger meanwhile.

    Args:
        log: where the server's log goes, if not beside the ledger.
    """
    running = Served(program, *arguments, log=log)
    try:
        yield running
    finally:
        running.kill()
