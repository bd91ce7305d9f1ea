"""The auditors' own program: against every attack, against nonsense, and as a file by itself."""

from __future__ import annotations

import ast
import base64
import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from eventsourcing.persistence import StoredEvent

from commands.migrate_keys import MORE_COLUMNS, migrate_keys
from commands.redeem_key import Try, redeem_key
from ledger.book import Book
from ledger.catalog import builtin
from ledger.proof import notes
from ledger.proof.notes import SigningKey
from ledger.store import schema
from projections.audit import tree
from projections.audit.export import blocks, plan
from projections.views.account_at import Moment, account_at
from projections.views.subscriptions import subscriptions
from tests.audit.ledgers import ACCOUNTS, happens, moments
from tests.commands.import_files import HEADER, INT_LINE, LINE
from tests.proof.attacks import FORGED, Attacker, attacker
from tests.proof.auditors import Auditor, environment
from tests.proof.ledgers import KEY, NEXT_KEY, ORIGIN, Ledger, checkpoint_of, opened, state
from tests.proof.one_file import SOURCE, keyfold_verify
from tests.worlds import NOON, context, issue, rows, services
from web.app.json_encoding import to_plain

EVENTS = 40
SIGNED = 30


@pytest.fixture
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("auditor"))


def export(book: Book) -> bytes:
    return b"".join(blocks(book, plan(book)))


def keep_everything(ledger: Ledger, auditor: Auditor) -> None:
    """Forty events; of thirty the auditor keeps a checkpoint and an export, and the key."""
    ledger.add(10)
    auditor.keeps("february.txt", ledger.checkpoint())
    ledger.add(SIGNED - 10)
    auditor.keeps("march.txt", ledger.checkpoint())
    auditor.keeps("march.jsonl", export(ledger.book))
    auditor.keeps("key.txt", KEY.verifier.vkey)
    ledger.add(EVENTS - SIGNED)
    tree.extend(ledger.book, ledger.tables, EVENTS)


# Attacks


@dataclass(frozen=True)
class Attack:
    """What somebody does to the database before the export, and what the auditor is told.

    Attributes:
        by_checkpoint: with the checkpoint of thirty events alone; None for the sentence that
            something is among positions 1 to 30, and no more.
        by_old_export: with the older export.
    """

    name: str
    does: Callable[[Attacker], None]
    by_checkpoint: list[str] | None
    by_old_export: list[str]

    def __str__(self) -> str:
        return self.name


AMONG = (
    "changed: the first 30 events are not those that march.txt was signed of;"
    " what was changed, removed, added or swapped is among positions {first} to 30"
)
NO_MORE = (
    "the events tell no more by themselves: an older export (--old), or a checkpoint of fewer"
    " events, tells which it is"
)
MARCH = AMONG.format(first=1)
NAME = "thing.happened@1"


def cut_off(first: int) -> str:
    return (
        f"cut off: the export ends at position {first - 1}, and march.txt is of 30 events:"
        f" positions {first} to 30 are missing"
    )


def out_of_turn(position: int, stream: str, version: int, before: str) -> str:
    return (
        f"position {position} ({stream}, version {version}) follows on {before}:"
        " one was removed, added, swapped or renumbered"
    )


def earlier(position: int, stream: str, version: int, other: int) -> str:
    return (
        f"position {position} ({stream}, version {version}) was recorded before position {other}"
        " of the same stream"
    )


def changed_byte(number: int) -> str:
    """Return how the first byte of the thing was changed."""
    spoilt = state(number).replace('"a', '"`', 1)
    return f"its state was {state(number)} and is {spoilt}"


def restore_a_backup(evil: Attacker) -> None:
    """Everything is as it was at 12 events, the tree and what was signed included."""
    evil.cut_after(12)
    evil.forget_tree()
    evil.run("DELETE FROM keyfold_signed_checkpoints WHERE size > 12")


