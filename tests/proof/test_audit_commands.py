"""`keyfold audit`: an auditor's year, as it is typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands.sign_checkpoint import NEXT_STEP
from ledger.proof import notes
from tests.cli.program import Program, Ran
from tests.proof.attacks import attacker
from tests.proof.auditors import environment
from tests.proof.one_file import SOURCE

OTHER_SECRET = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="


ISSUE = ("keys", "issue", "--product", "cloud_pos", "--months", "12", "--reseller", "North")


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a ledger of three events: a key was issued, and a token."""
    folder = tmp_path_factory.mktemp("made")
    program = Program(folder, {"KEYFOLD_DATABASE_URL": "sqlite:///ledger.db"})
    program.done("db", "upgrade")
    program.done(*ISSUE, "--seats", "2")
    program.done("tokens", "create", "--role", "auditor")
    return folder


@pytest.fixture
def keyfold(tmp_path: Path, _made: Path) -> Program:
    """Return the program with a ledger of three events."""
    shutil.copytree(_made, tmp_path, dirs_exist_ok=True)
    return Program(tmp_path, {"KEYFOLD_DATABASE_URL": "sqlite:///ledger.db"})


def url(keyfold: Program) -> str:
    return f"sqlite:///{keyfold.folder}/ledger.db"


def refusal(ran: Ran) -> str:
    assert (ran.code, ran.err.count("\n")) == (1, 1), ran
    return ran.err.removesuffix("\n")


