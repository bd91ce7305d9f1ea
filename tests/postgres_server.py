"""PostgreSQL servers for the tests.

`KEYFOLD_TEST_DATABASE_URL` names one that runs already; its role must be allowed to make databases.
Otherwise the tests start their own (`tests.postgres_binaries`); with none to be had they fail, they
are not skipped.

A test session has one folder, whatever the number of its processes. The first test that needs a
server starts the shared one in it, and with it a guard (`tests.postgres_guard`) that ends all
servers in the folder and removes it when the session is over, however it ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests import postgres_binaries, postgres_guard
from tests.postgres_binaries import Binaries, NoPostgres

URL_VARIABLE = "KEYFOLD_TEST_DATABASE_URL"

# Syncing costs most of a test's time and shows only when the machine loses power.
FAST: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
DURABLE: Mapping[str, str] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

_START_S = 30.0
# Below the ports that systems hand out for outgoing connections, so that a server which is down for
# a moment finds its own port free again.
_PORTS = range(15_000, 32_000)
# A socket's path has to fit into 104 bytes on macOS and the BSDs, 108 on Linux.
_SOCKET_FOLDER_MAX = 85


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL, named by the URL of a role that may make databases."""

    admin_url: str

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        server, mark, query = self.admin_url.partition("?")
        return "/".join([*server.split("/", 3)[:3], database]) + mark + query

    def create_database(self, template: str = "template0") -> str:
        """Copy a database that nobody is connected to; answer the new one's name."""
        name = f"keyfold_test_{secrets.token_hex(6)}"
        self._administer("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, and throw out whoever is still connected to it."""
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _administer(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@dataclass(frozen=True)
class OwnServer(Server):
    """A PostgreSQL that the tests started, and so may stop, kill and start again.

    Attributes:
        binaries: its programs, for a test that builds a standby.
        folder: what is its own: data, log, socket.
        port: where it listens, on 127.0.0.1.
    """

    binaries: Binaries
    folder: Path
    port: int

    @property
    def data(self) -> Path:
        """Return its data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Return the file it logs to."""
        return self.folder / "log"

    def start(self) -> None:
        """Start it and wait until it answers. Raises NoPostgres.

        What a kill left of it may hold on to its memory for a moment; so it is tried again.
        """
        patient_until = time.monotonic() + _START_S
        while (said := self._try_to_start()) is not None:
            if time.monotonic() > patient_until:
                raise NoPostgres(f"PostgreSQL does not start: {said}{self.log.read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Shut it down in good order: everything is written, connections are closed."""
        postgres_guard.end(self.data, signal.SIGINT)

    def kill(self) -> None:
        """Kill it as a crash would; the next start recovers from its write-ahead log.

        Its process id is removed from the data: where nobody reaps orphans PostgreSQL would take
        the dead process for a living one. Its shared memory still keeps two servers from one data.
        """
        postgres_guard.end(self.data, signal.SIGKILL)
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stop all of its processes meanwhile: connections are taken, and nothing is answered."""
        first = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        processes = [first, *_children_of(first)]
        _signal(processes, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(processes, signal.SIGCONT)

    def add_standby(self, session: Path) -> OwnServer:
        """Start a standby that each commit waits for from now on; it is restarted for that.

        Raises NoPostgres.
        """
        self.stop()
        folder = _folder(session / f"standby-{secrets.token_hex(4)}")
        subprocess.check_call(["cp", "-Rp", self.data, folder / "data"])
        _write(folder / "data" / "standby.signal", "")
        _configure(self.folder, {"port": str(self.port), "synchronous_standby_names": "standby"})
        self.start()
        url = urlsplit(self.admin_url)
        port = _free_port()
        conninfo = (
            f"host=127.0.0.1 port={self.port} user={url.username} password={url.password}"
            " application_name=standby"
        )
        _configure(folder, {"port": str(port), "primary_conninfo": conninfo})
        admin_url = self.admin_url.replace(f":{self.port}/", f":{port}/")
        standby = OwnServer(admin_url, self.binaries, folder, port)
        standby.start()
        return standby

    def remove(self) -> None:
        """End it and remove its folder."""
        postgres_guard.end(self.data)
        shutil.rmtree(self.folder)

    def _try_to_start(self) -> str | None:
        arguments = ["start", "-w", "-s", f"--pgdata={self.data}", f"--log={self.log}"]
        done = postgres_binaries.run(self.binaries, self.folder, "pg_ctl", arguments)
        return done.stdout if done.returncode else None


def _children_of(parent: int) -> list[int]:
    # After the name, which is in brackets and may hold anything: state, parent, …
    stats = {int(one.parent.name): _read(one) for one in Path("/proc").glob("[0-9]*/stat")}
    return [id for id, stat in stats.items() if stat and int(stat.split()[1]) == parent]


def _read(stat: Path) -> str:
    try:
        return stat.read_text().rpartition(")")[2]
    except OSError:
        return ""


def _signal(processes: Sequence[int], by: signal.Signals) -> None:
    for one in processes:
        with suppress(ProcessLookupError):
            os.kill(one, by)


# --- the session ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Session:
    """A test session's folder, and the lock by which the guard knows that it still lives."""

    folder: Path
    alive: int

    def close(self) -> None:
        """Give up the lock, and wait until the guard has ended every server."""
        has_guard = _guarded(self.folder).exists()  # asked first: the guard removes it, too
        os.close(self.alive)
        if not has_guard:
            shutil.rmtree(self.folder)
        patient_until = time.monotonic() + 2 * postgres_guard.PATIENCE_S
        while self.folder.exists() and time.monotonic() < patient_until:
            time.sleep(0.01)


def open_session() -> Session:
    """Make the folder of a test session; for root in /tmp, which every account can reach."""
    parent = "/tmp" if postgres_binaries.account() else None
    folder = Path(tempfile.mkdtemp(prefix="keyfold-test-", dir=parent))
    folder.chmod(0o711)
    alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    return Session(folder, alive)


def shared_server(session: Path) -> Server:
    """Return the session's one server, which does not sync; the first to ask starts it.

    Raises NoPostgres.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        return _answering(Server(given))
    with _alone(session):
        known = session / "shared.json"
        if not known.exists():
            server = _new_server(session, "shared", postgres_binaries.find(), FAST)
            facts = [server.admin_url, server.port, *server.binaries]
            known.write_text(json.dumps(facts, default=str))
        admin_url, port, programs, origin, version = json.loads(known.read_text())
    binaries = Binaries(Path(programs), origin, version)
    return OwnServer(admin_url, binaries, session / "shared", port)


def own_server(
    session: Path, settings: Mapping[str, str] = DURABLE, binaries: Binaries | None = None
) -> OwnServer:
    """Start a server for one test alone, which may kill it; as it stands, it syncs every commit.

    Raises NoPostgres.
    """
    with _alone(session):
        name = f"own-{secrets.token_hex(4)}"
        return _new_server(session, name, binaries or postgres_binaries.find(), settings)


def _answering(server: Server) -> Server:
    try:
        psycopg.connect(server.admin_url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        raise NoPostgres(f"The server in {URL_VARIABLE} does not answer: {error}") from error
    return server


@contextmanager
def _alone(session: Path) -> Iterator[None]:
    """Keep the session's other processes out."""
    with (session / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# --- making a server ------------------------------------------------------------------------------


def _new_server(
    session: Path, name: str, binaries: Binaries, settings: Mapping[str, str]
) -> OwnServer:
    _start_guard(session)
    binaries = postgres_binaries.within_reach(binaries, session)
    template = _template(session, binaries)
    folder = _folder(session / name)
    subprocess.check_call(["cp", "-Rp", template / "data", folder])
    port = _free_port()
    _configure(folder, {"port": str(port), **settings})
    password = (template / "password").read_text()
    server = OwnServer(
        f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres", binaries, folder, port
    )
    server.start()
    return server


def _template(session: Path, binaries: Binaries) -> Path:
    """Return the folder with the data that every server of the session starts as.

    Other users of the machine may reach the port, so a password is asked for there.
    """
    folder = session / f"template-{binaries.origin}"
    if folder.exists():
        return folder
    _folder(folder)
    _write(folder / "password", secrets.token_urlsafe(16))
    arguments = ["--no-sync", "--encoding=UTF8", "--locale=C", "--username=postgres"]
    arguments += ["--auth-local=trust", "--auth-host=scram-sha-256"]
    arguments += [f"--pwfile={folder / 'password'}", f"--pgdata={folder / 'data'}"]
    done = postgres_binaries.run(binaries, folder, "initdb", arguments)
    if done.returncode:
        raise NoPostgres(f"initdb from {binaries.folder} failed:\n{done.stdout}")
    return folder


def _configure(folder: Path, settings: Mapping[str, str]) -> None:
    socket_folder = str(folder) if len(str(folder)) <= _SOCKET_FOLDER_MAX else ""
    every = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": socket_folder,
        "max_connections": "200",
        **settings,
    }
    with (folder / "data" / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in every.items())


def _folder(folder: Path) -> Path:
    """Make a folder that nobody but PostgreSQL's account and root can look into."""
    folder.mkdir(mode=0o700)
    _hand_over(folder)
    return folder


def _write(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
    _hand_over(file)


def _hand_over(path: Path) -> None:
    account = postgres_binaries.account()
    if account is not None:
        os.chown(path, account.user, account.group)


def _free_port() -> int:
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoPostgres("No port on 127.0.0.1 is free.")


def _guarded(session: Path) -> Path:
    return session / "guarded"


def _start_guard(session: Path) -> None:
    """Start the session's guard, once; by way of a shell, so that it is nobody's child."""
    if _guarded(session).exists():
        return
    guard = [sys.executable, "-I", "-S", postgres_guard.__file__, str(session)]
    subprocess.check_call(
        ["/bin/sh", "-c", '"$@" &', "sh", *guard],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _guarded(session).touch()
