"""Making and upgrading the tables: numbered SQL files, each applied once, in order, as a whole.

`schema/sqlite/0001_ledger.sql` makes version 1 on SQLite, and so on; the table keyfold_schema holds
what has been applied. Nothing else makes or changes tables. Any number of processes may upgrade at
once: each file is applied by one of them, and all return when the schema is up to date.

A file names the oldest program that can go on with it in its first line, by the schema version that
the program knows: `-- oldest program: 6`. Without that line it is the file's own version: every
older program is refused. What a file says is kept beside its version, since a program that is older
than the file can read it only there.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from ledger.store import Kind, kind_of, unfinished_restore
from ledger.store.sqlite import datastore as sqlite
from ledger.store.sqlite.patience import patiently

if TYPE_CHECKING:
    import psycopg

UPGRADE_LOCK = 7739591319042486384  # of advisory locks; any number that is only ours
MEND = "run: keyfold db upgrade"
_OLDEST_PROGRAM = re.compile(r"-- oldest program: ([1-9][0-9]{0,3})\n")
_RECORD = "INSERT INTO keyfold_schema (version, applied_at, oldest_program) VALUES"


class SchemaUnfit(Exception):
    """The ledger's tables do not fit this program."""


class SchemaMissing(SchemaUnfit):
    """The database holds no ledger yet."""


class SchemaOutdated(SchemaUnfit):
    """The ledger's tables were made by an earlier Keyfold."""


class SchemaNewer(SchemaUnfit):
    """The ledger's tables were upgraded by a later Keyfold, and this one cannot work with them."""


class RestoreUnfinished(SchemaUnfit):
    """A restore into this database was begun, and has not come to its end."""


class SchemaStep(NamedTuple):
    """One SQL file.

    Attributes:
        version: the number that its name begins with.
        name: its name without `.sql`, e.g. `0001_ledger`.
        sql: its statements.
    """

    version: int
    name: str
    sql: str

    @property
    def oldest_program(self) -> int:
        """Return the lowest version that a program must know to work with the tables after this."""
        named = _OLDEST_PROGRAM.match(self.sql)
        return min(int(named[1]), self.version) if named else self.version


def upgrade(database_url: str) -> list[str]:
    """Make or upgrade the ledger's tables; on SQLite make the file too.

    Returns:
        The names of the steps that this call applied, e.g. `["0001_ledger"]`.

    Raises:
        ValueError: the address is none that `open_environment` takes.
        SchemaNewer: a later Keyfold has upgraded it already.
        PersistenceError: a fault of the database; each step is applied as a whole or not at all.
    """
    match kind_of(database_url):
        case "sqlite":
            return _upgrade_sqlite(sqlite.path_of(database_url))
        case "postgres":
            return _upgrade_postgres(database_url)
        case "memory":
            return []


