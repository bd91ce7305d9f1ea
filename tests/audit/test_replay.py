"""Every table rebuilt from the events: nothing differs, unless somebody made it differ."""

from __future__ import annotations

import importlib
import os
import pkgutil
import pty
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Final

import psycopg
import pytest

import projections
from commands.services import Services
from projections.audit import table_differences, tree
from projections.audit.rebuild import NAMES, PROJECTIONS, EventUnreadable, RebuildFinding, replay
from projections.lists import notices_table
from projections.lists.catch_up import Projection, catch_up
from projections.lists.stores import Tables
from tests.audit.ledgers import answers, happens, moments
from tests.cli.program import Program
from tests.cli.test_terminal import rest_of
from tests.worlds import issue, rows


@pytest.fixture
def used(stored: Services, tables: Tables) -> Services:
    """Return a ledger that questions were asked of, so that its tables are filled."""
    happens(stored, Random(3))
    answers(stored, tables, moments(Random(3), 2))
    head = stored.book.head()
    tree.root(stored.book, tables, head)
    for projection in PROJECTIONS:
        catch_up(stored.book, tables, projection, head)
    notices_table.fill(stored.book, tables, DAYS)
    return stored


def test_every_table_that_there_is_is_replayed() -> None:
    found = {
        member
        for module in pkgutil.walk_packages(projections.__path__, "projections.")
        for member in vars(importlib.import_module(module.name)).values()
        if isinstance(member, Projection)
    }
    assert found == set(PROJECTIONS)
    assert set(NAMES) == {one.name for one in found} | {notices_table.NAME, tree.TREE}


def test_tables_that_caught_up_step_by_step_are_those_that_are_rebuilt(
    stored: Services, tables: Tables
) -> None:
    for seed in range(5):
        happens(stored, Random(seed), things=6)
        answers(stored, tables, moments(Random(seed), 1))
        tree.root(stored.book, tables, stored.book.head())
        notices_table.fill(stored.book, tables, DAYS if seed % 2 else [5])
        assert list(replay(stored.book, tables)) == []


def test_tables_that_nobody_has_read_yet_are_as_good(stored: Services, tables: Tables) -> None:
    assert list(replay(stored.book, tables)) == []
    happens(stored, Random(1))
    assert list(replay(stored.book, tables)) == []


def test_it_says_how_far_it_is(used: Services, tables: Tables) -> None:
    counted: list[int] = []
    assert list(replay(used.book, tables, counted.append)) == []
    assert sum(counted) == used.book.head() * len(NAMES)


def test_what_a_table_has_to_catch_up_with_is_not_counted_twice(
    stored: Services, tables: Tables
) -> None:
    happens(stored, Random(3))
    counted: list[int] = []
    assert list(replay(stored.book, tables, counted.append)) == []
    assert sum(counted) == stored.book.head() * len(NAMES)


@dataclass(frozen=True)
class Tampered:
    """What somebody does to a table, and what is found then."""

    name: str
    sql: str
    found: list[tuple[str, str]]

    def __str__(self) -> str:
        return self.name


