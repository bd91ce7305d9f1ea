"""Connections to PostgreSQL: sessions set for what they do, faults in the library's words.

An address may be anything that libpq reads, several hosts with `target_session_attrs` among it.
What it does not say is filled in so that a dead server is noticed within seconds.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, NamedTuple, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row

from ledger.store import eventsourcing_adapter as library
from ledger.store.connections import Connections, PerProcess
from ledger.store.contract import ClockRefused, OutcomeUnknown, ReadOnly, RestoreBegun
from ledger.store.lineage import Lineage, Mark
from ledger.store.postgres.prepared import NoAnswer, Session
from ledger.store.unfinished_restore import REFUSED

AnyConnection = psycopg.Connection[Any]
AnswerT = TypeVar("AnswerT")

CLOCK_REFUSED = "KF001"  # by keyfold_refuse_clock
RESTORE_BEGUN = "KF002"  # by keyfold_refuse_in_restore

CONNECTIONS_MAX = 6  # of each kind, in each process
PATIENCE_S = 3.0
# How long an answer is waited for.
READ_S = 4.0
APPEND_S = 5.0  # longer than the wait for the ledger's turn
SIDE_S = 10.0
# For so long after a server did not answer nobody waits for it to append. It is over before who has
# to find out what became of an append asks again.
SILENT_S = 0.15

CONNECTION_DEFAULTS = {
    "fallback_application_name": "keyfold",
    "connect_timeout": "3",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

# The ledger's statements have one sensible plan each, by index. Without these, a plan that was made
# while the table was small, and kept in a prepared statement, would scan it when it is large.
_PLANNING = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

# A statement_timeout would break off the wait for a synchronous standby, and PostgreSQL would then
# report success for what only one server has.
APPENDING = {
    **_PLANNING,
    "default_transaction_isolation": "read committed",
    "lock_timeout": "3s",
    "statement_timeout": "0",
}

# Which server a session leads to, since when it runs, which database and table there has the
# ledger, and whether it is a standby. A restore gives the same name to others.
_SERVER: LiteralString = """
    SELECT pg_postmaster_start_time()::text, inet_server_addr()::text, inet_server_port(),
           (SELECT oid FROM pg_database WHERE datname = current_database()),
           to_regclass('keyfold_events')::oid, pg_is_in_recovery()
"""
_LOOK_BACK: LiteralString = """
    SELECT pg_is_in_recovery(),
           coalesce((SELECT max(notification_id) FROM keyfold_events), 0),
           (SELECT state FROM keyfold_events WHERE notification_id = %b::bigint)
"""

# An operator may have traded durability for speed in the whole database; the ledger did not.
_SET: LiteralString = """
    SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)
    UNION ALL
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""


def conninfo_of(database_url: str) -> str:
    """Return the address with what it leaves out.

    Raises:
        ValueError: libpq cannot read it.
    """
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:  # its message shows the password
        raise ValueError("KEYFOLD_DATABASE_URL is no address that libpq can read") from None
    missing = {name: CONNECTION_DEFAULTS[name] for name in CONNECTION_DEFAULTS.keys() - given}
    return make_conninfo(database_url, **missing)


def fault_of(error: psycopg.Error) -> library.PersistenceError:
    """Return a fault of the driver in the library's words, with the driver's as its cause."""
    if error.sqlstate == CLOCK_REFUSED:
        return ClockRefused(error.diag.message_primary or "the clock is refused")
    if error.sqlstate == RESTORE_BEGUN:
        return RestoreBegun(REFUSED)
    hint = ""
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedFunction):
        hint = "; is the ledger's schema missing? run: keyfold db upgrade"
    kind = library.fault_class(psycopg, error)
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        kind = ReadOnly
    elif isinstance(error, psycopg.errors.DataCorrupted | psycopg.errors.IndexCorrupted):
        kind = library.OperationalError
    fault = kind(f"{error}{hint}")
    fault.__cause__ = error
    return fault


class ImpatientConnection(psycopg.Connection[Any]):
    """A connection that is given up when the server does not answer.

    Attributes:
        answer_s: how long each answer is waited for; None for as long as it takes.
    """

    answer_s: float | None = None

    def wait(self, gen: PQGen[AnswerT], *args: Any, **kwargs: Any) -> AnswerT:
        """Wait for an answer and return it.

        Raises:
            NoAnswer: there was none in time; the connection is closed.
        """
        if self.answer_s is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_until(gen, time.monotonic() + self.answer_s), *args, **kwargs)
        except NoAnswer:
            self.close()
            raise


