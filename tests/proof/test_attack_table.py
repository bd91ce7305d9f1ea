"""Every attack on the database, as an auditor meets it: with the programs as they are run.

The auditor has what was kept in March: a checkpoint, an export and the key. The attacker has all of
the database, with its triggers dropped: a SQLite file, or PostgreSQL as superuser. Each attack is
made twice: on the events alone, and with everything else in the database rid of what it knew. Each
time both are asked: `keyfold audit verify` with the checkpoint, on the live ledger, and the
auditors' own program, with an export that was made after the attack.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands.sign_checkpoint import NEXT_STEP
from tests.cli.program import Program, Ran
from tests.postgres_server import Server
from tests.proof.attacks import FORGED, Attacker, attacker
from tests.proof.auditors import Auditor, Said
from tests.worlds import rows

SECRET = base64.b64encode(b"s" * 32).decode()
THEIR_SECRET = base64.b64encode(b"t" * 32).decode()
ISSUE = ("keys", "issue", "--product", "cloud_pos", "--months", "12", "--reseller", "North")
SQLITE, POSTGRES = "sqlite", "postgres"
MARCH = ("--checkpoint", "march.txt")


@dataclass(frozen=True)
class Scene:
    """A ledger of the demonstration, some time after March.

    Attributes:
        backup: how many events an old backup has.
        march: how many the auditor's checkpoint and export have.
        head: how many it has now; the server has signed those, too.
        url_of_backup: of the backup, as a database of its own.
    """

    keyfold: Program
    auditor: Auditor
    url: str
    backup: int
    march: int
    head: int
    url_of_backup: str

    def live(self, *arguments: str) -> Ran:
        """Verify the live ledger against the checkpoint of March."""
        return self.keyfold.run("audit", "verify", *MARCH, *arguments)

    def offline(self, *arguments: str) -> Said:
        """Export the ledger as it is, and have the auditors' program check that."""
        self.keyfold.done("audit", "export", "now.jsonl")
        return self.auditor.verifies("now.jsonl", *arguments)


@dataclass(frozen=True)
class Prepared:
    """What all scenes on one kind of database are copies of."""

    folder: Path
    backup: int
    march: int
    head: int
    database: str = ""
    database_of_backup: str = ""