def verifies(keyfold: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier as an auditor would: by itself."""
    return subprocess.run(
        [sys.executable, "-I", "keyfold_verify.py", *arguments],
        cwd=keyfold.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_auditor_checks_a_year_later_what_was_kept(keyfold: Program) -> None:
    march = keyfold.done("audit", "checkpoint", "-o", "march.txt")
    assert march.out == ""
    (keyfold.folder / "keys.txt").write_text(keyfold.done("audit", "keys").out)
    key = keyfold.json("keys", "list")["items"][0]["id"]
    keyfold.done("audit", "export", "ledger.jsonl.gz")
    keyfold.done("audit", "verifier", "-o", "keyfold_verify.py")
    keyfold.done("audit", "prove", key, "-o", "key.tlog-proof")

    program = (keyfold.folder / "keyfold_verify.py").read_text()
    assert program == SOURCE
    said = verifies(
        keyfold,
        *("ledger.jsonl.gz", "key.tlog-proof", "--checkpoint", "march.txt", "--key", "keys.txt"),
    )
    assert said.returncode == 0, said.stderr
    assert "good   march.txt was signed of the same events" in said.stderr
    assert "good   key.tlog-proof: position 2 of keyfold/" in said.stderr

    with attacker(url(keyfold)) as evil:
        evil.change_state(2)
    keyfold.done("audit", "export", "changed.jsonl")
    said = verifies(keyfold, "changed.jsonl", "--checkpoint", "march.txt", "--key", "keys.txt")
    assert said.returncode == 1
    assert "WRONG  changed: the first 3 events are not those that march.txt" in said.stderr


def test_a_checkpoint_is_printed_and_signed_with_the_keys_that_are_printed(
    keyfold: Program,
) -> None:
    printed = keyfold.done("audit", "checkpoint").out
    note, checkpoint = notes.parse_checkpoint(printed.encode())
    (vkey,) = keyfold.done("audit", "keys").out.splitlines()
    key = notes.parse_vkey(vkey)
    assert notes.signers(note, [key]) == [key]
    assert (checkpoint.origin, checkpoint.size) == (key.name, 3)
    assert keyfold.done("audit", "checkpoint").out == printed


def test_an_untouched_ledger_verifies(keyfold: Program) -> None:
    keyfold.done("audit", "checkpoint", "-o", "kept.txt")
    told = keyfold.done("audit", "verify", "--checkpoint", "kept.txt").out.splitlines()
    assert told[0].startswith("verified 3 events, root ")
    assert told[1:] == [
        "3 of them had been hashed before",
        "checkpoints that agree: 2, up to position 3",
    ]
    kept = (keyfold.folder / "kept.txt").read_text()
    keyfold.done("audit", "verify", "--checkpoint", "-", stdin=kept)
    answer = keyfold.json("audit", "verify")
    assert (answer["events"], answer["agreed"], answer["items"]) == (3, 3, [])


def test_a_checkpoint_that_a_witness_has_signed_as_well_is_as_good(keyfold: Program) -> None:
    note = keyfold.done("audit", "checkpoint").out
    text = note.rpartition("\n\n")[0] + "\n"
    line = notes.SigningKey("witness.example/w1", b"w" * 32).line(text)
    (keyfold.folder / "kept.txt").write_text(note + line)
    told = keyfold.done("audit", "verify", "--checkpoint", "kept.txt").out
    assert "checkpoints that agree: 2, up to position 3" in told


def test_a_ledger_that_was_changed_does_not_verify_and_says_where(keyfold: Program) -> None:
    keyfold.done("audit", "checkpoint", "-o", "kept.txt")
    with attacker(url(keyfold)) as evil:
        evil.change_name(2)
        evil.cut_after(2)
    ran = keyfold.run("audit", "verify", "--checkpoint", "kept.txt")
    assert refusal(ran) == f"ledger_altered: The ledger is not what it was: {NEXT_STEP}"
    assert ran.out.splitlines()[:2] == ["position 2 was changed", "position 3 was cut off"]
    ran = keyfold.run("audit", "verify", "--json")
    assert ran.code == 1
    assert [(one["kind"], one["first"], one["last"]) for one in json.loads(ran.out)["items"]] == [
        ("changed", 2, 2),
        ("cut_off", 3, 3),
        ("cut_off", 3, 3),
    ]
    cannot = "ledger_altered: Nothing was signed: the ledger ends at position 2"
    assert refusal(keyfold.run("audit", "checkpoint", "-o", "new.txt")).startswith(cannot)
    assert refusal(keyfold.run("audit", "prove", "1")).startswith(cannot)
    assert not (keyfold.folder / "new.txt").exists()


def test_a_checkpoint_that_will_not_do_is_refused_in_one_sentence(keyfold: Program) -> None:
    keyfold.done("audit", "checkpoint", "-o", "kept.txt")
    kept = (keyfold.folder / "kept.txt").read_text()
    origin = kept.partition("\n")[0]

    def refused(content: str) -> str:
        (keyfold.folder / "given.txt").write_text(content)
        return refusal(keyfold.run("audit", "verify", "--checkpoint", "given.txt"))

    assert refused("hello\n") == (
        "bad_checkpoint: given.txt is no checkpoint of this ledger:"
        " it is not a text, an empty line, and lines of signatures"
    )
    assert refused(kept.replace("\n3\n", "\n4\n")).startswith(
        f"bad_checkpoint: given.txt is no checkpoint of this ledger: the signature of {origin}+"
    )
    other = Program(keyfold.folder / "other", {"KEYFOLD_DATABASE_URL": "sqlite:///ledger.db"})
    other.folder.mkdir()
    other.done("db", "upgrade")
    theirs = other.done("audit", "checkpoint").out
    assert refused(theirs) == (
        f"bad_checkpoint: given.txt is of another ledger: {theirs.partition(chr(10))[0]},"
        f" and this is {origin}"
    )
    assert refused(kept[:-30]).startswith("bad_checkpoint: ")
    nowhere = keyfold.run("audit", "verify", "--checkpoint", "nowhere.txt")
    assert refusal(nowhere) == "io_error: No such file or directory: nowhere.txt"
    usage = keyfold.run("audit", "verify", "--key", "nonsense")
    assert usage.code == 2
    assert "a key is written name+id+key" in usage.err


def test_a_checkpoint_of_the_future_shows_what_was_cut_off(keyfold: Program) -> None:
    before = (keyfold.folder / "ledger.db").read_bytes()
    keyfold.done("tokens", "create", "--role", "portal")
    keyfold.done("audit", "checkpoint", "-o", "kept.txt")
    for file in keyfold.folder.glob("ledger.db*"):
        file.unlink()
    (keyfold.folder / "ledger.db").write_bytes(before)
    assert keyfold.done("audit", "verify").out.startswith("verified ")
    ran = keyfold.run("audit", "verify", "--checkpoint", "kept.txt")
    assert ran.code == 1
    assert "but there is kept.txt: position" in ran.out.splitlines()[0]
    assert "cut off" in ran.out.splitlines()[0]


def test_keys_are_rotated_with_both_signing_for_a_while(keyfold: Program) -> None:
    secret = (keyfold.folder / "keyfold.secret").read_text().strip()
    first = keyfold.done("audit", "checkpoint", "-o", "first.txt")
    assert first.code == 0
    (old,) = keyfold.done("audit", "keys").out.splitlines()

    keyfold.settings["KEYFOLD_CHECKPOINT_SECRETS"] = f"{OTHER_SECRET},{secret}"
    new, same = keyfold.done("audit", "keys").out.splitlines()
    assert same == old
    assert new.partition("+")[0] == old.partition("+")[0], "the ledger keeps its name"
    both, _ = notes.parse_checkpoint(keyfold.done("audit", "checkpoint").out.encode())
    assert len(notes.signers(both, [notes.parse_vkey(old), notes.parse_vkey(new)])) == 2

    keyfold.settings["KEYFOLD_CHECKPOINT_SECRETS"] = OTHER_SECRET
    assert keyfold.done("audit", "keys").out == f"{new}\n"
    refused = refusal(keyfold.run("audit", "verify", "--checkpoint", "first.txt"))
    assert refused == (
        "bad_checkpoint: first.txt is signed by none of this ledger's keys;"
        " give one that was given up as --key"
    )
    keyfold.done("audit", "verify", "--checkpoint", "first.txt", "--key", old)


@pytest.mark.parametrize("secrets", ["short", "c2hvcnQ=", f"{OTHER_SECRET},"])
def test_a_wrong_checkpoint_secret_stops_the_start(keyfold: Program, secrets: str) -> None:
    ran = keyfold.run("audit", "keys", KEYFOLD_CHECKPOINT_SECRETS=secrets)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert ran.err.startswith("KEYFOLD_CHECKPOINT_SECRETS ")
    assert secrets.strip(",") not in ran.err


@pytest.mark.parametrize(
    ("ref", "told"),
    [
        ("4", "'4'"),
        ("0", "'0'"),
        ("9" * 30, repr("9" * 30)),
        ("key_" + "a" * 26, repr("key_" + "a" * 26)),
        ("kfsub_" + "a" * 26, repr("kfsub_" + "a" * 26)),
        ("POS-ABCD-EFGH-7K2M", "that code"),
        ("", "''"),
    ],
)
def test_there_is_no_receipt_of_what_is_not_in_the_ledger(
    keyfold: Program, ref: str, told: str
) -> None:
    ran = keyfold.run("audit", "prove", ref, "-o", "receipt")
    assert refusal(ran) == f"event_not_found: There is no event of {told} in the ledger"
    assert not (keyfold.folder / "receipt").exists()


def test_a_receipt_is_written_of_a_code_that_nobody_else_sees(keyfold: Program) -> None:
    issued = keyfold.json(*ISSUE, "--seats", "1")
    code, id = issued["keys"][0]["code"], issued["keys"][0]["id"]
    by_id = keyfold.done("audit", "prove", id).out
    assert keyfold.done("audit", "prove", "-", stdin=f"{code}\n").out == by_id
    assert code not in by_id


def test_everything_is_on_the_help_page(keyfold: Program) -> None:
    told = keyfold.done("audit", "--help").out
    for command in ("checkpoint", "keys", "verify", "prove", "export", "import", "verifier"):
        assert f"  {command} " in told
        assert keyfold.done("audit", command, "--help").out.startswith("Usage: ")