DAYS: Final = [30, 7, 1]
NOTICE = "(SELECT min(id) FROM keyfold_notices_2)"
FIRST = "(SELECT min(position) FROM keyfold_key_list_2)"
TAMPERED = [
    Tampered(
        "a number is changed",
        f"UPDATE keyfold_key_list_2 SET seats = 99, months = 98 WHERE position = {FIRST}",
        [("key_list@2", "seats is 99 and should be ")],
    ),
    Tampered(
        "a row is deleted",
        f"DELETE FROM keyfold_key_list_2 WHERE position = {FIRST}",
        [("key_list@2", "is missing")],
    ),
    Tampered(
        "a row is added",
        "INSERT INTO keyfold_token_list_1 (position, id, role, created_at)"
        " VALUES (999999, 'kft_x', 'admin', 1)",
        [("token_list@1", "should not be there")],
    ),
    Tampered(
        "a notice is changed",
        f"UPDATE keyfold_notices_2 SET facts = '{{}}' WHERE id = {NOTICE}",
        [("notices@2", "facts is '{}' and should be ")],
    ),
    Tampered(
        "a notice is deleted",
        f"DELETE FROM keyfold_notices_2 WHERE id = {NOTICE}",
        [("notices@2", "is missing")],
    ),
    Tampered(
        "the notices are beyond the ledger",
        "UPDATE keyfold_projections SET position = 9999 WHERE projection = 'notices@2:30,7,1'",
        [("notices@2", "holds events up to position 9999, but the ledger ends at ")],
    ),
    Tampered(
        "a tile is changed",
        "UPDATE keyfold_tree_1 SET hashes = (SELECT wrapped_key FROM keyfold_text_keys LIMIT 1)",
        [("tree@1", "tile 0 of level 0 differs")],
    ),
    Tampered(
        "a tile is deleted",
        "DELETE FROM keyfold_tree_1",
        [("tree@1", "tile 0 of level 0 differs")],
    ),
    Tampered(
        "the checkpoint is beyond the ledger",
        "UPDATE keyfold_projections SET position = 9999 WHERE projection = 'key_list@2'",
        [("key_list@2", "holds events up to position 9999, but the ledger ends at ")],
    ),
    Tampered(
        "the tree is beyond the ledger",
        "UPDATE keyfold_projections SET position = 9999 WHERE projection = 'tree@1'",
        [("tree@1", "holds events up to position 9999, but the ledger ends at ")],
    ),
]