ATTACKS = [
    Attack(
        "a byte of a state",
        lambda evil: evil.change_state(17),
        None,
        [f"changed: position 17 (thing-2, version 6): {changed_byte(17)}"],
    ),
    Attack(
        "a name",
        lambda evil: evil.change_name(17),
        None,
        [f"changed: position 17 (thing-2, version 6): its name was {NAME} and is {NAME}1"],
    ),
    Attack(
        "a version",
        lambda evil: evil.change_version(17),
        [
            MARCH,
            out_of_turn(17, "thing-2", 1006, "version 5 at position 14"),
            out_of_turn(20, "thing-2", 7, "version 1006 at position 17"),
        ],
        ["changed: position 17 (thing-2, version 6): its version was 6 and is 1006"],
    ),
    Attack(
        "a stream",
        lambda evil: evil.change_stream(17),
        [
            MARCH,
            out_of_turn(17, "thing-2x", 6, "nothing"),
            out_of_turn(20, "thing-2", 7, "version 5 at position 14"),
        ],
        ["changed: position 17 (thing-2, version 6): its stream was thing-2 and is thing-2x"],
    ),
    Attack(
        "two events swapped",
        lambda evil: evil.swap(12, 25),
        [
            MARCH,
            out_of_turn(12, "thing-1", 9, "version 4 at position 10"),
            out_of_turn(13, "thing-1", 5, "version 9 at position 12"),
            earlier(13, "thing-1", 5, 12),
            out_of_turn(15, "thing-0", 5, "version 3 at position 9"),
            out_of_turn(25, "thing-0", 4, "version 8 at position 24"),
            earlier(25, "thing-0", 4, 24),
            out_of_turn(27, "thing-0", 9, "version 4 at position 25"),
            out_of_turn(28, "thing-1", 10, "version 8 at position 22"),
        ],
        [
            "swapped: what was at position 12 is now at 25",
            "swapped: what was at position 25 is now at 12",
        ],
    ),
    Attack(
        "two neighbours swapped",
        lambda evil: evil.swap(12, 13),
        None,
        ["swapped: what was at position 12 is now at 13"],
    ),
    Attack(
        "one deleted in the middle",
        lambda evil: evil.delete(17),
        [MARCH, out_of_turn(19, "thing-2", 7, "version 5 at position 14")],
        ["removed: position 17 (thing-2, version 6)"],
    ),
    Attack(
        "one deleted in the middle, with the gap left",
        lambda evil: evil.delete_leaving_a_gap(17),
        [
            "ledger.jsonl: position 17 is missing",
            MARCH,
            out_of_turn(20, "thing-2", 7, "version 5 at position 14"),
        ],
        [
            "ledger.jsonl: position 17 is missing",
            "removed: position 17 (thing-2, version 6)",
        ],
    ),
    Attack(
        "the tail cut off",
        lambda evil: evil.cut_after(25),
        [cut_off(26)],
        [
            f"cut off: position {position} (thing-{position % 3}, version {(position + 2) // 3})"
            for position in range(26, 31)
        ],
    ),
    Attack(
        "a forged one inserted",
        lambda evil: evil.insert(17, "thing-9", 1, "thing.happened@1", FORGED),
        None,
        ["added: position 17 (thing-9, version 1)"],
    ),
    Attack(
        "everything rewritten consistently from a point on",
        lambda evil: evil.rewrite_from(29),
        None,
        [
            f"changed: position {number} (thing-{number % 3}, version 10): {changed_byte(number)}"
            for number in (29, 30)
        ],
    ),
    Attack(
        "an old backup restored",
        restore_a_backup,
        [cut_off(13)],
        [
            f"cut off: position {position} (thing-{position % 3}, version {(position + 2) // 3})"
            for position in range(13, 31)
        ],
    ),
]


@rows(ATTACKS)
def test_an_auditor_with_an_old_checkpoint_and_an_export_finds_every_attack(
    stored: Ledger, auditor: Auditor, case: Attack
) -> None:
    keep_everything(stored, auditor)
    with attacker(stored.url) as evil:
        case.does(evil)
        evil.forget_tree()
        evil.forget_signed()
    auditor.keeps("ledger.jsonl", export(stored.book))

    said = auditor.verifies("ledger.jsonl", "--checkpoint", "march.txt", "--key", "key.txt")
    assert said.code == 1
    assert said.wrong == ([MARCH, NO_MORE] if case.by_checkpoint is None else case.by_checkpoint)

    said = auditor.verifies("ledger.jsonl", "--old", "march.jsonl")
    assert said.code == 1
    assert said.wrong == case.by_old_export


