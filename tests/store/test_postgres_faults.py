"""Every step of an append to PostgreSQL that can fail: as failed, and as failed but persisted.

After each the whole log is compared with what every append was told (`tests.store.log`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from ledger.store import OutcomeUnknown, Recorder, VersionConflict, schema
from ledger.store.contract import ReadOnly, Required, append_of
from ledger.store.postgres import datastore
from ledger.store.postgres.recorder import PostgresRecorder
from tests.postgres_server import OwnServer
from tests.store.log import Account, event, in_threads, open_recorder, versions, whole_log
from tests.store.wire import BREAKS, PERSISTED, Break, Wire

SIZES = {"one event": 1, "three events": 3, "more than one packet": 2000}


@pytest.fixture
def wire(postgres_ledger_url: str) -> Iterator[Wire]:
    wire = Wire(postgres_ledger_url)
    yield wire
    wire.close()


@pytest.fixture
def recorder(wire: Wire) -> Iterator[Recorder]:
    """Answer a recorder that reaches the server over the wire, and has done so."""
    recorder = open_recorder(wire.url())
    recorder.insert_events([])
    yield recorder
    recorder.close()


@pytest.fixture
def account(recorder: Recorder) -> Account:
    """Answer the account of a log that holds three events already.

    The connection has appended one event and several before, so that both statements are prepared.
    """
    account = Account()
    assert account.append(recorder, ("old", 1)) is None
    assert account.append(recorder, ("old", 2), ("old", 3)) is None
    account.check(recorder)
    return account


@pytest.fixture
def session(postgres_ledger_url: str) -> Iterator[psycopg.Connection]:
    """Answer a second connection to the same ledger."""
    with psycopg.connect(postgres_ledger_url, autocommit=True) as connection:
        yield connection


def backends(session: psycopg.Connection, condition: str = "true") -> list[int]:
    """Answer the process ids of the other sessions on this ledger that meet a condition."""
    session.execute("SELECT pg_stat_clear_snapshot()")  # a transaction sees the first one again
    rows = session.execute(
        "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname ="
        f" current_database() AND application_name = 'keyfold' AND {condition}".encode()
    )
    return [pid for (pid,) in rows]


def terminate(session: psycopg.Connection, condition: str = "true") -> int:
    pids = backends(session, condition)
    session.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::integer[]) AS pid", (pids,)
    )
    return len(pids)


def wait_until(condition: Callable[[], object]) -> None:
    patience = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.005)


# --- the connection breaks ------------------------------------------------------------------------


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
def test_an_append_whose_connection_breaks_is_of_unknown_outcome(
    recorder: Recorder, wire: Wire, account: Account, broken: Break, size: int
) -> None:
    wire.next_break = broken
    assert isinstance(account.append(recorder, *versions("new", size)), OutcomeUnknown)

    persisted = len(account.check(recorder)) - 3
    assert persisted == (size if broken in PERSISTED else 0)
    again = account.append(recorder, *versions("new", size))
    assert isinstance(again, VersionConflict) if persisted else again is None
    account.check(recorder)


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize("size", [1, 3])
def test_a_connection_that_breaks_before_anything_is_prepared_has_recorded_nothing(
    recorder: Recorder,
    wire: Wire,
    account: Account,
    session: psycopg.Connection,
    broken: Break,
    size: int,
) -> None:
    """The first append on a new connection is preceded by a round trip that prepares it."""
    fresh = open_recorder(wire.url())
    other_size = 2 if size == 1 else 1
    with pytest.raises(VersionConflict):  # opens the connection and prepares the other statement
        fresh.insert_events([event("old", version) for version in range(1, other_size + 1)])
    wire.next_break = broken

    assert isinstance(account.append(fresh, *versions("new", size)), OutcomeUnknown)
    assert len(account.check(fresh)) == 3
    assert account.append(fresh, *versions("new", size)) is None
    account.check(fresh)
    fresh.close()


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_connection_makes_every_append_of_its_batch_unknown(
    recorder: Recorder, wire: Wire, account: Account, session: psycopg.Connection, broken: Break
) -> None:
    """One append waits for the ledger's turn; the five that queue behind it share a commit."""
    with ThreadPoolExecutor(6) as threads:
        with session.transaction():
            session.execute("SELECT keyfold_take_turn()")
            first = threads.submit(account.append, recorder, ("first", 1))
            wait_until(lambda: backends(session, "wait_event_type = 'Lock'"))
            others = [
                threads.submit(account.append, recorder, (f"other-{n}", 1), (f"other-{n}", 2))
                for n in range(5)
            ]
            wait_until(lambda: recorder._group_commit().waiting == 5)  # type: ignore[attr-defined]  # noqa: SLF001
            wire.next_break = broken
        assert first.result() is None
        assert [type(other.result()) for other in others] == [OutcomeUnknown] * 5

    assert len(account.check(recorder)) == 4 + (10 if broken in PERSISTED else 0)