@pytest.fixture(scope="module")
def sqlite_scene(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("scene")
    keyfold = program(folder, f"sqlite:///{folder}/keyfold.db")
    sizes = prepare(keyfold, lambda: copy_file(folder / "keyfold.db", folder / "backup.db"))
    return Prepared(folder, *sizes)


@pytest.fixture(scope="module")
def postgres_scene(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Server
) -> Iterator[Prepared]:
    database = postgres_server.create_database()
    kept: list[str] = []
    folder = tmp_path_factory.mktemp("scene")
    keyfold = program(folder, postgres_server.url(database))
    keyfold.done("db", "upgrade")
    sizes = prepare(keyfold, lambda: kept.append(postgres_server.create_database(database)))
    yield Prepared(folder, *sizes, database, kept[0])
    for name in (database, *kept):
        postgres_server.drop_database(name)


ALTERED = f"ledger_altered: The ledger is not what it was: {NEXT_STEP}"


def program(folder: Path, url: str) -> Program:
    return Program(folder, {"KEYFOLD_DATABASE_URL": url, "KEYFOLD_SECRET": SECRET})


def copy_file(one: Path, other: Path) -> None:
    shutil.copy(one, other)


def prepare(keyfold: Program, keep_backup: Callable[[], None]) -> tuple[int, int, int]:
    """Let time pass; answer how many events there were in the backup, in March, and are now."""
    keyfold.done("demo")
    keyfold.done("audit", "checkpoint")
    keep_backup()
    backup = keyfold.json("audit", "verify")["events"]
    keyfold.done(*ISSUE, "--seats", "3", "--count", "5")
    keyfold.done("audit", "checkpoint", "-o", "march.txt")
    keyfold.done("audit", "export", "march.jsonl")
    (keyfold.folder / "key.txt").write_text(keyfold.done("audit", "keys").out)
    march = keyfold.json("audit", "verify")["events"]
    keyfold.done(*ISSUE, "--seats", "1", "--count", "4")
    keyfold.done("audit", "checkpoint")
    return backup, march, keyfold.json("audit", "verify")["events"]


@pytest.fixture(params=[SQLITE, POSTGRES])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    made: Prepared = request.getfixturevalue(f"{request.param}_scene")
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    with copied(request, made, tmp_path) as (url, of_backup):
        keyfold, auditor = program(tmp_path, url), Auditor(tmp_path)
        yield Scene(keyfold, auditor, url, made.backup, made.march, made.head, of_backup)


@contextmanager
def copied(
    request: pytest.FixtureRequest, made: Prepared, folder: Path
) -> Iterator[tuple[str, str]]:
    """Return the addresses of a scene's own copy and of the backup."""
    if not made.database:
        yield f"sqlite:///{folder}/keyfold.db", f"sqlite:///{folder}/backup.db"
        return
    server: Server = request.getfixturevalue("postgres_server")
    name = server.create_database(made.database)
    yield server.url(name), server.url(made.database_of_backup)
    server.drop_database(name)


def rid_of_what_it_knew(url: str) -> None:
    with attacker(url) as evil:
        evil.forget_tree()
        evil.forget_signed()


@dataclass(frozen=True)
class Attack:
    """What somebody does, and what is told of it first.

    Attributes:
        live: by `audit verify`, when the events alone were touched.
        old: by the auditors' program, from the export of March.
        cut: whether the checkpoint alone tells exactly what is gone.
    """

    name: str
    does: Callable[[Attacker, int], object]
    live: str
    old: str
    cut: bool = False

    def __str__(self) -> str:
        return self.name


ATTACKS = [
    Attack(
        "a byte of a state is changed",
        lambda evil, _: evil.change_state(34),
        "position 34 was changed",
        "changed: position 34 (account-corner-bakery, version 2): its state was ",
    ),
    Attack(
        "a name is changed",
        lambda evil, _: evil.change_name(34),
        "position 34 was changed",
        "changed: position 34 (account-corner-bakery, version 2): its name was ",
    ),
    Attack(
        "a version is changed",
        lambda evil, _: evil.change_version(34),
        "position 34 was changed",
        "changed: position 34 (account-corner-bakery, version 2): its version was 2 and is 1002",
    ),
    Attack(
        "two events are swapped",
        lambda evil, _: evil.swap(34, 51),
        "positions 34 and 51 were swapped",
        "swapped: what was at position 34 is now at 51",
    ),
    Attack(
        "one is deleted in the middle",
        lambda evil, _: evil.delete(34),
        "position 34 was removed",
        "removed: position 34 (account-corner-bakery, version 2)",
    ),
    Attack(
        "one is deleted, and its gap is left",
        lambda evil, _: evil.delete_leaving_a_gap(34),
        "position 34 was removed",
        "now.jsonl: position 34 is missing",
    ),
    Attack(
        "the tail is cut off",
        lambda evil, march: evil.cut_after(march - 3),
        "positions {march_2} to {head} were cut off",
        "cut off: position {march_2} (",
        cut=True,
    ),
    Attack(
        "a forged one is inserted",
        lambda evil, _: evil.insert(34, "account-none", 1, "account.seat_occupied@1", FORGED),
        "position 34 was added",
        "added: position 34 (account-none, version 1)",
    ),
    Attack(
        "everything is rewritten from a point on",
        lambda evil, _: evil.rewrite_from(100),
        "the checkpoint of {backup} events, signed ",
        "changed: position 100 (",
    ),
]


def told(sentence: str, scene: Scene) -> str:
    return sentence.format(backup=scene.backup, march_2=scene.march - 2, head=scene.head)


@rows(ATTACKS)
def test_an_auditor_finds_it_and_is_told_what_and_where(scene: Scene, case: Attack) -> None:
    with attacker(scene.url) as evil:
        case.does(evil, scene.march)
    ran = scene.live()
    assert (ran.code, ran.err) == (
        1,
        f"ledger_altered: The ledger is not what it was: {NEXT_STEP}\n",
    )
    assert ran.out.startswith(told(case.live, scene)), ran.out

    rid_of_what_it_knew(scene.url)
    among = f"1 to {scene.march}"
    ran = scene.live()
    assert (ran.code, ran.err) == (
        1,
        f"ledger_altered: The ledger is not what it was: {NEXT_STEP}\n",
    )
    said = scene.offline(*MARCH, "--key", "key.txt")
    assert said.code == 1
    if case.cut:
        gone = f"positions {scene.march - 2} to {scene.march}"
        assert f"but there is march.txt: {gone} were cut off" in ran.out
        assert said.wrong[0].startswith("cut off: the export ends at position ")
        assert said.wrong[0].endswith(f"{gone} are missing")
    else:
        assert "march.txt, has another root than these events: what is no longer" in ran.out
        assert f"among positions {among}\n" in ran.out
        assert any(line.endswith(f"is among positions {among}") for line in said.wrong)

    said = scene.offline("--old", "march.jsonl")
    assert said.code == 1
    assert said.wrong[0].startswith(told(case.old, scene)), said.wrong


def test_a_backup_that_was_restored_whole_is_found(scene: Scene) -> None:
    """It agrees with itself in every table: only what was kept elsewhere tells."""
    scene.keyfold.settings["KEYFOLD_DATABASE_URL"] = scene.url_of_backup
    assert scene.keyfold.json("audit", "verify")["events"] == scene.backup
    gone = f"positions {scene.backup + 1} to {scene.march}"
    ran = scene.live()
    assert (ran.code, ran.out.splitlines()[0]) == (
        1,
        f"the ledger ends at position {scene.backup}, but there is march.txt: {gone} were cut off",
    )
    said = scene.offline(*MARCH, "--key", "key.txt")
    assert said.code == 1
    assert said.wrong[0].endswith(f"{gone} are missing")
    said = scene.offline("--old", "march.jsonl")
    assert said.code == 1
    assert said.wrong[0].startswith(f"cut off: position {scene.backup + 1} (")


def test_a_signing_key_that_was_replaced_is_found_and_so_is_what_it_was_to_hide(
    scene: Scene,
) -> None:
    with attacker(scene.url) as evil:
        evil.rewrite_from(34)
        evil.forget_signed()
    key = (scene.keyfold.folder / "key.txt").read_text().strip()
    scene.keyfold.settings["KEYFOLD_CHECKPOINT_SECRETS"] = THEIR_SECRET
    scene.keyfold.done("audit", "checkpoint", "-o", "new.txt")
    theirs = scene.keyfold.done("audit", "keys").out.strip()
    assert scene.keyfold.done("audit", "verify", "--checkpoint", "new.txt").code == 0

    ran = scene.live()
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "bad_checkpoint: march.txt is signed by none of this ledger's keys;"
        " give one that was given up as --key\n"
    )
    ran = scene.live("--key", key)
    assert ran.code == 1
    assert "march.txt, has another root than these events" in ran.out
    assert f"among positions 1 to {scene.march}\n" in ran.out

    said = scene.offline(*MARCH, "--checkpoint", "new.txt", "--key", "key.txt")
    assert said.code == 1
    assert said.wrong[0] == (
        f"new.txt is not signed by {name_and_id(key)}: under it stands {name_and_id(theirs)}"
    )
    assert f"is among positions 1 to {scene.march}" in said.wrong[1]
    assert said.good == []
    said = scene.offline("--old", "march.jsonl")
    assert said.wrong[0].startswith("changed: position 34 (account-corner-bakery, version 2)")


def name_and_id(vkey: str) -> str:
    return "+".join(vkey.split("+")[:2])


def test_nobody_is_accused_when_nothing_was_touched(scene: Scene) -> None:
    ran = scene.live()
    assert (ran.code, ran.err) == (0, "")
    said = scene.offline(*MARCH, "--key", "key.txt", "--old", "march.jsonl")
    assert (said.code, said.wrong) == (0, [])
