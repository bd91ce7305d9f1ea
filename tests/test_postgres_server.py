"""The PostgreSQL that the tests bring: it comes from anywhere, and nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from tests import postgres_binaries, postgres_guard
from tests.postgres_server import FAST, URL_VARIABLE, OwnServer, Server, own_server, shared_server

# A test session of its own, which starts a server, says where, and does not end by itself.
ANOTHER_SESSION = """
import time
from tests.postgres_server import FAST, open_session, own_server
session = open_session()
print(session.folder, own_server(session.folder, FAST).data, flush=True)
try:
    time.sleep(600)
finally:
    session.close()
"""


def _tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return [str(row[0]) for row in rows]


def _make_table(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")


@pytest.mark.parametrize("time_round", [1, 2])
def test_every_test_gets_an_empty_database(postgres_url: str, time_round: int) -> None:
    assert _tables(postgres_url) == []
    _make_table(postgres_url)
    assert _tables(postgres_url) == ["kept"]


def test_a_database_is_a_copy_of_the_template_asked_for(postgres_server: Server) -> None:
    template = postgres_server.create_database()
    _make_table(postgres_server.url(template))
    copy = postgres_server.create_database(template)
    try:
        assert _tables(postgres_server.url(copy)) == ["kept"]
    finally:
        postgres_server.drop_database(copy)
        postgres_server.drop_database(template)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgresql://u:p@host:5433/postgres", "postgresql://u:p@host:5433/mine"),
        ("postgresql://host", "postgresql://host/mine"),
        ("postgresql:///postgres?host=/run/pg", "postgresql:///mine?host=/run/pg"),
        ("postgresql://a,b/?sslmode=require", "postgresql://a,b/mine?sslmode=require"),
    ],
)
def test_a_url_keeps_everything_but_the_database(given: str, expected: str) -> None:
    assert Server(given).url("mine") == expected


def test_a_durable_server_survives_a_kill_with_what_it_acknowledged(
    durable_postgres_server: OwnServer,
) -> None:
    url = durable_postgres_server.admin_url
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    _make_table(url)
    durable_postgres_server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2)
    durable_postgres_server.start()
    assert _tables(url) == ["kept"]


def test_the_wheel_brings_a_server_where_the_machine_has_none(session_folder: Path) -> None:
    server = own_server(session_folder, FAST, postgres_binaries.find_in_wheel())
    try:
        _make_table(server.admin_url)
        assert _tables(server.admin_url) == ["kept"]
    finally:
        server.remove()


def test_the_port_asks_for_the_password(session_folder: Path) -> None:
    server = own_server(session_folder, FAST)
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.admin_url, password="guessed")
    finally:
        server.remove()


def test_with_no_postgres_at_all_it_is_said_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(postgres_binaries, "VERSION_MIN", 1000)
    with pytest.raises(postgres_binaries.NoPostgres, match="apt-get install postgresql"):
        postgres_binaries.find()


def test_a_given_server_that_does_not_answer_is_named(monkeypatch, session_folder: Path) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(postgres_binaries.NoPostgres, match=URL_VARIABLE):
        shared_server(session_folder)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_session_however_it_ends(sign: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER_SESSION],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    ) as session:
        assert session.stdout is not None
        folder, data = map(Path, session.stdout.readline().split())
        pid = postgres_guard.pid_of(data)
        assert pid is not None
        session.send_signal(sign)
    patient_until = time.monotonic() + 30
    while (folder.exists() or postgres_guard.lives(pid)) and time.monotonic() < patient_until:
        time.sleep(0.02)
    assert not folder.exists()
    assert not postgres_guard.lives(pid)