def test_more_checkpoints_tell_more_closely_where_it_is(stored: Ledger, auditor: Auditor) -> None:
    keep_everything(stored, auditor)
    with attacker(stored.url) as evil:
        evil.change_state(17)
    auditor.keeps("ledger.jsonl", export(stored.book))
    said = auditor.verifies(
        "ledger.jsonl", "--checkpoint", "march.txt", "--checkpoint", "february.txt"
    )
    assert said.wrong == [AMONG.format(first=11), NO_MORE]
    assert said.good == ["february.txt was signed of the same events"]


def test_a_signing_key_that_was_replaced_is_told(stored: Ledger, auditor: Auditor) -> None:
    """Somebody rewrites history, and signs it with a key of their own."""
    keep_everything(stored, auditor)
    with attacker(stored.url) as evil:
        evil.rewrite_from(21)
        evil.forget_signed()
    stored.signing = stored.signing._replace(keys=(NEXT_KEY,))
    auditor.keeps("new.txt", stored.checkpoint())
    auditor.keeps("ledger.jsonl", export(stored.book))
    unsigned = (
        f"new.txt is not signed by {ORIGIN}+{KEY.verifier.id.hex()}:"
        f" under it stands {ORIGIN}+{NEXT_KEY.verifier.id.hex()}"
    )
    both = ("--checkpoint", "march.txt", "--checkpoint", "new.txt")
    said = auditor.verifies("ledger.jsonl", *both, "--key", "key.txt")
    assert (said.code, said.wrong) == (1, [unsigned, MARCH, NO_MORE])
    assert said.good == []
    # Even without any key to hold them against, the two do not look as if one had signed both.
    said = auditor.verifies("ledger.jsonl", *both)
    assert said.wrong[0] == "new.txt is signed by other keys than march.txt"


def test_a_rotation_of_keys_is_no_attack(stored: Ledger, auditor: Auditor) -> None:
    keep_everything(stored, auditor)
    stored.signing = stored.signing._replace(keys=(NEXT_KEY, KEY))
    auditor.keeps("new.txt", stored.checkpoint())
    auditor.keeps("ledger.jsonl", export(stored.book))
    both = ("--checkpoint", "march.txt", "--checkpoint", "new.txt")
    for key in (["--key", "key.txt"], []):
        said = auditor.verifies("ledger.jsonl", *both, *key)
        assert (said.code, said.wrong) == (0, [])


# When all is well


def test_an_untouched_ledger_passes(ledger: Ledger, auditor: Auditor) -> None:
    keep_everything(ledger, auditor)
    auditor.keeps("ledger.jsonl", export(ledger.book))
    said = auditor.verifies(
        *("ledger.jsonl", "--checkpoint", "march.txt", "--checkpoint", "february.txt"),
        *("--key", "key.txt", "--old", "march.jsonl"),
    )
    root = base64.b64encode(checkpoint_of(EVENTS).root).decode()
    assert (said.code, said.out) == (0, "")
    assert said.lines == [
        f"read   {EVENTS} events, root {root}",
        "good   february.txt was signed of the same events",
        "good   march.txt was signed of the same events",
        "note   positions 31 to 40 are after the last checkpoint",
        "good   every event of the older export is still there, unchanged",
    ]


def test_it_says_what_it_could_not_check(ledger: Ledger, auditor: Auditor) -> None:
    keep_everything(ledger, auditor)
    auditor.keeps("ledger.jsonl", export(ledger.book))
    said = auditor.verifies("ledger.jsonl")
    assert said.notes == ["an export alone cannot tell what was before: give --checkpoint or --old"]
    said = auditor.verifies("ledger.jsonl", "--checkpoint", "march.txt")
    assert said.notes[0] == "no signature was checked: --key was not given"
    assert said.code == 0