def make_to_restore(database_url: str) -> bool:
    """Make the tables in a database that has none, marked as `begin_restore` does; or do nothing.

    Tables and mark come in one transaction: a restore that was killed meanwhile leaves no tables,
    or what says so.

    Returns:
        Whether they were made.

    Raises:
        PersistenceError: a fault of the database.
    """
    match kind_of(database_url):
        case "sqlite":
            path = sqlite.path_of(database_url)
            with _sqlite_session(path) as connection, _in_transaction(connection):
                if _versions_in_sqlite(connection):
                    return False
                for step in steps("sqlite"):
                    _take_in_sqlite(connection, step)
                connection.execute(unfinished_restore.BEGIN)
                return True
        case "postgres":
            with _postgres_session(database_url, patient=True) as session, session.transaction():
                session.execute("SELECT pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
                if _versions_in_postgres(session):
                    return False
                for step in steps("postgres"):
                    _take_in_postgres(session, step)
                session.execute(unfinished_restore.BEGIN)
                return True
        case "memory":
            return False


def check(database_url: str, *, restoring: bool = False) -> None:
    """Refuse a ledger whose tables this program cannot read and write.

    Tables that a later Keyfold has upgraded are taken when each of its steps says so.

    Args:
        restoring: whether a ledger is being restored into the database, by us.

    Raises:
        ValueError: the address is none that `open_environment` takes.
        SchemaMissing, SchemaOutdated, SchemaNewer, RestoreUnfinished: each names the mend.
        PersistenceError: a fault of the database.
    """
    match kind_of(database_url):
        case "sqlite":
            path = sqlite.path_of(database_url)
            if not Path(path).exists():
                raise SchemaMissing(f"there is no ledger at {path}; {MEND}")
            _check(steps("sqlite"), *_found_in_sqlite(path), restoring=restoring)
        case "postgres":
            _check(steps("postgres"), *_found_in_postgres(database_url), restoring=restoring)
        case "memory":
            return


def applied(database_url: str) -> int:
    """Return the version that the ledger's tables have; 0 for none.

    Raises:
        PersistenceError: a fault of the database.
    """
    match kind_of(database_url):
        case "sqlite":
            path = sqlite.path_of(database_url)
            return max(_found_in_sqlite(path)[0], default=0) if Path(path).exists() else 0
        case "postgres":
            return max(_found_in_postgres(database_url)[0], default=0)
        case "memory":
            return 0


def begin_restore(database_url: str) -> None:
    """Mark a database without events as one into which a ledger is being restored.

    Raises:
        PersistenceError: a fault of the database.
    """
    _mark(database_url, unfinished_restore.BEGIN)


def give_up_restore(database_url: str) -> bool:
    """Take back that a restore was begun which did not end; return whether one was.

    Raises:
        PersistenceError: a fault of the database.
    """
    return _mark(database_url, unfinished_restore.END)


def _mark(database_url: str, statement: LiteralString) -> bool:
    match kind_of(database_url):
        case "sqlite":
            path = sqlite.path_of(database_url)
            try:
                with closing(sqlite.connect(path)) as connection:
                    return bool(patiently(connection, statement).rowcount)
            except sqlite3.Error as error:
                raise sqlite.fault_of(error, path) from error
        case "postgres":
            with _postgres_session(database_url) as session, session.transaction():
                # Not while somebody appends: he would not see the mark.
                session.execute("SET LOCAL lock_timeout = '5s'; SELECT keyfold_take_turn()")
                return bool(session.execute(statement).rowcount)
        case "memory":
            return False


def steps(kind: Kind) -> list[SchemaStep]:
    """Return a database's SQL files in order."""
    folder = files("ledger.store") / "schema" / kind
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=_name)
    result = [
        SchemaStep(
            int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")
        )
        for file in found
    ]
    assert [step.version for step in result] == list(range(1, len(result) + 1)), result
    return result


def _name(file: Traversable) -> str:
    return file.name


def _missing(known: list[SchemaStep], applied: dict[int, int]) -> list[SchemaStep]:
    """Return the steps that have not been applied.

    Args:
        applied: by version, the oldest program that can work with the step.

    Raises:
        SchemaNewer: a step that is not known needs a later program.
    """
    needed = max((applied[newer] for newer in applied if newer > len(known)), default=0)
    if needed > len(known):
        raise SchemaNewer(
            f"the ledger's tables are of version {max(applied)} and need a Keyfold that knows"
            f" {needed}, this one knows {len(known)}:"
            " use the Keyfold that upgraded them (`keyfold db upgrade` cannot go back)"
        )
    return [step for step in known if step.version not in applied]


def _check(
    known: list[SchemaStep], applied: dict[int, int], is_marked: bool, *, restoring: bool
) -> None:
    if not applied:
        raise SchemaMissing(f"there is no ledger in this database; {MEND}")
    if missing := _missing(known, applied):
        raise SchemaOutdated(
            f"the ledger's tables are of version {missing[0].version - 1},"
            f" this Keyfold needs {known[-1].version}; {MEND}"
        )
    if is_marked and not restoring:
        raise RestoreUnfinished(
            "a restore into this database was begun and did not end, so that it holds no ledger;"
            " run again: keyfold restore FILE, or begin an empty ledger: keyfold restore --give-up"
        )


