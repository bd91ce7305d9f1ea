"""The database: is it there, is it safe, is it ours?"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, LiteralString

import msgspec

from ledger.book import CLOCK_TOLERANCE_S
from ledger.proof.cloud_events import recorded_at
from ledger.sealing import Texts, knows_secret
from ledger.store import schema
from ledger.store.contract import Row
from ledger.store.eventsourcing_adapter import PersistenceError
from ledger.store.schema import RestoreUnfinished, SchemaUnfit
from ledger.store.sqlite import datastore as sqlite
from ledger.store.text_keys import TextKeys
from web.app.private_files import secret_file
from web.app.services import existing_secret
from web.app.settings import SettingError, Settings
from web.cli.checkup.result import CheckResult, fail, ok, skipped, warn

POSTGRES_MIN: Final = 140000
CLOCK_WARN_S: Final = 2
QUICK_CHECK_S: Final = 3.0
SHOWN_MAX: Final = 240

_ABOUT_POSTGRES: LiteralString = """
    SELECT current_setting('server_version'), current_setting('server_version_num')::int,
        current_setting('fsync'), current_setting('full_page_writes'),
        current_setting('synchronous_commit'), pg_is_in_recovery(),
        extract(epoch FROM clock_timestamp())::float8,
        has_schema_privilege(current_schema(), 'CREATE'), current_setting('data_checksums')
"""


def check_database(settings: Settings) -> list[CheckResult]:
    """Return whether the database answers, and whether it keeps what it is given."""
    look = _sqlite if settings.database_url.startswith("sqlite:") else _postgres
    try:
        return list(look(settings))
    except PersistenceError as error:
        return [_unreachable(error)]


def _unreachable(error: Exception) -> CheckResult:
    return fail(
        "database",
        f"it does not answer: {_short(error)}",
        "start it, or correct KEYFOLD_DATABASE_URL",
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:SHOWN_MAX]


def check_tables(settings: Settings) -> CheckResult:
    """Return whether the database has the ledger's tables, for this version."""
    try:
        schema.check(settings.database_url)
        return ok(
            "tables", f"of version {schema.applied(settings.database_url)}, as they should be"
        )
    except RestoreUnfinished as error:
        return fail("tables", str(error), "run: keyfold restore FILE")
    except schema.SchemaNewer as error:
        return fail("tables", str(error), "use the newer Keyfold")
    except SchemaUnfit as error:
        return fail("tables", str(error).removesuffix(f"; {schema.MEND}"), schema.MEND)
    except PersistenceError:
        return skipped("tables", "the database does not answer")


# SQLite


def _sqlite(settings: Settings) -> Iterator[CheckResult]:
    path = sqlite.path_of(settings.database_url)
    version = f"SQLite {sqlite3.sqlite_version}"
    if not Path(path).exists():
        yield ok("database", f"{version}; there is no file yet")
        return
    try:
        with closing(sqlite.connect(path)) as connection:
            yield ok("database", f"{version}, {_size(Path(path))}")
            yield from _about_sqlite(connection)
    except sqlite3.Error as error:
        raise sqlite.fault_of(error, path) from error


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1024**2:,.1f} MiB"


def _about_sqlite(connection: sqlite3.Connection) -> Iterator[CheckResult]:
    ((journal,),) = connection.execute("PRAGMA journal_mode")
    ((synchronous,),) = connection.execute("PRAGMA synchronous")
    if journal != "wal":
        yield warn(
            "durability",
            f"the journal is {journal}, so that readers and writers wait for each other",
            "run: keyfold db upgrade",
        )
    else:
        level = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}.get(synchronous, synchronous)
        yield ok("durability", f"journal wal, synchronous {level}: what is answered is on the disk")
    until = time.monotonic() + QUICK_CHECK_S
    connection.set_progress_handler(lambda: int(time.monotonic() > until), 10_000)
    try:
        ((found, *_), *_rest) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError:
        yield skipped("pages", f"they are too many to look at in {QUICK_CHECK_S:.0f} s")
    except sqlite3.DatabaseError as error:
        yield _damaged(_short(error))
    else:
        yield (
            ok("pages", "the file is sound") if found == "ok" else _damaged(str(found)[:SHOWN_MAX])
        )
    finally:
        connection.set_progress_handler(None, 0)


def _damaged(says: str) -> CheckResult:
    return fail(
        "pages",
        f"the file is damaged: {says}",
        "stop, keep the file, and run: keyfold restore FILE into a new one",
    )


# PostgreSQL


def _postgres(settings: Settings) -> Iterator[CheckResult]:
    import psycopg
    from psycopg.rows import tuple_row

    from ledger.store.postgres import datastore as postgres

    try:
        with closing(
            postgres.connect(
                postgres.conninfo_of(settings.database_url), {}, tuple_row, postgres.READ_S
            )
        ) as connection:
            ours = time.time()
            (about,) = connection.execute(_ABOUT_POSTGRES).fetchall()
            ours = (ours + time.time()) / 2
    except psycopg.Error as error:
        raise postgres.fault_of(error) from error
    yield from _about_postgres(about, ours)