def _until(gen: PQGen[AnswerT], until: float) -> PQGen[AnswerT]:
    """Do what a generator does, for so long; whoever waits sends it 0 when nothing has come."""
    try:
        waits_for = next(gen)
        while True:
            ready = yield waits_for
            if not ready and time.monotonic() > until:
                raise NoAnswer("the server does not answer")
            waits_for = gen.send(ready)
    except StopIteration as ended:
        answer: AnswerT = ended.value
        return answer


def connect(
    conninfo: str,
    settings: Mapping[str, str],
    row_factory: Any,
    answer_s: float | None = SIDE_S,
) -> ImpatientConnection:
    """Return a new session in autocommit, with settings of its own.

    Args:
        answer_s: how long each answer is waited for; None for as long as it takes.

    Raises:
        psycopg.OperationalError: no server at the address can be used.
    """
    connection = ImpatientConnection.connect(
        conninfo, autocommit=True, row_factory=row_factory, client_encoding="utf8"
    )
    connection.answer_s = answer_s
    try:
        connection.execute(_SET, (list(settings), list(settings.values())))
    except BaseException:
        connection.close()
        raise
    return connection


def is_sound(connection: AnyConnection) -> bool:
    """Return whether an idle connection can be used: see `Session.is_sound`."""
    if connection.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


