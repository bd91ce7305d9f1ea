"""Backups: whole under load, kept apart from text keys, and restored as what they were, or not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commands.import_ledger import BadExport, Contradicted
from commands.restore_ledger import CheckedBackup, check_backup
from commands.services import Services
from ledger.backup_format import (
    SIDE_TABLES,
    BadBackup,
    is_row,
    read_header,
    read_row,
    unsealed,
)
from ledger.proof.verifier.build import build
from ledger.store import schema
from projections.audit.backup import write_backup
from projections.lists.stores import Tables
from tests.cli.program import KEYFOLD, PATIENCE_S, Program, Ran, wait_until
from tests.cli.program import Server as Served
from tests.pairs import Pair
from tests.postgres_server import Server
from tests.worlds import context
from web.cli import compressed_files
from web.cli.compressed_files import Unreadable

DAMAGED = (BadBackup, BadExport, Contradicted, Unreadable)
LABEL = "Front desk"
SHOP = "museum-shop"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a ledger, a checkpoint of it, a webhook, and what came afterwards."""
    program = Program(tmp_path_factory.mktemp("demo"))
    program.done("demo")
    program.done("audit", "checkpoint", "-o", "first.txt")
    webhook = program.done("webhooks", "add", "https://portal.example/hooks").out.split()[0]
    program.done("seats", "occupy", SHOP, "cloud_pos", "till-9", "--label", LABEL)
    with closing(sqlite3.connect(program.folder / "keyfold.db")) as tables, tables:
        tables.execute(f"INSERT INTO keyfold_projections VALUES ('webhook@1:{webhook}', 100)")
        tables.execute(
            "INSERT INTO keyfold_webhook_messages_1 VALUES (?, 'acme', 1, 'account.changed', 7,"
            " NULL, 8)",
            (webhook,),
        )
        tables.execute(
            "INSERT INTO keyfold_webhook_lanes_1 VALUES (?, 'acme', 1, 1, NULL, 0, NULL)",
            (webhook,),
        )
        tables.execute("INSERT INTO keyfold_token_uses VALUES ('kft_1', '2026-03-01T09:00:00Z')")
    return program.folder


@pytest.fixture
def ledger(demo: Path, tmp_path: Path) -> Program:
    """Return the program with a copy of that ledger."""
    shutil.copytree(demo, tmp_path / "ledger")
    return Program(tmp_path / "ledger")


