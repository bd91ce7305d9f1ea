"""Ledgers to measure, one on SQLite and one on PostgreSQL, with fsync on; and the raw drivers."""

from __future__ import annotations

import secrets
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from commands.services import Services, code_keys
from ledger import codec
from ledger.book import Book
from ledger.catalog import builtin
from ledger.events import Envelope, RequestContext
from ledger.sealing import Texts
from ledger.secret import Secret
from ledger.store import schema
from ledger.streams.account.facts import SeatOccupied

CLIENTS = 8
SECRET = b"b" * 32  # of the ledgers to measure
# What one event of the commonest kind is stored as.
STATE = codec.encode(
    Envelope(
        fact=SeatOccupied(product="cloud_pos", tier=None, holder="till-0123456789"),
        recorded_at=datetime(2026, 3, 1, 9, 0, 0, 1, UTC),
        occurred_at=datetime(2026, 3, 1, 9, 0, 0, 1, UTC),
        actor="kft_abcdefghijklmnopqrstuvwxyz",
        request_id="req_abcdefghijklmnopqrstuvwxyz",
    )
)


class Bench(NamedTuple):
    """A ledger, and how a plain program would insert an equal row into an equal table.

    Attributes:
        insert: insert one row with a client's own connection, and commit.
        insert_two: the same with two rows in one commit.
        fetch: all rows of a query, with `?` for parameters.
    """

    name: str
    services: Services
    raw: Any

    @property
    def url(self) -> str:
        """The address of the ledger's database."""
        return str(self.services.book.env["KEYFOLD_DATABASE_URL"])


class RawPostgres:
    """psycopg as it comes, one connection a client, autocommit, prepared statements."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = threading.local()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS raw (stream text, version bigint, name text,"
                " state bytea, position bigserial,"
                " PRIMARY KEY (stream, version), UNIQUE (position))"
            )

    def connection(self) -> psycopg.Connection[Any]:
        if not hasattr(self._local, "connection"):
            self._local.connection = psycopg.connect(self._url, autocommit=True)
        connection: psycopg.Connection[Any] = self._local.connection
        return connection

    def insert(self, stream: str, version: int) -> None:
        self.connection().execute(
            "INSERT INTO raw (stream, version, name, state) VALUES (%b, %b, %b, %b)",
            (stream, version, "account.seat_occupied@1", STATE),
            prepare=True,
        )

    def insert_two(self, stream: str, version: int) -> None:
        self.connection().execute(
            "INSERT INTO raw (stream, version, name, state)"
            " VALUES (%b, %b, %b, %b), (%b, %b, %b, %b)",
            (stream, version, "a@1", STATE, stream, version + 1, "b@1", STATE),
            prepare=True,
        )

    def fetch(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        cursor = self.connection().cursor(binary=True)
        return cursor.execute(query.replace("?", "%b"), parameters, prepare=True).fetchall()


class RawSqlite:
    """sqlite3 as it comes, one connection a client, WAL, synchronous=FULL."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self.connection().execute(
            "CREATE TABLE IF NOT EXISTS raw (position INTEGER PRIMARY KEY, stream TEXT,"
            " version INTEGER, name TEXT, state BLOB, UNIQUE (stream, version))"
        )

    def connection(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._local.connection = connection
        found: sqlite3.Connection = self._local.connection
        return found

    def insert(self, stream: str, version: int) -> None:
        self._insert([(stream, version)])

    def insert_two(self, stream: str, version: int) -> None:
        self._insert([(stream, version), (stream, version + 1)])

    def _insert(self, keys: list[tuple[str, int]]) -> None:
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        for stream, version in keys:
            connection.execute(
                "INSERT INTO raw (stream, version, name, state) VALUES (?, ?, ?, ?)",
                (stream, version, "account.seat_occupied@1", STATE),
            )
        connection.execute("COMMIT")

    def fetch(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        return self.connection().execute(query, parameters).fetchall()


def open_raw(url: str) -> RawPostgres | RawSqlite:
    """Return the raw driver on the database of a ledger."""
    if url.startswith("sqlite:"):
        return RawSqlite(Path(url.removeprefix("sqlite:///")))
    return RawPostgres(url)


def open_services(database_url: str) -> Services:
    """Make an empty ledger and answer what commands work with."""
    schema.upgrade(database_url)
    book = Book(database_url)
    secret = Secret(SECRET)
    return Services(
        book=book,
        catalog=builtin(),
        codes=code_keys(secret),
        texts=Texts(book.store.text_keys, secret.derive("texts")),
        request_key=secret.derive("requests"),
        token_key=secret.derive("tokens"),
        person_key=secret.derive("people"),
        webhook_key=secret.derive("webhook secrets"),
    )


@contextmanager
def new_database(url: str) -> Iterator[str]:
    """Return the address of a new, empty database beside another one; it is gone afterwards."""
    if url.startswith("sqlite:"):
        with tempfile.TemporaryDirectory(prefix="keyfold-bench-") as folder:
            yield f"sqlite:///{Path(folder) / 'bench.db'}"
        return
    name = f"bench_{secrets.token_hex(6)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def context() -> RequestContext:
    return RequestContext(datetime.now(UTC), "operator", "req_bench")


@contextmanager
def ledger(url: str) -> Iterator[Bench]:
    """Make an empty ledger in a database to measure."""
    services = open_services(url)
    yield Bench("SQLite" if url.startswith("sqlite:") else "PostgreSQL", services, open_raw(url))
    services.book.close()