def test_a_backend_that_is_terminated_while_it_waits_has_recorded_nothing(
    recorder: Recorder, account: Account, session: psycopg.Connection
) -> None:
    with ThreadPoolExecutor(1) as threads:
        with session.transaction():
            session.execute("SELECT keyfold_take_turn()")
            waiting = threads.submit(account.append, recorder, ("new", 1))
            wait_until(lambda: terminate(session, "wait_event_type = 'Lock'"))
        assert isinstance(waiting.result(), OutcomeUnknown)

    assert len(account.check(recorder)) == 3
    assert account.append(recorder, ("new", 1)) is None


def test_who_waits_for_the_turn_hears_ctrl_c(
    recorder: Recorder, account: Account, session: psycopg.Connection
) -> None:
    def press() -> None:
        wait_until(lambda: backends(session, "wait_event_type = 'Lock'"))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with session.transaction():
        session.execute("SELECT keyfold_take_turn()")
        with ThreadPoolExecutor(1) as threads:
            pressing = threads.submit(press)
            with pytest.raises(KeyboardInterrupt):
                account.append(recorder, ("new", 1))
            pressing.result()
        assert terminate(session, "wait_event_type = 'Lock'") == 1

    assert len(account.check(recorder)) == 3
    assert account.append(recorder, ("new", 1)) is None


def test_connections_that_were_closed_while_idle_cost_nothing(
    recorder: Recorder, wire: Wire, account: Account, session: psycopg.Connection
) -> None:
    for version, close_all in enumerate((lambda: terminate(session), wire.cut), start=1):
        close_all()
        wait_until(lambda: not backends(session))
        assert recorder.head() == 2 + version
        assert account.append(recorder, ("new", version)) is None
    close_all()
    assert recorder.head() == 5


@pytest.mark.parametrize("broken", BREAKS)
def test_a_read_whose_connection_breaks_is_repeated_on_a_new_one(
    recorder: Recorder, wire: Wire, account: Account, broken: Break
) -> None:
    for read in (
        recorder.head,
        lambda: recorder.read_from(0, 10)[-1].position,
        lambda: recorder.read_stream("old")[0],
        lambda: recorder.read_streams({"old": 2})[0],
        lambda: recorder.read_positions([3])[0].version,
    ):
        wire.next_break = broken
        assert read() == 3
        assert wire.next_break is None, "nothing broke"


def test_a_server_that_is_gone_is_said_to_be_and_nothing_was_recorded(
    recorder: Recorder, wire: Wire, account: Account
) -> None:
    wire.is_down = True
    wire.cut()
    for _ in range(2):
        refused = account.append(recorder, ("new", 1))
        assert type(refused) is OperationalError
        assert isinstance(refused.__cause__, psycopg.OperationalError)
        with pytest.raises(OperationalError):
            recorder.head()
    wire.is_down = False

    assert len(account.check(recorder)) == 3
    assert account.append(recorder, ("new", 1)) is None


def test_the_address_may_name_several_hosts(
    wire: Wire, recorder: Recorder, account: Account
) -> None:
    several = open_recorder(wire.url("127.0.0.1:1") + "&target_session_attrs=read-write")
    assert account.append(several, ("new", 1)) is None

    assert len(account.check(several)) == 4
    several.close()


# --- rivals in one commit -------------------------------------------------------------------------


def test_appends_of_one_commit_that_want_the_same_version_are_told_apart(
    recorder: Recorder, account: Account, session: psycopg.Connection
) -> None:
    """What is no rival of anything shares one transaction, whatever becomes of the others."""
    wanted = {
        "winner": [("x", 1), ("y", 1)],
        "loses to the winner": [("x", 1), ("z", 1)],
        "wins, as its rival lost": [("z", 1)],
        "loses to what is old": [("old", 2), ("n", 1)],
        "wins, as its rival is old": [("n", 1)],
        "bystander": [("w", 1)],
    }
    with ThreadPoolExecutor(8) as threads:
        with session.transaction():
            session.execute("SELECT keyfold_take_turn()")
            threads.submit(account.append, recorder, ("first", 1))
            wait_until(lambda: backends(session, "wait_event_type = 'Lock'"))
            sent = {}
            for queued, (name, places) in enumerate(wanted.items(), 1):
                sent[name] = threads.submit(account.append, recorder, *places)
                wait_until(lambda n=queued: recorder._group_commit().waiting == n)  # type: ignore[attr-defined,misc]  # noqa: SLF001
        told = {name: each.result() for name, each in sent.items()}

    assert {name for name, lost in told.items() if lost is None} == {
        "winner",
        "bystander",
        "wins, as its rival lost",
        "wins, as its rival is old",
    }
    for name, conflict in (
        ("loses to the winner", ("x", 1, 1)),
        ("loses to what is old", ("old", 2, 3)),
    ):
        assert repr(told[name]) == repr(VersionConflict(*conflict))
    account.check(recorder)
    rows = session.execute("SELECT originator_id, xmin::text FROM keyfold_events").fetchall()
    transactions: dict[str, str] = dict(rows)
    assert transactions["x"] == transactions["y"] == transactions["w"] != transactions["first"]