def test_an_export_in_several_files_is_read_as_one(ledger: Ledger, auditor: Auditor) -> None:
    keep_everything(ledger, auditor)
    first, then = plan(ledger.book, last=25), plan(ledger.book, first=26)
    auditor.keeps("first.jsonl.gz", gzip.compress(b"".join(blocks(ledger.book, first))))
    auditor.keeps("then.jsonl", b"".join(blocks(ledger.book, then)))
    said = auditor.verifies("first.jsonl.gz", "then.jsonl", "--checkpoint", "march.txt")
    assert (said.code, said.good) == (0, ["march.txt was signed of the same events"])
    said = auditor.verifies("then.jsonl", "--checkpoint", "march.txt")
    (sentence,) = said.wrong
    assert sentence == (
        "then.jsonl begins at position 26, where 1 is needed:"
        " name the files from position 1 on, in order"
    )


def test_a_checkpoint_may_be_typed_in_from_paper(ledger: Ledger, auditor: Auditor) -> None:
    keep_everything(ledger, auditor)
    auditor.keeps("ledger.jsonl", export(ledger.book))
    auditor.keeps("paper.txt", checkpoint_of(SIGNED).text)
    said = auditor.verifies(
        "ledger.jsonl", "--checkpoint", "paper.txt", "--checkpoint", "march.txt"
    )
    assert (said.code, said.wrong) == (0, [])
    assert len(said.good) == 2
    said = auditor.verifies("ledger.jsonl", "--checkpoint", "paper.txt", "--key", "key.txt")
    assert said.wrong == [f"paper.txt is not signed by {OUR_KEY}: under it stands no name"]


def test_what_a_witness_has_signed_as_well_is_as_good(ledger: Ledger, auditor: Auditor) -> None:
    keep_everything(ledger, auditor)
    auditor.keeps("ledger.jsonl", export(ledger.book))
    witness = SigningKey("witness.example/w1", b"w" * 32)
    note = (auditor.folder / "march.txt").read_text("utf-8")
    auditor.keeps("march.txt", note + witness.line(checkpoint_of(SIGNED).text))
    said = auditor.verifies("ledger.jsonl", "--checkpoint", "march.txt", "--key", "key.txt")
    assert (said.code, said.good) == (0, ["march.txt was signed of the same events"])


def test_an_empty_ledger_passes(auditor: Auditor) -> None:
    ledger = opened("memory:")
    auditor.keeps("empty.txt", ledger.checkpoint())
    auditor.keeps("ledger.jsonl", export(ledger.book))
    said = auditor.verifies("ledger.jsonl", "--checkpoint", "empty.txt")
    assert (said.code, said.good) == (0, ["empty.txt was signed of the same events"])


# Bad input


def lines_of(raw: bytes) -> list[bytes]:
    return raw.splitlines(keepends=True)


def changed(line: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(line), **fields}).encode() + b"\n"


@dataclass(frozen=True)
class Bad:
    """What became of a good export of ten events, and the one sentence that is said of it."""

    name: str
    spoils: Callable[[bytes], bytes]
    sentence: str

    def __str__(self) -> str:
        return self.name