def execute(url: str, sql: str) -> None:
    """Do something to the database with no help of ours."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
            file.execute(sql)
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(sql.encode())


@rows(TAMPERED)
def test_what_differs_is_found_where_it_is(
    case: Tampered,
    used: Services,
    tables: Tables,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = tables.read("SELECT * FROM keyfold_key_list_2 ORDER BY position", {})
    execute(database_url, case.sql)
    found = list(replay(used.book, tables))
    assert len(found) == len(case.found)
    for one, (table, sentence) in zip(found, case.found, strict=True):
        assert one.table == table
        assert one.sentence.startswith(sentence)
    if case.found[0][0] != "key_list@2":
        assert tables.read("SELECT * FROM keyfold_key_list_2 ORDER BY position", {}) == before
    # A row at a time, each at a moment of its own.
    monkeypatch.setattr(table_differences, "PAGE_ROWS", 1)
    monkeypatch.setattr(table_differences, "SNAPSHOT_S", 0.0)
    monkeypatch.setattr(table_differences, "PAUSE_S", 0.0)
    assert list(replay(used.book, tables)) == found


def test_the_position_is_that_of_the_row(used: Services, tables: Tables, database_url: str) -> None:
    last = issue(used).id
    execute(database_url, "SELECT 1")
    assert list(replay(used.book, tables)) == []
    position = used.book.head()
    execute(database_url, f"UPDATE keyfold_key_list_2 SET reseller = 'South' WHERE id = '{last}'")
    assert list(replay(used.book, tables)) == [
        RebuildFinding("key_list@2", position, "reseller is 'South' and should be 'Northwind'")
    ]


def test_an_event_that_cannot_be_read_is_named(
    used: Services, tables: Tables, database_url: str
) -> None:
    execute(database_url, DROP[database_url.partition(":")[0]])
    execute(
        database_url, "UPDATE keyfold_events SET topic = 'key.lost@1' WHERE " + at_5(database_url)
    )
    with pytest.raises(EventUnreadable) as caught:
        list(replay(used.book, tables))
    assert caught.value.position == 5


DROP = {
    "sqlite": "DROP TRIGGER keyfold_events_refuse_update",
    "postgresql": "DROP TRIGGER keyfold_events_append_only ON keyfold_events",
}


def at_5(url: str) -> str:
    return "rowid = 5" if url.startswith("sqlite:") else "notification_id = 5"


# The command


def test_the_command_says_that_all_is_well(filled: Program) -> None:
    filled.done("keys", "list")
    events = filled.json("replay", "--verify")["events"]
    assert filled.done("replay", "--verify").out == (
        f"replayed {events} events into {', '.join(NAMES)}\n"
    )


def test_the_command_exits_with_1_on_a_difference(filled: Program) -> None:
    filled.done("keys", "list")
    url = f"sqlite:///{filled.folder}/keyfold.db"
    execute(url, f"UPDATE keyfold_key_list_2 SET seats = 99 WHERE position = {FIRST}")
    ran = filled.run("replay", "--verify")
    assert ran.code == 1
    assert ran.out.startswith("key_list@2, position 2: seats is 99 and should be 3\nreplayed ")
    assert ran.err == "tables_differ: 1 place is not what the ledger says\n"
    told = filled.run("replay", "--verify", "--json")
    assert told.code == 1
    assert told.json["items"] == [
        {"table": "key_list@2", "position": 2, "sentence": "seats is 99 and should be 3"}
    ]


def test_the_command_does_nothing_unless_told_what(filled: Program) -> None:
    ran = filled.run("replay")
    assert ran.code == 2
    assert f"say --verify to rebuild and compare {NAMES[0]}, " in ran.err


def test_the_command_names_an_event_that_cannot_be_read(filled: Program) -> None:
    url = f"sqlite:///{filled.folder}/keyfold.db"
    execute(url, DROP["sqlite"])
    execute(url, "UPDATE keyfold_events SET state = '{' WHERE rowid = 7")
    ran = filled.run("replay", "--verify")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "event_unreadable: The event at position 7 cannot be read: run keyfold audit verify\n"
    )


def test_json_is_one_object_whether_anything_differs_or_not(filled: Program) -> None:
    filled.done("keys", "list")
    events = filled.json("audit", "verify")["events"]
    assert filled.json("replay", "--verify") == {"events": events, "items": [], "next": None}
    url = f"sqlite:///{filled.folder}/keyfold.db"
    execute(url, "UPDATE keyfold_key_list_2 SET seats = 99")
    told = filled.run("replay", "--verify", "--json").json
    rows = filled.json("keys", "list")["items"]
    assert [one["table"] for one in told["items"]] == ["key_list@2"] * len(rows)
    assert (told["events"], told["next"]) == (events, None)


def test_a_finding_is_printed_before_what_comes_after_it_is_read(filled: Program) -> None:
    """Nothing of what comes after it can be read any more: its tables are gone."""
    filled.done("keys", "list")
    url = f"sqlite:///{filled.folder}/keyfold.db"
    execute(url, f"UPDATE keyfold_key_list_2 SET seats = 99 WHERE position = {FIRST}")
    execute(url, "DROP TABLE keyfold_token_list_1")
    ran = filled.run("replay", "--verify")
    assert ran.code == 1
    assert ran.out == "key_list@2, position 2: seats is 99 and should be 3\n"
    assert ran.err.startswith("ledger_unavailable: ")


_WITH_A_BAR = """
import sys
from web.cli import main, progress
progress.SHOWN_AFTER_S = -1
sys.exit(main(sys.argv[1:]))
"""


def test_findings_go_into_the_file_while_the_terminal_shows_a_bar(filled: Program) -> None:
    filled.done("keys", "list")
    execute(
        f"sqlite:///{filled.folder}/keyfold.db",
        f"UPDATE keyfold_key_list_2 SET seats = 99 WHERE position = {FIRST}",
    )
    above, below = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _WITH_A_BAR, "replay", "--verify"],
        cwd=filled.folder,
        env=filled.environ(TERM="xterm-256color", COLUMNS="80"),
        stdout=subprocess.PIPE,
        stderr=below,
    )
    os.close(below)
    with process:
        shown = rest_of(above)
        assert process.stdout is not None
        out = process.stdout.read()
    assert process.returncode == 1
    assert out.startswith(b"key_list@2, position 2: seats is 99 and should be 3\nreplayed ")
    assert b"Replaying" in shown
    assert b"events/s" in shown
    assert b"left" in shown
    assert b"seats is 99" not in shown