class PostgresWriter:
    """The one connection of a process that appends; used by one thread at a time."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open_session = open_session
        self._session: Session | None = None
        self._closed = False
        self._silent_until = 0.0

    def call(
        self, statement: LiteralString, values: Callable[[], Sequence[bytes | None]]
    ) -> TupleRow:
        """Run a statement that is a transaction of its own, and return its one row.

        Args:
            values: makes its parameters, encoded, when the connection is there. What it raises is
                raised; nothing was changed.

        Raises:
            ClockRefused: the server's clock is another.
            OutcomeUnknown: the connection broke after the statement may have been sent.
            PersistenceError: any other fault; certainly nothing was changed.
        """
        if time.monotonic() < self._silent_until:
            # Those who waited behind one that got no answer would wait as long once more, each.
            raise library.OperationalError("the server has just given no answer")
        try:
            session = self._sound_session()
        except psycopg.Error as error:
            self._note_silence(error)
            raise fault_of(error) from error
        encoded = values()
        try:
            (row,) = session.run_encoded(statement, encoded)
        except psycopg.Error as error:
            if session.is_broken:
                self._drop()
                self._note_silence(error)
                raise OutcomeUnknown(f"the connection broke: {error}") from error
            if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
                self._drop()  # a fail-over made it a standby: look for the primary next time
            raise fault_of(error) from error
        except BaseException:
            self._drop()
            raise
        return row

    def _sound_session(self) -> Session:
        if self._closed:
            raise library.InterfaceError("the store has been closed")
        if self._session is None or not self._session.is_sound:
            self._drop()
            self._session = self._open_session()
        return self._session

    def _note_silence(self, error: psycopg.Error) -> None:
        if isinstance(error, NoAnswer | psycopg.errors.ConnectionTimeout):
            self._silent_until = time.monotonic() + SILENT_S

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def close(self) -> None:
        """Close the connection for good."""
        self._closed = True
        self._drop()


class PostgresConnections(NamedTuple):
    """The connections of one process.

    Attributes:
        writer: appends to the ledger.
        readers: the ledger's own reads.
        others: side tables; apart from the readers, so that who holds one can read the ledger.
    """

    writer: PostgresWriter
    readers: Connections[Session]
    others: Connections[AnyConnection]


class PostgresDatastore:
    """A database at any address of libpq's, with a few connections to it in each process."""

    def __init__(self, database_url: str) -> None:
        self.conninfo = conninfo_of(database_url)
        self.lineage = Lineage()
        self._servers: set[TupleRow] = set()
        self._sessions = PerProcess(self._make_sessions)

    def _open(self, settings: Mapping[str, str], within_s: float) -> Session:
        """Open a session; begin a new generation if it leads to where nobody has looked yet.

        After a fail-over or a restore every server is another one, or has another part.
        """
        session = Session(connect(self.conninfo, settings, tuple_row, within_s), within_s)
        try:
            (server,) = session.run(_SERVER)
            session.is_on_standby = server[-1]
            mark = self.lineage.mark
            if server not in self._servers:
                known = bool(self._servers)
                self._servers.add(server)
                if known:
                    self.lineage.begin()
            self._hold_to(mark, session.run)
        except psycopg.errors.UndefinedTable:
            pass  # there is no ledger yet, which the statement itself will say
        except BaseException:
            session.close()
            raise
        return session

    def look_back(self) -> None:
        """See `Recorder.look_back`."""
        self._hold_to(self.lineage.mark, self.read)

    def _hold_to(
        self, mark: Mark, run: Callable[[LiteralString, Sequence[object]], list[TupleRow]]
    ) -> None:
        """Begin a new generation if the ledger lacks its mark; a standby may only lag behind."""
        if not mark.position:
            return
        ((lags, head, state),) = run(_LOOK_BACK, (mark.position,))
        if state != mark.state and not (lags and head < mark.position):
            self.lineage.went_back(mark, head)
        else:
            self.lineage.saw(*mark)

    def _make_sessions(self) -> PostgresConnections:
        return PostgresConnections(
            PostgresWriter(lambda: self._open(APPENDING, APPEND_S)),
            Connections(
                lambda: self._open(_PLANNING, READ_S),
                lambda session: session.is_sound,
                CONNECTIONS_MAX,
                PATIENCE_S,
                lambda session: session.is_free,
            ),
            Connections(
                lambda: connect(self.conninfo, {}, dict_row), is_sound, CONNECTIONS_MAX, PATIENCE_S
            ),
        )

    @property
    def writer(self) -> PostgresWriter:
        """Return the process's connection that appends."""
        return self._sessions().writer

    def read(self, statement: LiteralString, params: Sequence[object] = ()) -> list[TupleRow]:
        """Return the rows of one reading statement: one round trip, one snapshot.

        A connection that turns out to be broken is not looked at before; the statement is tried
        once more, on another.

        Raises:
            PersistenceError: a fault, in the library's words.
        """
        return self._read(lambda session: self._rows(session, session.run(statement, params)))

    def read_encoded(self, statement: LiteralString, values: Sequence[bytes]) -> list[TupleRow]:
        """Return rows as `read` does; the parameters are encoded already."""
        return self._read(
            lambda session: self._rows(session, session.run_encoded(statement, values))
        )

    def _rows(self, session: Session, rows: list[TupleRow]) -> list[TupleRow]:
        """Return what was read; look whether it is still of the history that is remembered.

        A session on a standby outlives its promotion, and another standby's, whose history it then
        follows. One on a primary ends with it.
        """
        if session.is_on_standby:
            self._hold_to(self.lineage.mark, session.run)
        return rows

    def _read(self, run: Callable[[Session], list[TupleRow]]) -> list[TupleRow]:
        readers = self._sessions().readers
        try:
            try:
                return _rows(readers, readers.take(), run)
            except _ConnectionBroke:
                readers.drop_idle()
                return _rows(readers, readers.take_sound(), run)
        except psycopg.Error as error:
            raise fault_of(error) from error

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Yield a connection for side tables, in autocommit, with rows as dictionaries."""
        others = self._sessions().others
        try:
            with others.lend() as connection:
                yield connection
        except psycopg.Error as error:
            raise fault_of(error) from error

    def close(self) -> None:
        """Close what this process has opened."""
        sessions = self._sessions.made()
        if sessions is not None:
            sessions.writer.close()
            sessions.readers.close()
            sessions.others.close()


class _ConnectionBroke(psycopg.OperationalError):
    """A connection that had been opened is gone."""


def _rows(
    readers: Connections[Session], session: Session, run: Callable[[Session], list[TupleRow]]
) -> list[TupleRow]:
    try:
        return run(session)
    except psycopg.Error as error:
        if session.is_broken and not isinstance(error, NoAnswer):
            raise _ConnectionBroke(str(error)) from error
        raise
    finally:
        readers.give_back(session)