def line(number: int, how: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def spoil(raw: bytes) -> bytes:
        lines = lines_of(raw)
        lines[number - 1] = how(lines[number - 1])
        return b"".join(lines)

    return spoil


BAD = [
    Bad("nothing", lambda _: b"", "bad does not begin with an export's header"),
    Bad("not a file of ours", lambda _: b"hello\n", "bad does not begin with an export's header"),
    Bad("cut in half", lambda raw: raw[: len(raw) // 2], "bad is cut off in the middle of a line"),
    Bad(
        "cut after a line",
        lambda raw: b"".join(lines_of(raw)[:6]),
        "bad ends after position 5; its header says 10",
    ),
    Bad(
        "gzip cut in half",
        lambda raw: gzip.compress(raw)[:-20],
        "bad is cut off: its compression does not come to an end",
    ),
    Bad(
        "a small gzip of one endless line",
        lambda _: gzip.compress(b"a" * (keyfold_verify.LINE_BYTES_MAX + 2), 1),
        f"bad has a line of more than {keyfold_verify.LINE_BYTES_MAX} bytes",
    ),
    Bad(
        "a small gzip of lines without end",
        lambda raw: gzip.compress(
            raw + (lines_of(raw)[-1][:-1] + b" " * 30_000_000 + b"\n") * 5, 1
        ),
        f"bad unpacks to more than {keyfold_verify.EXPANSION_MAX} times its size",
    ),
    Bad(
        "wrong gzip",
        lambda raw: gzip.compress(raw)[:-8] + bytes(8),
        "bad is damaged: CRC check failed",
    ),
    Bad(
        "a line twice",
        line(5, lambda one: one * 2),
        "bad: position 4 is there twice",
    ),
    Bad(
        "a line too few",
        line(5, lambda _: b""),
        "bad: position 4 is missing",
    ),
    Bad(
        "a later format",
        line(1, lambda one: changed(one, keyfold_export=2)),
        "bad is of format 2; this program knows 1",
    ),
    Bad(
        "a line that is none",
        line(5, lambda _: b"{}\n"),
        "bad, line 5 is no event of an export: 'id'",
    ),
    Bad(
        "a name twice in a line",
        line(5, lambda one: b'{"id":"4",' + one[1:]),
        "bad, line 5 is no event of an export: a name is there twice",
    ),
    Bad(
        "another time beside the event",
        line(5, lambda one: changed(one, time="2026-03-01T09:00:00Z")),
        "bad, line 5: position 4 has another time than the event in it",
    ),
    Bad(
        "another root in the header",
        line(1, lambda one: changed(one, root=base64.b64encode(bytes(32)).decode())),
        "bad has events that do not give the root in its own header",
    ),
]


@rows(BAD)
def test_a_bad_export_is_told_in_one_sentence(auditor: Auditor, case: Bad) -> None:
    ledger = opened("memory:")
    ledger.add(10)
    auditor.keeps("bad", case.spoils(export(ledger.book)))
    said = auditor.verifies("bad")
    assert said.code == 1
    assert said.wrong[0].startswith(case.sentence)


OUR_KEY = f"{ORIGIN}+{KEY.verifier.id.hex()}"
OTHER_KEY = "keyfold/x+00000000+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            "--checkpoint future.txt",
            "cut off: the export ends at position 10, and future.txt is of 12 events: positions 11",
        ),
        (
            "--checkpoint other.txt --checkpoint good.txt",
            f"these are of different ledgers: {ORIGIN}, keyfold/another",
        ),
        (
            "--checkpoint other.txt --key key.txt",
            f"other.txt is not signed by {OUR_KEY}: under it stands keyfold/another+",
        ),
        (
            "--checkpoint forged.txt --key key.txt",
            f"forged.txt is not signed by {OUR_KEY}: under it stands {OUR_KEY}",
        ),
        ("--checkpoint ledger.jsonl", "ledger.jsonl is no checkpoint"),
        ("--key nonsense", "'nonsense' is no key: copy it again, it is written name+id+key"),
        (f"--key {OTHER_KEY}", f"'{OTHER_KEY}' is no key: copy it again"),
        ("--account acme --as-of 2026-03-01", "'2026-03-01' has no zone"),
        ("--account acme --as-of then", "'then' is no time like 2026-03-01T09:00:00Z"),
        ("--account acme --catalog ledger.jsonl", "ledger.jsonl is no catalog"),
        ("--account acme --answer key.txt", "key.txt is no answer of the Subscriptions view"),
        ("--account acme --answer 17.json", "17.json is no answer of the Subscriptions view"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(
    auditor: Auditor, arguments: str, sentence: str
) -> None:
    ledger = opened("memory:")
    ledger.add(10)
    auditor.keeps("key.txt", KEY.verifier.vkey)
    auditor.keeps("good.txt", ledger.checkpoint())
    auditor.keeps("forged.txt", ledger.checkpoint().replace("\n10\n", "\n9\n"))
    other = SigningKey("keyfold/another", b"o" * 32)
    signed = checkpoint_of(10)._replace(origin="keyfold/another")
    auditor.keeps("other.txt", notes.sign(signed.text, [other]))
    auditor.keeps("17.json", "17")
    auditor.keeps("future.txt", notes.sign(checkpoint_of(12).text, [KEY]))
    auditor.keeps("ledger.jsonl", export(ledger.book))
    said = auditor.verifies("ledger.jsonl", *arguments.split())
    assert said.code == 1
    assert said.wrong[0].startswith(sentence)


def test_what_could_not_be_looked_at_is_no_forged_ledger(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened("memory:")
    ledger.add(10)
    auditor.keeps("key.txt", KEY.verifier.vkey)
    auditor.keeps("good.txt", ledger.checkpoint())
    auditor.keeps("ledger.jsonl", export(ledger.book))
    auditor.keeps("packed.zst", b"\x28\xb5\x2f\xfd....")
    auditor.keeps("bad.jsonl", export(ledger.book)[:-40])
    signed = ("ledger.jsonl", "--checkpoint", "good.txt", "--key", "key.txt")
    assert auditor.verifies(*signed).code == 0
    for module in ("compression", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    for arguments, why in (
        (("ledger.jsonl", "--checkpoint", "nowhere.txt"), "nowhere.txt: No such file"),
        (("nowhere.jsonl",), "nowhere.jsonl: No such file or directory"),
        (
            ("packed.zst",),
            "packed.zst is zstd: unpack it first, with `zstd -d packed.zst`, or install ",
        ),
    ):
        said = auditor.verifies(*arguments)
        assert (said.code, said.wrong) == (2, []), arguments
        assert said.unchecked[0].startswith(why)
    for name in [one for one in sys.modules if one.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    said = auditor.verifies(*signed)
    assert (said.code, said.wrong) == (2, [])
    assert said.unchecked == ["signatures need the package `cryptography`: pip install it"]
    assert auditor.verifies("bad.jsonl").code == 1


# The Subscriptions view


@pytest.mark.parametrize(
    "seed",
    [pytest.param(seed, marks=[pytest.mark.long] if seed >= 20 else []) for seed in range(60)],
)
def test_the_view_that_it_derives_is_what_the_api_answered(seed: int, auditor: Auditor) -> None:
    random = Random(seed)
    world = services(Book("memory:"))
    happens(world, random, 60)
    auditor.keeps("ledger.jsonl", export(world.book))
    for moment in moments(random, 6):
        account, ended = random.choice(ACCOUNTS), random.random() < 0.5
        asked = account_at(world.book, account, moment)
        answer = to_plain(subscriptions(asked, builtin(), ended=ended))
        auditor.keeps("answer.json", json.dumps(answer))
        said = auditor.verifies(
            *("ledger.jsonl", "--account", account),
            *("--as-of", answer["as_of"], "--known-at", answer["known_at"]),
            *(["--all"] if ended else []),
        )
        assert (said.code, said.json) == (0, answer)
        said = auditor.verifies(
            *("ledger.jsonl", "--account", account, "--answer", "answer.json"),
            *(["--all"] if ended else []),
        )
        assert said.good == ["answer.json is what follows from these events"]


def test_it_derives_what_keys_of_another_system_give(auditor: Auditor) -> None:
    world = services(Book("memory:"))
    columns = f"{HEADER},{','.join(MORE_COLUMNS)}"
    lines = [columns, f"{LINE},acme,2025-09-01,", f"{INT_LINE},acme,2024-01-01,"]
    assert migrate_keys(world, context(), lines).redeemed == 2
    auditor.keeps("ledger.jsonl", export(world.book))
    asked = account_at(world.book, "acme", Moment(NOON, None, NOON))
    answer = to_plain(subscriptions(asked, builtin(), ended=True))
    auditor.keeps("answer.json", json.dumps(answer))
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--answer", "answer.json", "--all")
    assert said.good == ["answer.json is what follows from these events"]


def test_a_saved_answer_is_held_against_what_was_known_at_its_position(auditor: Auditor) -> None:
    world = services(Book("memory:"))
    happens(world, Random(3), 40)
    asked = account_at(world.book, "acme", moments(Random(3), 1)[0]._replace(known_at=None))
    answer = to_plain(subscriptions(asked, builtin()))
    auditor.keeps("answer.json", json.dumps(answer))
    happens(world, Random(4), 40)
    auditor.keeps("ledger.jsonl", export(world.book))
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--answer", "answer.json")
    assert said.good == ["answer.json is what follows from these events"]


def test_an_answer_that_was_made_up_is_told(auditor: Auditor) -> None:
    world = services(Book("memory:"))
    happens(world, Random(1), 40)
    auditor.keeps("ledger.jsonl", export(world.book))
    asked = account_at(world.book, "acme", moments(Random(1), 1)[0])
    answer = to_plain(subscriptions(asked, builtin()))
    seats = answer["products"][0]["seats"]
    answer["products"][0]["seats"] = seats + 1
    rows_there = answer["products"][1]["rows"]
    answer["products"][1]["rows"] = [*rows_there, {"status": "active"}]
    auditor.keeps("answer.json", json.dumps(answer))
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--answer", "answer.json")
    assert said.code == 1
    assert said.wrong[0] == (
        f"the answer differs: /products/0/seats was {seats + 1}, and is {seats}"
    )
    assert said.wrong[1].startswith("the answer differs: /products/1/rows was [")


def test_an_answer_from_after_the_export_is_told(auditor: Auditor) -> None:
    world = services(Book("memory:"))
    happens(world, Random(1), 20)
    auditor.keeps("ledger.jsonl", export(world.book))
    asked = account_at(world.book, "acme", moments(Random(1), 1)[0])
    answer = to_plain(subscriptions(asked, builtin()))
    auditor.keeps("answer.json", json.dumps({**answer, "position": 9999}))
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--answer", "answer.json")
    assert said.wrong == [
        f"the answer is of position 9999, and the export ends at {world.book.head()}"
    ]
    said = auditor.verifies("ledger.jsonl", "--account", "beta", "--answer", "answer.json")
    assert said.wrong == ["answer.json is of the account 'acme'"]


def test_another_catalog_gives_its_products_and_names(auditor: Auditor) -> None:
    world = services(Book("memory:"))
    redeem_key(world, context(), Try("acme", "s-1", issue(world).code))
    auditor.keeps("ledger.jsonl", export(world.book))
    auditor.keeps(
        "catalog.toml",
        '[[products]]\nid = "other"\nname = { en = "Other", de = "Anderes" }\nprefix = "OTH"'
        '\nseat = "user"',
    )
    said = auditor.verifies("ledger.jsonl", "--account", "acme", "--catalog", "catalog.toml")
    products = [(one["product"], one["name"]) for one in said.json["products"]]
    assert products[0] == ("other", "Other")
    assert ("cloud_pos", "cloud_pos") in products, "it left the catalog, and is still used"


def test_its_catalog_is_the_one_that_comes_with_keyfold() -> None:
    assert [
        {
            "id": product.id,
            "name": product.name,
            **(
                {"tiers": [{"id": tier.id, "name": tier.name} for tier in product.tiers]}
                if product.tiers
                else {}
            ),
        }
        for product in builtin().products
    ] == keyfold_verify.CATALOG


def test_an_event_of_a_later_keyfold_is_told(auditor: Auditor) -> None:
    ledger = opened("memory:")
    later = StoredEvent("account-acme", 1, "account.seat_painted@1", state(1).encode())
    ledger.book.store.insert_events([later])
    auditor.keeps("ledger.jsonl", export(ledger.book))
    (sentence,) = auditor.verifies("ledger.jsonl", "--account", "acme").wrong
    assert sentence == (
        "position 1 is account.seat_painted@1, which this program does not know:"
        " have it written out by the Keyfold that made the export"
    )


# As a file by itself


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Return a folder with a real export on SQLite, a checkpoint of it and the key."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    schema.upgrade(url)
    with closing(Book(url)) as book:
        happens(services(book), Random(1), 30)
        (tmp_path / "ledger.jsonl").write_bytes(export(book))
    with closing(opened(url)) as ledger:
        (tmp_path / "march.txt").write_text(ledger.checkpoint(), "utf-8")
    (tmp_path / "key.txt").write_text(KEY.verifier.vkey, "utf-8")
    return tmp_path


def test_it_runs_where_nothing_of_keyfold_is(exported: Path) -> None:
    program = SOURCE
    (exported / "verify.py").write_text(program, "utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-I", "-W", "error", "verify.py", "ledger.jsonl"),
            *("--checkpoint", "march.txt", "--key", "key.txt", "--account", "acme"),
        ],
        cwd=exported,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "good   march.txt was signed of the same events" in ran.stderr
    assert json.loads(ran.stdout)["account"] == "acme"


def test_it_imports_the_standard_library_and_cryptography_alone() -> None:
    module = ast.parse(SOURCE)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(module)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def test_it_needs_a_file_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        keyfold_verify.main([])
    assert left.value.code == 2
    assert "usage: keyfold_verify.py" in capsys.readouterr().err
