"""A PostgreSQL primary, and a standby that follows it without its waiting for that."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.postgres_server import OwnServer, own_server

DATABASE = "postgres"
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it has not come to be"
        time.sleep(0.05)


class Pair:
    """A primary, and a standby that follows it without its waiting for that."""

    def __init__(self, primary: OwnServer, session_folder: Path) -> None:
        self.primary = primary
        self.standby = own_server(session_folder)
        self.standby.stop()
        primary.stop()
        subprocess.check_call(["rm", "-rf", str(self.standby.data)])
        subprocess.check_call(["cp", "-Rp", str(primary.data), str(self.standby.data)])
        password = primary.admin_url.split(":")[2].split("@")[0]
        source = f"host=127.0.0.1 port={primary.port} user=postgres password={password}"
        with (self.standby.data / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.standby.port}\nprimary_conninfo = '{source}'\n")
            file.write(f"unix_socket_directories = '{self.standby.folder}'\n")
        subprocess.check_call(
            [
                "cp",
                "-p",
                str(primary.data / "PG_VERSION"),
                str(self.standby.data / "standby.signal"),
            ]
        )
        primary.start()
        self.standby.start()
        hosts = f"127.0.0.1:{primary.port},127.0.0.1:{self.standby.port}"
        self.any = f"postgresql://postgres:{password}@{hosts}/{DATABASE}"
        self.url = f"{self.any}?target_session_attrs=read-write"
        self.standby_url = f"{self.any.replace(hosts, hosts.partition(',')[2])}"

    def ask_standby(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.standby_url, autocommit=True) as session:
            cursor = session.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def wait_for_standby(self, position: int) -> None:
        def has_it() -> bool:
            with suppress(psycopg.Error):
                return self.ask_standby("SELECT max(notification_id) FROM keyfold_events") == [
                    (position,)
                ]
            return False

        wait_until(has_it)

    def cut(self) -> None:
        """Let nothing more through to the standby."""
        self.ask_standby("ALTER SYSTEM SET primary_conninfo = ''")
        self.ask_standby("SELECT pg_reload_conf()")
        wait_until(lambda: not self.ask_standby("SELECT 1 FROM pg_stat_wal_receiver"))

    def fail_over(self) -> None:
        """Lose the primary, and have the standby take its place."""
        self.primary.kill()
        self.ask_standby("SELECT pg_promote()")
        wait_until(lambda: self.ask_standby("SELECT pg_is_in_recovery()") == [(False,)])

    def pause(self) -> None:
        """Have the standby apply nothing more of what comes, until `go_on`."""
        self.ask_standby("SELECT pg_wal_replay_pause()")
        wait_until(
            lambda: self.ask_standby("SELECT pg_get_wal_replay_pause_state()") == [("paused",)]
        )

    def go_on(self) -> None:
        """Have it apply what has come meanwhile."""
        self.ask_standby("SELECT pg_wal_replay_resume()")