@contextmanager
def _sqlite_session(path: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a file, which is made if it is not there."""
    try:
        sqlite.make(path)
        with closing(sqlite.connect(path)) as connection:
            sqlite.use_write_ahead_log(connection)
            yield connection
    except sqlite3.Error as error:
        raise sqlite.fault_of(error, path) from error


@contextmanager
def _in_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    patiently(connection, "BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()


def _upgrade_sqlite(path: str) -> list[str]:
    known = steps("sqlite")
    with _sqlite_session(path) as connection:
        return [step.name for step in known if _apply_to_sqlite(connection, known, step)]


def _apply_to_sqlite(
    connection: sqlite3.Connection, known: list[SchemaStep], step: SchemaStep
) -> bool:
    """Apply a step in a transaction of its own, unless somebody has; answer whether we did."""
    with _in_transaction(connection):
        if step not in _missing(known, _versions_in_sqlite(connection)):
            return False
        _take_in_sqlite(connection, step)
        return True


def _take_in_sqlite(connection: sqlite3.Connection, step: SchemaStep) -> None:
    for statement in _statements(step.sql):
        connection.execute(statement)
    columns = connection.execute("SELECT * FROM keyfold_schema LIMIT 0").description
    if "oldest_program" not in [column[0] for column in columns]:
        connection.execute("ALTER TABLE keyfold_schema ADD COLUMN oldest_program INTEGER")
    connection.execute(
        f"{_RECORD} (?, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?)",
        (step.version, step.oldest_program),
    )


def _statements(sql: str) -> Iterator[str]:
    """Split a file into statements, since SQLite's driver runs a script in no transaction."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    yield statement  # a comment at the end


def _found_in_sqlite(path: str) -> tuple[dict[int, int], bool]:
    """Return the steps that were applied, and whether a restore was begun."""
    try:
        with closing(sqlite.connect(path)) as connection:
            versions = _versions_in_sqlite(connection)
            is_marked = unfinished_restore.MADE_IN_STEP in versions and bool(
                connection.execute(unfinished_restore.FIND).fetchone()
            )
            return versions, is_marked
    except sqlite3.Error as error:
        raise sqlite.fault_of(error, path) from error


def _versions_in_sqlite(connection: sqlite3.Connection) -> dict[int, int]:
    if not connection.execute(
        "SELECT 1 FROM sqlite_schema WHERE name = 'keyfold_schema'"
    ).fetchone():
        return {}
    return _oldest_programs(connection.execute("SELECT * FROM keyfold_schema").fetchall())


def _oldest_programs(rows: list[tuple[Any, ...]]) -> dict[int, int]:
    """Return by version what a step has said; an older upgrade has kept nothing of it."""
    return {version: (named[0] if named and named[0] else version) for version, _, *named in rows}


def _upgrade_postgres(database_url: str) -> list[str]:
    known = steps("postgres")
    with _postgres_session(database_url, patient=True) as connection:
        return [step.name for step in known if _apply_to_postgres(connection, known, step)]


def _apply_to_postgres(
    connection: psycopg.Connection[Any], known: list[SchemaStep], step: SchemaStep
) -> bool:
    """Apply a step in a transaction of its own, unless somebody has; answer whether we did."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (UPGRADE_LOCK,))
        if step not in _missing(known, _versions_in_postgres(connection)):
            return False
        _take_in_postgres(connection, step)
        return True


def _take_in_postgres(connection: psycopg.Connection[Any], step: SchemaStep) -> None:
    connection.execute(step.sql.encode())
    connection.execute("ALTER TABLE keyfold_schema ADD COLUMN IF NOT EXISTS oldest_program integer")
    connection.execute(f"{_RECORD} (%s, now(), %s)".encode(), (step.version, step.oldest_program))


def _found_in_postgres(database_url: str) -> tuple[dict[int, int], bool]:
    """Return the steps that were applied, and whether a restore was begun."""
    with _postgres_session(database_url) as connection:
        versions = _versions_in_postgres(connection)
        is_marked = unfinished_restore.MADE_IN_STEP in versions and bool(
            connection.execute(unfinished_restore.FIND).fetchone()
        )
        return versions, is_marked


def _versions_in_postgres(connection: psycopg.Connection[Any]) -> dict[int, int]:
    ((is_there,),) = connection.execute("SELECT to_regclass('keyfold_schema') IS NOT NULL")
    if not is_there:
        return {}
    return _oldest_programs(connection.execute("SELECT * FROM keyfold_schema").fetchall())


@contextmanager
def _postgres_session(
    database_url: str, *, patient: bool = False
) -> Iterator[psycopg.Connection[Any]]:
    import psycopg
    from psycopg.rows import tuple_row

    from ledger.store.postgres import datastore as postgres

    try:
        with closing(
            postgres.connect(
                postgres.conninfo_of(database_url),
                {},
                tuple_row,
                None if patient else postgres.READ_S,
            )
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise postgres.fault_of(error) from error