def test_appends_that_require_the_same_version_are_no_rivals_but_one_that_takes_it_is(
    postgres_url: str,
) -> None:
    schema.upgrade(postgres_url)
    with closing(open_recorder(postgres_url)) as recorder:
        assert isinstance(recorder, PostgresRecorder)
        held = {"required": [Required("shared", 0)]}
        appends = [append_of([event(name, 1)], held) for name in ("a", "b", "c")]
        appends.insert(1, append_of([event("shared", 1)], {}))
        assert recorder._commit(appends) == [[1], [4], [2], [3]]  # noqa: SLF001
        late = [append_of([event(name, 1)], held) for name in ("d", "e")]
        conflicts = recorder._commit(late)  # noqa: SLF001
        assert list(map(repr, conflicts)) == [repr(VersionConflict("shared", 1, 1))] * 2
        with psycopg.connect(postgres_url) as session:
            rows = session.execute("SELECT originator_id, xmin::text FROM keyfold_events")
            transactions: dict[str, str] = dict(rows.fetchall())
        assert transactions["a"] == transactions["b"] == transactions["c"]
        assert transactions["shared"] != transactions["a"]


# --- the server refuses ---------------------------------------------------------------------------


def test_who_waits_too_long_for_the_turn_has_recorded_nothing(
    recorder: Recorder,
    account: Account,
    session: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(datastore.APPENDING, "lock_timeout", "100ms")
    terminate(session)
    with session.transaction():
        session.execute("SELECT keyfold_take_turn()")
        refused = account.append(recorder, ("new", 1))
        also_refused = account.append(recorder, ("new", 1), ("new", 2))

    for each in (refused, also_refused):
        assert type(each) is OperationalError
        assert isinstance(each.__cause__, psycopg.errors.LockNotAvailable)
    assert len(account.check(recorder)) == 3
    assert account.append(recorder, ("new", 1)) is None


FAULT_AT = {
    "the insert": "CREATE TRIGGER fault BEFORE INSERT ON keyfold_events"
    " FOR EACH ROW EXECUTE FUNCTION fault()",
    "the commit": "CREATE CONSTRAINT TRIGGER fault AFTER INSERT ON keyfold_events"
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fault()",
}
DISK_FULL = "RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'"
TERMINATED = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)"


def break_server(session: psycopg.Connection, where: str, how: str) -> None:
    session.execute(
        f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {how}; RETURN NEW; END $$; {where}".encode()
    )


@pytest.mark.parametrize("where", FAULT_AT.values(), ids=FAULT_AT.keys())
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    ("how", "told"),
    [(DISK_FULL, OperationalError), (TERMINATED, OutcomeUnknown)],
    ids=["disk full", "terminated"],
)
def test_a_server_that_fails_at_any_step_has_recorded_nothing(
    recorder: Recorder,
    account: Account,
    session: psycopg.Connection,
    where: str,
    size: int,
    how: str,
    told: type,
) -> None:
    break_server(session, where, how)
    assert type(account.append(recorder, *versions("new", size))) is told
    session.execute("DROP FUNCTION fault CASCADE")

    assert len(account.check(recorder)) == 3
    assert account.append(recorder, *versions("new", size)) is None
    account.check(recorder)


def test_one_append_that_the_server_refuses_fails_alone(
    recorder: Recorder, account: Account, session: psycopg.Connection
) -> None:
    """The server finds fault with one event of a shared commit; the others are committed."""
    no_bad_stream = "IF NEW.originator_id = 'bad' THEN RAISE EXCEPTION 'bad' USING ERRCODE ="
    break_server(session, FAULT_AT["the insert"], f"{no_bad_stream} 'check_violation'; END IF")
    outcomes: list[Exception | None] = [None] * 6
    with session.transaction():
        session.execute("SELECT keyfold_take_turn()")

        def append(n: int) -> None:
            outcomes[n] = account.append(recorder, ("bad" if n == 3 else f"good-{n}", 1))

        with ThreadPoolExecutor(6) as threads:
            sent = [threads.submit(append, n) for n in range(6)]
            wait_until(lambda: recorder._group_commit().waiting == 5)  # type: ignore[attr-defined]  # noqa: SLF001
            session.execute("COMMIT")
            for each in sent:
                each.result()

    assert [outcome is None for outcome in outcomes] == [True, True, True, False, True, True]
    assert len(account.check(recorder)) == 3 + 5


