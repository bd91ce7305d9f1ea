"""Where the ledger is kept: in memory, in a SQLite file, or in PostgreSQL.

    class Book(Application[str]):
        name = "keyfold"

    book = Book(open_environment("sqlite:///keyfold.db"))
    book.recorder          # a ledger.store.contract.Recorder

The tables are made by `ledger.store.schema.upgrade` alone; no recorder ever makes one.
"""

from __future__ import annotations

from typing import Final, Literal

from ledger.store.contract import OutcomeUnknown, Recorder, Row, VersionConflict

__all__ = ["OutcomeUnknown", "Recorder", "Row", "VersionConflict", "kind_of", "open_environment"]

Kind = Literal["memory", "sqlite", "postgres"]

DATABASE_URL = "KEYFOLD_DATABASE_URL"

_MODULES: Final[dict[Kind, str]] = {
    "memory": "ledger.store.memory",
    "sqlite": "ledger.store.sqlite.recorder",
    "postgres": "ledger.store.postgres.recorder",
}


def open_environment(database_url: str) -> dict[str, str]:
    """Return the library's environment for a ledger at this address.

    Args:
        database_url: `sqlite:///PATH` (four slashes for an absolute path), `postgresql://…` as
            libpq reads it, or `memory:` for tests.

    Raises:
        ValueError: the address is none of these; the message names KEYFOLD_DATABASE_URL.
    """
    kind = kind_of(database_url)
    if kind == "postgres":
        from ledger.store.postgres.datastore import conninfo_of

        conninfo_of(database_url)
    return {
        "PERSISTENCE_MODULE": _MODULES[kind],
        DATABASE_URL: database_url,
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",
    }


def kind_of(database_url: str) -> Kind:
    """Return which store an address means.

    Raises:
        ValueError: none; the message names KEYFOLD_DATABASE_URL.
    """
    scheme, _, rest = database_url.partition(":")
    if scheme == "sqlite" and rest.startswith("///") and rest.strip("/"):
        return "sqlite"
    if scheme in ("postgresql", "postgres") and rest.startswith("//"):
        return "postgres"
    if database_url == "memory:":
        return "memory"
    raise ValueError(f"{DATABASE_URL} must be sqlite:///PATH or postgresql://…")