class Places:
    """Places to restore a ledger to, under the same secret."""

    def __init__(self, folder: Path, server: Server, secret: str) -> None:
        self._folder = folder
        self._server = server
        self._secret = secret
        self._databases: list[str] = []

    def new(self, kind: str) -> Program:
        folder = self._folder / f"place-{time.monotonic_ns()}"
        folder.mkdir()
        url = f"sqlite:///{folder}/keyfold.db"
        if kind == "postgres":
            self._databases.append(self._server.create_database())
            url = self._server.url(self._databases[-1])
        return Program(folder, {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": self._secret})

    def empty(self) -> Program:
        """Return a new one with tables in it."""
        program = self.new("sqlite")
        program.done("db", "upgrade")
        return program

    def drop(self) -> None:
        for name in self._databases:
            self._server.drop_database(name)


@pytest.fixture
def places(ledger: Program, tmp_path: Path, postgres_server: Server) -> Iterator[Places]:
    made = Places(tmp_path, postgres_server, (ledger.folder / "keyfold.secret").read_text().strip())
    yield made
    made.drop()


def beside(program: Program) -> dict[str, list[Any]]:
    """Return all rows that are not made of the events."""
    found = {}
    url = program.settings.get("KEYFOLD_DATABASE_URL", f"sqlite:///{program.folder}/keyfold.db")
    is_sqlite = url.startswith("sqlite:")
    with closing(
        sqlite3.connect(url.removeprefix("sqlite:///")) if is_sqlite else psycopg.connect(url)
    ) as connection:
        for table in SIDE_TABLES:
            where = f" WHERE {table.condition}" if table.condition else ""
            columns = ", ".join(table.columns)
            rows = connection.execute(f"SELECT {columns} FROM {table.name}{where}").fetchall()
            found[table.name] = sorted(
                [
                    [bytes(one) if isinstance(one, memoryview) else one for one in row]
                    for row in rows
                ],
                key=repr,
            )
    return found


def exported(program: Program) -> str:
    return program.done("audit", "export", "-").out


def refused(ran: Ran, code: str, *, exit_code: int = 1) -> str:
    assert ran.code == exit_code, ran
    assert ran.err.startswith(f"{code}: "), ran
    assert len(ran.err.splitlines()) == 1, ran
    return ran.err


@pytest.mark.parametrize("kinds", ["sqlite postgres", "postgres sqlite"])
def test_a_restored_ledger_is_what_it_was_in_whichever_database(
    kinds: str, ledger: Program, places: Places
) -> None:
    first, second = kinds.split()
    old = ledger
    if first == "postgres":
        old = places.new("postgres")
        ledger.done("backup", str(old.folder / "moved"), "--text-keys", str(old.folder / "k"))
        old.done("restore", "moved", "--text-keys", "k")
    made = json.loads(
        old.done("backup", f"{old.folder}/b", "--text-keys", f"{old.folder}/keys", "--json").out
    )
    new = places.new(second)
    told = new.json(
        "restore", f"{old.folder}/b", "--checkpoint", f"{ledger.folder}/first.txt",
        "--text-keys", f"{old.folder}/keys",
    )  # fmt: skip
    assert exported(new) == exported(old)
    assert beside(new) == beside(old)
    assert sum(len(rows) for rows in beside(new).values()) == sum(made["rows"].values()) >= 6
    assert (told["events"], told["root"]) == (made["events"], made["root"])
    assert told["proved_up_to"] == made["checkpoint"]["size"] < made["events"]
    assert told["after_checkpoint"]["events"] == made["events"] - told["proved_up_to"]
    assert LABEL in new.done("seats", "list", SHOP).out
    assert "portal.example" in new.done("webhooks", "list").out
    new.done("db", "check")
    new.done("audit", "verify", "--checkpoint", f"{ledger.folder}/first.txt")
    new.done("replay", "--verify")
    with new.served() as server:
        assert server.get("/readyz")[0] == 200
    assert new.done("audit", "checkpoint").out == old.done("audit", "checkpoint").out
    refused(new.run("restore", f"{old.folder}/b"), "ledger_not_empty")


def test_an_empty_ledger_can_be_backed_up_as_well(bare: Program) -> None:
    bare.done("db", "upgrade")
    bare.done("backup", "b")
    (bare.folder / "keyfold.db").unlink()
    assert bare.json("restore", "b")["events"] == 0
    bare.done("db", "check")


def test_pages_of_what_stands_beside_follow_on_each_other(
    stored: Services, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.audit.backup.PAGE_ROWS", 2)
    uses = [(f"kft_{number}", "2026-03-01T09:00:00Z") for number in range(5)]
    lanes = [(hook, lane, 0, 0, None, 0, None) for hook in ("a", "b") for lane in ("", "x", "y")]
    by_name = {table.name: table.columns for table in SIDE_TABLES}
    with tables.transaction() as work:
        for name, rows in (("keyfold_token_uses", uses), ("keyfold_webhook_lanes_1", lanes)):
            work.insert(name, by_name[name], rows)
    written: list[bytes] = []
    done = write_backup(stored.book, tables, written.append, context(), secret="kfs_1", version="1")
    read = [read_row(line) for line in b"".join(written).splitlines() if is_row(line)]
    assert [row for table, row in read if table.name == "keyfold_token_uses"] == uses
    assert [row for table, row in read if table.name == "keyfold_webhook_lanes_1"] == lanes
    assert sum(done.rows.values()) == len(read) == 11


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    return Program(tmp_path)


# While it is used


@contextmanager
def writers(program: Program, count: int) -> Iterator[None]:
    """Have keys issued by several processes, for as long as the block lasts."""
    issue = "keys issue --product cloud_pos --seats 1 --months 1 --reseller North --count 3"
    loop = f"while true; do {' '.join(KEYFOLD)} {issue} > /dev/null || exit 1; done"
    processes = [
        subprocess.Popen(
            ["/bin/sh", "-c", loop],
            cwd=program.folder,
            env=program.environ(),
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(count)
    ]
    try:
        yield
        assert [process.poll() for process in processes] == [None] * count
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_is_written_meanwhile_is_in_it_up_to_one_position(
    kind: str, ledger: Program, places: Places
) -> None:
    program = places.new(kind)
    ledger.done("backup", f"{program.folder}/begin")
    program.done("restore", "begin")
    made = []
    with writers(program, 2):
        for number in range(3):
            made.append(program.json("backup", f"b{number}"))
            program.done("audit", "checkpoint")
    assert made[0]["events"] < made[-1]["events"]
    assert all(one["checkpoint"]["size"] <= one["events"] for one in made)
    whole = exported(program).splitlines()
    assert program.json("restore", "b1", "--check")["root"] == made[1]["root"]
    copy = places.new("sqlite")
    copy.done("restore", f"{program.folder}/b2")
    assert exported(copy).splitlines()[1:] == whole[1 : made[-1]["events"] + 1]


def test_a_standby_will_do(ledger: Program, pair: Pair, places: Places) -> None:
    secret = (ledger.folder / "keyfold.secret").read_text().strip()
    ledger.done("backup", "b")
    url = {"KEYFOLD_SECRET": secret, "KEYFOLD_DATABASE_URL": pair.url}
    primary = Program(ledger.folder, url)
    events = primary.json("restore", "b")["events"]
    pair.wait_for_standby(events)
    standby = Program(ledger.folder, {**url, "KEYFOLD_DATABASE_URL": pair.standby_url})
    assert standby.json("backup", "from-standby")["events"] == events
    copy = places.new("sqlite")
    copy.done("restore", f"{ledger.folder}/from-standby")
    assert exported(copy) == exported(primary)
    assert beside(copy) == beside(primary)


# What breaks


def test_a_backup_that_is_killed_leaves_nothing_of_its_name(ledger: Program) -> None:
    dies = (
        "import os, sys; import projections.audit.backup as made; from web.cli.main import main;"
        "made.seal_line = lambda _: os.kill(os.getpid(), 9); main(sys.argv[1:])"
    )
    killed = subprocess.run(
        [sys.executable, "-c", dies, "backup", "b"],
        cwd=ledger.folder, env=ledger.environ(), timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not (ledger.folder / "b").exists()
    refused(ledger.run("restore", "b.part", "--check"), "bad_backup")
    ledger.done("backup", "b")
    ledger.done("restore", "b", "--check")
    assert not (ledger.folder / "b.part").exists()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@contextmanager
def restoring(new: Program, ledger: Program) -> Iterator[tuple[subprocess.Popen[bytes], bytes]]:
    """Begin a restore; yield its process, which waits in the middle, and what it still needs."""
    ledger.done("backup", "b")
    with compressed_files.reading(str(ledger.folder / "b")) as read:
        lines = list(read)
    process = subprocess.Popen(
        [*KEYFOLD, "restore", "-"], cwd=new.folder, env=new.environ(), stdin=subprocess.PIPE
    )
    assert process.stdin
    process.stdin.write(b"".join(lines[:60]))
    process.stdin.flush()
    wait_until(lambda: "a restore into this database was begun" in new.run("db", "check").err)
    try:
        yield process, b"".join(lines[60:])
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_that_is_killed_leaves_what_says_so_and_can_be_restored_into(
    kind: str, ledger: Program, places: Places
) -> None:
    new = places.new(kind)
    with restoring(new, ledger):
        refused(new.run("restore", f"{ledger.folder}/b"), "restore_running")
        refused(new.run("restore", "--give-up"), "restore_running")
    unfit = new.run("serve", "--port", "0")
    assert unfit.code == 2
    assert "keyfold restore FILE" in unfit.err
    refused(new.run("db", "check"), "schema_unfit")
    assert new.run("tokens", "create", "--role", "admin").code == 2
    assert new.json("restore", "--give-up") == {"given_up": True}
    assert new.json("restore", "--give-up") == {"given_up": False}
    new.done("db", "check")
    new.done("restore", f"{ledger.folder}/b")
    assert exported(new) == exported(ledger)
    new.done("db", "check")
    assert new.run("restore").code == new.run("restore", "b", "--give-up").code == 2


# A program that kills itself before or after so many of these calls.
_KILLED = """
import os, sys
from ledger.store import schema
from web.cli import main
when, left = sys.argv[1], int(sys.argv[2])
def counted(name):
    made = getattr(schema, name)
    def call(*arguments):
        global left
        left -= 1
        is_last = left == 0
        if is_last and when == "before":
            os.kill(os.getpid(), 9)
        found = made(*arguments)
        if is_last:
            os.kill(os.getpid(), 9)
        return found
    setattr(schema, name, call)
for name in ("make_to_restore", "_take_in_sqlite", "_take_in_postgres", "upgrade", "begin_restore"):
    counted(name)
sys.exit(main(sys.argv[3:]))
"""
STEPS = len(schema.steps("sqlite"))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_wherever_a_restore_is_killed_no_ledger_is_there_or_it_says_so(
    kind: str, ledger: Program, places: Places
) -> None:
    ledger.done("backup", "b")
    is_marked = {
        ("before", 1): False,
        ("after", 4): False,  # three of the steps
        ("after", STEPS + 1): False,  # all of them
        ("before", STEPS + 2): True,
        ("after", STEPS + 3): True,
    }
    for (when, left), marked in is_marked.items():
        new = places.new(kind)
        arguments = [when, str(left), "restore", f"{ledger.folder}/b"]
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED, *arguments],
            cwd=new.folder, env=new.environ(), capture_output=True, check=False,
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        said = refused(new.run("db", "check"), "schema_unfit")
        assert ("a restore into this database was begun" in said) == marked
        assert ("there is no ledger" in said) != marked
        if marked:
            new.done("db", "upgrade")
            assert refused(new.run("db", "check"), "schema_unfit") == said
            assert new.json("restore", "--give-up") == {"given_up": True}
        new.done("restore", f"{ledger.folder}/b")


def test_a_restore_that_is_refused_leaves_an_empty_ledger(ledger: Program, places: Places) -> None:
    ledger.done("backup", "b")
    ledger.done("seats", "release", SHOP, "cloud_pos", "till-9")
    ledger.done("audit", "checkpoint", "-o", "later.txt")
    new, later = places.new("sqlite"), f"{ledger.folder}/later.txt"
    refused(new.run("restore", f"{ledger.folder}/b", "--checkpoint", later), "events_lost")
    new.done("db", "check")
    assert new.json("restore", "--give-up") == {"given_up": False}


def test_a_second_restore_does_not_disturb_the_first(ledger: Program, places: Places) -> None:
    new = places.new("postgres")
    with restoring(new, ledger) as (process, rest):
        refused(new.run("restore", f"{ledger.folder}/b"), "restore_running")
        process.communicate(rest, timeout=PATIENCE_S)
        assert process.returncode == 0
    assert exported(new) == exported(ledger)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_server_beside_a_restore_takes_nothing_that_would_be_lost(
    kind: str, ledger: Program, places: Places
) -> None:
    ledger.done("backup", "b.gz")
    file = ledger.folder / "b.gz"
    damaged = ledger.folder / "damaged.gz"
    damaged.write_bytes(file.read_bytes()[:-40])
    new = places.new(kind)
    new.settings |= {"STRIPE_API_KEY": "sk_test_1", "STRIPE_WEBHOOK_SECRET": "whsec_test"}
    new.done("db", "upgrade")
    with new.served() as server:
        assert "cut off" in refused(new.run("restore", str(damaged)), "bad_backup")
        assert server.get("/readyz")[0] == 503
        status, told = notify(server, "evt_1")
        assert (status, "restore into this database has not ended" in told) == (503, True), told
        refused(new.run("restore", f"{ledger.folder}/nowhere"), "io_error")
        new.done("restore", str(file))
        assert exported(new) == exported(ledger)
        assert notify(server, "evt_1")[0] == server.get("/readyz")[0] == 200
    assert "evt_1" in exported(new)
    new.done("db", "check")
    refused(new.run("restore", str(file)), "ledger_not_empty")
    new.done("db", "check")


def notify(server: Served, event: str) -> tuple[int, str]:
    """Tell a server what Stripe tells; return what it answered."""
    subscription = {
        "id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "canceled",
        "items": {"data": [], "has_more": False}, "metadata": {}, "created": 1,
        "cancel_at_period_end": False,
    }  # fmt: skip
    body = json.dumps(
        {
            "id": event, "object": "event", "type": "customer.subscription.deleted",
            "created": int(time.time()), "livemode": False, "api_version": "2024-06-20",
            "data": {"object": subscription},
        }
    )  # fmt: skip
    at = int(time.time())
    signature = hmac.new(b"whsec_test", f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return server.request(
        "POST",
        "/webhooks/stripe",
        body=body,
        given={"Stripe-Signature": f"t={at},v1={signature}"},
    )


def test_a_restore_that_is_refused_before_it_writes_leaves_no_mark(
    ledger: Program, places: Places
) -> None:
    ledger.done("backup", "b")
    new = places.new("sqlite")
    with compressed_files.reading(f"{ledger.folder}/b") as lines:
        header = next(lines).decode()
    refused(new.run("restore", "-", stdin=f"{header}nonsense\n{{}}\n"), "bad_backup")
    new.done("db", "check")
    with closing(sqlite3.connect(new.folder / "keyfold.db")) as tables, tables:
        tables.execute("INSERT INTO keyfold_token_uses VALUES ('kft_1', '2026-03-01T09:00:00Z')")
    refused(new.run("restore", f"{ledger.folder}/b"), "ledger_not_empty")
    new.done("db", "check")


def test_a_restore_that_fails_on_its_way_leaves_what_says_so(
    ledger: Program, places: Places
) -> None:
    ledger.done("backup", "b.gz")
    file = ledger.folder / "b.gz"
    file.write_bytes(file.read_bytes()[:-40])
    new = places.new("sqlite")
    assert "cut off" in refused(new.run("restore", str(file)), "bad_backup")
    refused(new.run("db", "check"), "schema_unfit")


def test_a_full_disk_leaves_nothing(ledger: Program) -> None:
    ledger.done(
        "keys", "issue", "--product", "cloud_pos", "--seats", "1", "--months", "1",
        "--reseller", "North", "--count", "1000",
    )  # fmt: skip
    before = sorted(file.name for file in ledger.folder.iterdir())
    full = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 128; exec {' '.join(KEYFOLD)} backup b"],
        cwd=ledger.folder, env=ledger.environ(), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (full.returncode, full.stderr.partition(":")[0]) == (1, "io_error")
    assert sorted(file.name for file in ledger.folder.iterdir()) == before


def check(file: Path) -> CheckedBackup:
    with compressed_files.reading(str(file)) as lines:
        sealed = unsealed(lines)
        return check_backup(read_header(next(sealed, b"")), sealed, lambda _events, _total: None)


@pytest.mark.parametrize("name", ["b", "b.gz"])
@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_a_byte_that_is_damaged_anywhere_is_never_taken_for_the_ledger(
    name: str, demo: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = demo / f"whole-{name}"
    if not whole.exists():
        Program(demo).done("backup", whole.name)
    content, was = whole.read_bytes(), check(whole)
    at = data.draw(st.integers(0, len(content) - 1))
    what = data.draw(st.sampled_from(["flip", "cut", "insert", "add"]))
    spoilt = {
        "flip": content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]),
        "cut": content[:at],
        "insert": content[:at] + b"\n" + content[at:],
        "add": content + content[:at] + b"\n",
    }[what] + (content[at + 1 :] if what == "flip" else b"")
    file = tmp_path / name
    file.write_bytes(spoilt)
    with suppress(*DAMAGED):
        # What is in no digest is what compression says of itself, as when it was made.
        assert (check(file), what) == (was, "flip")


def test_a_line_that_is_changed_under_its_digest_is_found(ledger: Program) -> None:
    ledger.done("backup", "b")
    with compressed_files.reading(str(ledger.folder / "b")) as read:
        lines = list(read)
    place = next(i for i, line in enumerate(lines) if b'"id":"5"' in line)
    plain = ledger.folder / "plain"
    plain.write_bytes(b"".join(lines))
    assert check(plain)
    plain.write_bytes(
        b"".join([*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]])
    )
    assert "position 6 is where position 5" in refused(
        ledger.run("restore", "plain", "--check"), "bad_backup"
    )


# What stands in the way


def test_a_file_that_is_there_is_not_written_over(ledger: Program) -> None:
    (ledger.folder / "b").write_text("precious")
    refused(ledger.run("backup", "b"), "file_exists")
    refused(ledger.run("backup", "c", "--text-keys", "b"), "file_exists")
    assert (ledger.folder / "b").read_text() == "precious"
    assert not (ledger.folder / "c").exists()
    ledger.done("backup", "b", "--force")
    ledger.done("restore", "b", "--check")


def test_the_files_are_for_their_owner_alone(ledger: Program) -> None:
    before = os.umask(0)
    (ledger.folder / "b.part").touch(0o644)  # what was killed left it, or somebody put it there
    try:
        ledger.done("backup", "b", "--text-keys", "keys")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((ledger.folder / name).stat().st_mode) for name in ("b", "keys")]
    assert modes == [0o600, 0o600]


def test_one_machine_hands_it_to_another(ledger: Program, places: Places) -> None:
    new = places.new("sqlite")
    program = " ".join(KEYFOLD)
    line = f"{program} backup - | (cd {new.folder} && {program} restore -)"
    secret = new.settings["KEYFOLD_SECRET"]
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=ledger.folder, env=ledger.environ(KEYFOLD_SECRET=secret), timeout=PATIENCE_S,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("restored ")
    assert exported(new) == exported(ledger)


def test_the_secret_is_wanted_and_not_in_it(ledger: Program, tmp_path: Path) -> None:
    secret = (ledger.folder / "keyfold.secret").read_text().strip()
    ledger.done("backup", "b")
    with compressed_files.reading(str(ledger.folder / "b")) as lines:
        assert secret.encode() not in b"".join(lines)
    folder = tmp_path / "new"
    folder.mkdir()
    new = Program(folder)
    assert "keyfold.secret" in refused(new.run("restore", f"{ledger.folder}/b"), "secret_missing")
    assert list(folder.iterdir()) == []
    other = Program(folder, {"KEYFOLD_SECRET": "A" * 43 + "="})
    refused(other.run("restore", f"{ledger.folder}/b"), "other_secret")
    assert list(folder.iterdir()) == []


def test_a_ledger_that_was_altered_makes_no_backup(ledger: Program) -> None:
    with closing(sqlite3.connect(ledger.folder / "keyfold.db")) as database, database:
        database.execute("DROP TRIGGER keyfold_events_refuse_update")
        database.execute(
            "UPDATE keyfold_events SET state = CAST(replace(state, 'a', 'b') AS blob)"
            " WHERE rowid = 9"
        )
    refused(ledger.run("backup", "b"), "ledger_altered")
    assert not (ledger.folder / "b").exists()
    assert not (ledger.folder / "b.part").exists()


# What was signed after it


def test_a_later_checkpoint_stops_the_restore_or_else_all_signing(
    ledger: Program, places: Places
) -> None:
    ledger.done("backup", "b")
    ledger.done("seats", "release", SHOP, "cloud_pos", "till-9")
    ledger.done("audit", "checkpoint", "-o", "later.txt")
    backup, later = f"{ledger.folder}/b", f"{ledger.folder}/later.txt"
    new = places.new("sqlite")
    said = refused(new.run("restore", backup, "--checkpoint", later), "events_lost")
    assert "--accept-loss" in said
    done = new.done("restore", backup, "--checkpoint", later, "--accept-loss")
    assert "none is signed any more" in done.err
    for _ in range(3):
        refused(new.run("audit", "checkpoint"), "ledger_altered")
        new.done("tokens", "create", "--role", "auditor")


@pytest.fixture
def forked(ledger: Program, places: Places) -> Program:
    """Return a ledger that was restored with a loss, and has gone on beyond what was signed."""
    ledger.done("audit", "checkpoint", "-o", "first.txt")
    ledger.done("backup", "b")
    ledger.done("seats", "release", SHOP, "cloud_pos", "till-9")
    ledger.done("audit", "checkpoint", "-o", "later.txt")
    new, later = places.new("sqlite"), f"{ledger.folder}/later.txt"
    new.done("restore", f"{ledger.folder}/b", "--checkpoint", later, "--accept-loss")
    for _ in range(3):
        new.done("tokens", "create", "--role", "auditor")
    return new


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_after_a_loss_a_backup_says_what_it_is_and_so_does_what_is_restored_of_it(
    forked: Program, places: Places, kind: str
) -> None:
    assert "--accept-loss" in refused(forked.run("backup", "c"), "ledger_altered")
    done = json.loads(forked.done("backup", "c", "--accept-loss", "--json").out)
    fork, file = done["fork"], f"{forked.folder}/c"
    assert fork["agreed"] < fork["size"] < done["events"]
    assert forked.json("restore", file, "--check")["fork"] == fork
    new = places.new(kind)
    assert "--accept-loss" in refused(new.run("restore", file), "ledger_altered")
    restored = json.loads(new.done("restore", file, "--accept-loss", "--json").out)
    assert (restored["fork"], restored["proved_up_to"]) == (fork, fork["agreed"])
    assert beside(new)["keyfold_signed_checkpoints"] == beside(forked)["keyfold_signed_checkpoints"]
    refused(new.run("audit", "checkpoint"), "ledger_altered")
    new.done("tokens", "create", "--role", "auditor")
    # And so on: none of its backups is taken for what was signed.
    refused(new.run("backup", "d"), "ledger_altered")
    new.done("backup", "d", "--accept-loss")


def test_a_backup_that_accepts_a_loss_where_there_is_none_is_as_any(ledger: Program) -> None:
    ledger.done("audit", "checkpoint")
    assert json.loads(ledger.done("backup", "b", "--accept-loss", "--json").out)["fork"] is None
    ledger.done("restore", "b", "--check")


def test_an_export_of_what_was_not_signed_is_not_signed_where_it_is_imported(
    forked: Program, places: Places, tmp_path: Path
) -> None:
    assert "--accept-loss" in forked.done("audit", "export", "e").err
    new, file = places.empty(), f"{forked.folder}/e"
    assert "--accept-loss" in refused(new.run("audit", "import", file), "ledger_altered")
    new.done("audit", "import", file, "--accept-loss")
    refused(new.run("audit", "checkpoint"), "ledger_altered")
    assert exported(new).splitlines()[1:] == exported(forked).splitlines()[1:]
    # The verifier tells as well.
    (tmp_path / "verify.py").write_text(build())
    verify = [sys.executable, "verify.py", file]
    ran = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "was signed, of others than these" in " ".join(ran.stderr.split()), ran
    assert ran.returncode == 1
    # Under another secret it is another ledger.
    other = places.new("sqlite")
    other.settings["KEYFOLD_SECRET"] = base64.b64encode(bytes(range(32))).decode()
    other.done("db", "upgrade")
    other.done("audit", "import", file)
    other.done("audit", "checkpoint")


def test_an_import_is_held_to_what_was_signed_elsewhere(
    forked: Program, ledger: Program, places: Places
) -> None:
    ledger.done("audit", "export", "whole")
    ledger.done("audit", "export", "part", "--to", "40")
    new, later = places.empty(), f"{ledger.folder}/later.txt"
    # A part of what was signed is no ledger to go on with; it says so itself.
    refused(new.run("audit", "import", f"{ledger.folder}/part"), "ledger_altered")
    # Others than were signed, where the file does not say so, only a checkpoint tells.
    forked.done("audit", "export", "e")
    plain = forked.folder / "e"
    header, *lines = plain.read_text().splitlines(keepends=True)
    without = {name: value for name, value in json.loads(header).items() if name != "fork"}
    plain.write_text(json.dumps(without) + "\n" + "".join(lines))
    refused(new.run("audit", "import", str(plain), "--checkpoint", later), "ledger_altered")
    said = new.done("audit", "import", f"{ledger.folder}/whole", "--checkpoint", later)
    assert "checkpoints agree up to position" in said.out
    new.done("audit", "checkpoint")


def test_an_import_is_held_to_what_the_log_of_checkpoints_has(
    ledger: Program, places: Places, tmp_path: Path
) -> None:
    log = {"KEYFOLD_CHECKPOINT_LOG": str(tmp_path / "signed.log")}
    ledger.settings.update(log)
    ledger.done("audit", "export", "e")
    ledger.done("tokens", "create", "--role", "auditor")
    ledger.done("audit", "checkpoint")
    new = places.empty()
    new.settings.update(log)
    refused(new.run("audit", "import", f"{ledger.folder}/e"), "ledger_altered")
    new.done("audit", "import", f"{ledger.folder}/e", "--accept-loss")
    refused(new.run("audit", "checkpoint"), "ledger_altered")
    assert new.run("doctor", "--offline").code == 1


def test_a_checkpoint_of_a_fork_is_held_against_it(ledger: Program, places: Places) -> None:
    fork = places.new("sqlite")
    ledger.done("backup", "b")
    fork.done("restore", f"{ledger.folder}/b")
    for program in (ledger, fork):
        program.done("tokens", "create", "--role", "auditor")
    fork.done("audit", "checkpoint", "-o", "fork.txt")
    ledger.done("backup", "later")
    refused(
        places.new("sqlite").run(
            "restore", f"{ledger.folder}/later", "--checkpoint", f"{fork.folder}/fork.txt"
        ),
        "ledger_altered",
    )


def test_what_was_signed_is_remembered_outside_when_the_database_is_lost(
    ledger: Program, tmp_path: Path
) -> None:
    log = tmp_path / "signed.log"
    ledger.settings["KEYFOLD_CHECKPOINT_LOG"] = str(log)
    ledger.done("backup", "b")
    ledger.done("tokens", "create", "--role", "auditor")
    signed = ledger.done("audit", "checkpoint").out
    assert ledger.done("audit", "checkpoint").out == signed
    assert len(log.read_text().splitlines()) == 1
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    for file in ledger.folder.glob("keyfold.db*"):
        file.unlink()
    refused(ledger.run("restore", "b"), "events_lost")
    ledger.done("restore", "b", "--accept-loss")
    ledger.done("tokens", "create", "--role", "auditor")
    refused(ledger.run("audit", "checkpoint"), "ledger_altered")
    with log.open("a") as cut_off:
        cut_off.write('{"size":')  # by a loss of power
    refused(ledger.run("audit", "checkpoint"), "ledger_altered")
    log.unlink()
    refused(ledger.run("audit", "checkpoint"), "ledger_altered")
    assert len(beside(ledger)["keyfold_signed_checkpoints"]) == 2


# What was erased


def test_what_was_erased_does_not_come_back(ledger: Program, places: Places) -> None:
    ledger.done("backup", "old", "--text-keys", "old.keys")
    assert LABEL in ledger.done("seats", "list", SHOP).out
    ledger.done("erase", SHOP, "--reason", "Request 4711")
    ledger.done("texts", "export", "current.keys")
    ledger.done("backup", "new")
    for backup, keys in (("old", None), ("old", "current.keys"), ("new", "old.keys")):
        copy = places.new("sqlite")
        given_keys = ["--text-keys", f"{ledger.folder}/{keys}"] if keys else []
        copy.done("restore", f"{ledger.folder}/{backup}", *given_keys)
        assert LABEL not in copy.done("seats", "list", SHOP).out, (backup, keys)
    assert LABEL.encode() not in (ledger.folder / "old.keys").read_bytes()