def _about_postgres(about: tuple[Any, ...], ours: float) -> Iterator[CheckResult]:
    version, number, fsync, pages, commit, is_standby, theirs, may_create, checksums = about
    version = version.split()[0]
    if number < POSTGRES_MIN:
        yield fail("database", f"PostgreSQL {version}", "use PostgreSQL 14 or later")
    else:
        yield ok("database", f"PostgreSQL {version}, {'a standby' if is_standby else 'primary'}")
    unsafe = [
        name for name, value in (("fsync", fsync), ("full_page_writes", pages)) if value != "on"
    ]
    if unsafe:
        yield fail(
            "durability",
            f"{' and '.join(unsafe)} {'is' if len(unsafe) == 1 else 'are'} off: a crash of the"
            " machine may lose or damage what was answered",
            f"set {' = on, '.join(unsafe)} = on in postgresql.conf",
        )
    elif commit == "off":
        yield warn(
            "durability",
            "synchronous_commit is off; Keyfold's own commits wait for the disk nevertheless",
            "set synchronous_commit = on, for whatever else writes",
        )
    else:
        kept = "with" if checksums == "on" else "without"
        yield ok(
            "durability",
            f"fsync, full_page_writes on, synchronous_commit {commit}; {kept} checksums of pages",
        )
    if is_standby:
        yield warn(
            "role",
            "a standby: it answers questions, and records nothing",
            "for a server that records, lead KEYFOLD_DATABASE_URL to the primary:"
            " target_session_attrs=read-write",
        )
    elif not may_create:
        yield warn(
            "role", "this user may make no tables here", "run keyfold db upgrade as one who may"
        )
    yield _clock(round(ours - theirs, 1))


def _clock(ahead: float) -> CheckResult:
    where = "ahead of" if ahead > 0 else "behind"
    how = f"this machine's clock is {abs(ahead):g} s {where} the database's"
    if abs(ahead) > CLOCK_TOLERANCE_S:
        return fail("clock", f"{how}: nothing is recorded", "set both by NTP")
    if abs(ahead) > CLOCK_WARN_S:
        return warn("clock", how, "set both by NTP")
    return ok("clock", "agrees with the database's")


# What is in it


def check_secret(settings: Settings, *, has_tables: bool) -> CheckResult:
    """Return whether there is a secret, and whether the ledger was made with it.

    Args:
        has_tables: whether there is a ledger to hold it against.
    """
    is_sqlite = settings.database_url.startswith("sqlite:")
    try:
        secret = existing_secret(settings)
    except SettingError as error:
        return fail("secret", str(error), "restore the one that the ledger was made with")
    where = secret_file(settings.database_url) if is_sqlite else None
    if not has_tables:
        if secret is None and not is_sqlite:
            return fail("secret", "KEYFOLD_SECRET is missing", "give 32 random bytes, in base64")
        found = "is there" if secret else f"is not there; one is made at the first start in {where}"
        return skipped("secret", f"it {found}; no ledger to hold it against")
    keys = text_keys(settings)
    if secret is None:
        if is_sqlite and not knows_secret(keys):
            return ok("secret", f"none yet: it is made at the first start, in {where}")
        return fail(
            "secret",
            "it is missing, and the ledger was made with one" if is_sqlite else "it is missing",
            f"put {where} back, or set KEYFOLD_SECRET" if where else "set KEYFOLD_SECRET",
        )
    wrapped = keys.get("ledger")
    if wrapped is None:
        return ok("secret", "is there; the ledger was not opened with one yet")
    if not Texts(keys, secret.derive("texts")).knows("ledger", wrapped):
        return fail(
            "secret",
            "it is not the one that this ledger was made with",
            "restore that one: no code, token or text works with another",
        )
    return ok("secret", "is the one that this ledger was made with")


def text_keys(settings: Settings) -> TextKeys:
    """Return the keys of sealed text, to be read."""
    if settings.database_url.startswith("sqlite:"):
        from ledger.store.sqlite.text_keys import SqliteTextKeys

        return SqliteTextKeys(sqlite.SqliteDatastore(sqlite.path_of(settings.database_url)))
    from ledger.store.postgres.datastore import PostgresDatastore
    from ledger.store.postgres.text_keys import PostgresTextKeys

    return PostgresTextKeys(PostgresDatastore(settings.database_url))


def check_ledger_time(last: Row | None, now: float) -> CheckResult:
    """Return how the last event's time stands against this machine's clock."""
    if last is None:
        return ok("ledger", "no events yet")
    try:
        ahead = round(recorded_at(last).timestamp() - now)
    except msgspec.DecodeError:
        return fail("ledger", "its last event cannot be read", "run: keyfold audit verify")
    if ahead > CLOCK_TOLERANCE_S:
        return warn(
            "ledger",
            f"its last event, at position {last.position}, was recorded {ahead} s after now",
            "set this machine's clock by NTP; it may have been wrong then, or be wrong now",
        )
    return ok("ledger", f"{last.position} events")
