"""The stores: each empty, with its tables made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest
from psycopg import sql

from ledger.store import Kind, Recorder, schema
from tests.postgres_server import Server
from tests.store.log import open_recorder


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Answer the address of a SQLite file with the ledger's tables."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    schema.upgrade(url)
    return url


@pytest.fixture(scope="session")
def database_of_schemas(postgres_server: Server) -> Iterator[str]:
    """Answer the URL of a database that many tests share, each in a schema of its own."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def postgres_ledger_url(database_of_schemas: str) -> str:
    """Answer the URL of an empty ledger in a new schema, which is far quicker than a database."""
    schema_name = f"ledger_{secrets.token_hex(6)}"
    with psycopg.connect(database_of_schemas, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema_name)))
    mark = "&" if "?" in database_of_schemas else "?"
    url = f"{database_of_schemas}{mark}options=-csearch_path%3D{schema_name}"
    schema.upgrade(url)
    return url


def url_of(kind: Kind, request: pytest.FixtureRequest) -> str:
    """Answer the address of a store of this kind with the ledger's tables."""
    match kind:
        case "memory":
            return "memory:"
        case "sqlite":
            return cast(str, request.getfixturevalue("sqlite_url"))
        case "postgres":
            return cast(str, request.getfixturevalue("postgres_ledger_url"))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """Answer the recorder of each store in turn."""
    recorder = open_recorder(url_of(request.param, request))
    yield recorder
    recorder.close()


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """Answer the address of a ledger in each database in turn."""
    return url_of(request.param, request)


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Recorder]:
    """Answer the recorder of a ledger in SQLite."""
    recorder = open_recorder(sqlite_url)
    yield recorder
    recorder.close()


@pytest.fixture
def postgres(postgres_ledger_url: str) -> Iterator[Recorder]:
    """Answer the recorder of a ledger in PostgreSQL."""
    recorder = open_recorder(postgres_ledger_url)
    yield recorder
    recorder.close()