def test_a_read_only_server_is_said_to_be(wire: Wire, account: Account) -> None:
    options = "options=-cdefault_transaction_read_only%3Don%20"
    read_only = open_recorder(wire.url().replace("options=", options))
    refused = account.append(read_only, ("new", 1))

    assert type(refused) is ReadOnly
    assert "read-only" in str(refused)
    assert len(account.check(read_only)) == 3
    read_only.close()


def test_a_server_that_was_read_only_is_looked_for_again(postgres_url: str) -> None:
    """As after a fail-over: the server that was a standby has become the primary."""
    schema.upgrade(postgres_url)
    name = conninfo_to_dict(postgres_url)["dbname"]
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        recorder, account = open_recorder(postgres_url), Account()
        assert type(account.append(recorder, ("a", 1))) is ReadOnly
        session.execute("SET default_transaction_read_only = off")
        session.execute(f"ALTER DATABASE {name} RESET ALL".encode())

    assert account.append(recorder, ("a", 1)) is None
    recorder.close()


def test_a_database_without_tables_is_said_to_need_them(postgres_url: str) -> None:
    recorder = open_recorder(postgres_url)
    for use in (recorder.head, lambda: recorder.insert_events([event("a", 1)])):
        with pytest.raises(ProgrammingError, match="run: keyfold db upgrade"):
            use()
    recorder.close()


def test_commits_are_durable_also_where_the_database_would_not_wait(
    recorder: Recorder, session: psycopg.Connection
) -> None:
    url = recorder.datastore.conninfo  # type: ignore[attr-defined]
    careless = datastore.connect(
        f"{url} options='-c synchronous_commit=off'", datastore.APPENDING, None
    )
    ((setting,),) = careless.execute("SELECT current_setting('synchronous_commit')")
    careless.close()

    assert setting == "on"


# --- the server is killed -------------------------------------------------------------------------


def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged(
    durable_postgres_server: OwnServer,
) -> None:
    url = durable_postgres_server.url("postgres")
    schema.upgrade(url)
    recorder = open_recorder(url)
    account = Account()
    crashed = []

    def append_until_the_crash(n: int) -> None:
        for version in range(1, 100_000):
            if failed := account.append(recorder, (f"a-{n}", version), (f"b-{n}", version)):
                crashed.append(failed)
                return

    def crash(n: int) -> None:
        wait_until(lambda: account.recorded > 200)
        durable_postgres_server.kill()

    in_threads(5, lambda n: crash(n) if n == 4 else append_until_the_crash(n))
    durable_postgres_server.start()

    assert len(crashed) == 4
    assert all(isinstance(failed, OperationalError) for failed in crashed)
    before = len(account.check(recorder))
    assert before >= 400
    assert account.append(recorder, ("after", 1)) is None
    assert len(whole_log(recorder)) == before + 1
    recorder.close()


def test_after_a_server_gave_no_answer_nobody_else_waits_for_it(
    durable_postgres_server: OwnServer,
) -> None:
    schema.upgrade(durable_postgres_server.admin_url)
    with closing(open_recorder(durable_postgres_server.admin_url)) as recorder:
        account = Account()
        assert account.append(recorder, ("a", 1)) is None
        with durable_postgres_server.hung():
            first = account.append(recorder, ("a", 2))
            second = account.append(recorder, ("b", 1))
        assert type(first) is OutcomeUnknown
        assert type(second) is OperationalError
        assert "no answer" in str(second)
        time.sleep(2 * datastore.SILENT_S)
        assert account.append(recorder, ("c", 1)) is None
        account.check(recorder)


def test_of_appends_that_want_one_version_only_the_first_waits_for_the_turn(
    postgres_url: str,
) -> None:
    """Each would wait as long, and whoever is in the batch as long as all of them together."""
    schema.upgrade(postgres_url)
    rivals = 3
    with closing(open_recorder(postgres_url)) as recorder:
        assert isinstance(recorder, PostgresRecorder)
        writer = recorder.datastore.writer
        calls: list[str] = []
        call = writer.call

        def counted(statement: Any, values: Any) -> Any:
            calls.append(statement)
            return call(statement, values)

        writer.call = counted  # type: ignore[method-assign]
        with psycopg.connect(postgres_url) as somebody:
            somebody.execute("SELECT keyfold_take_turn()")
            appends = [append_of([event("a", 1)], {}) for _ in range(rivals)]
            outcomes = recorder._commit(appends)  # noqa: SLF001
        assert [type(one) for one in outcomes] == [OperationalError] * rivals
        assert len(calls) == 1
        assert recorder._commit(appends[:1]) == [[1]]  # noqa: SLF001
