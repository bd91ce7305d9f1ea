"""`audit verify`: every attack on the database is found, and its place is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ledger.proof import notes
from ledger.proof.notes import Checkpoint
from ledger.store.signed_checkpoints import SignedCheckpoint
from projections.audit import integrity, tree
from projections.audit.integrity import KnownCheckpoint
from tests.proof.attacks import FORGED, Attacker, attacker
from tests.proof.ledgers import NEXT_KEY, ORIGIN, Ledger, checkpoint_of, known
from tests.worlds import rows

EVENTS = 40
SIGNED = 30


def prepare(ledger: Ledger) -> KnownCheckpoint:
    """Forty events; a checkpoint was signed, and handed out, of the first thirty."""
    ledger.add(10)
    ledger.checkpoint()
    ledger.add(SIGNED - 10)
    handed_out = known(ledger.checkpoint())
    ledger.add(EVENTS - SIGNED)
    tree.extend(ledger.book, ledger.tables, EVENTS)
    return handed_out


def test_a_ledger_that_nobody_touched_is_as_it_was(ledger: Ledger) -> None:
    handed_out = prepare(ledger)
    ledger.add(3)
    found = ledger.verify(handed_out)
    assert found.findings == []
    assert (found.events, found.root) == (EVENTS + 3, checkpoint_of(EVENTS + 3).root)
    assert (found.hashed, found.agreed, found.checkpoints) == (EVENTS, SIGNED, 3)


def test_an_empty_ledger_is_as_it_was(ledger: Ledger) -> None:
    assert ledger.verify().findings == []
    ledger.checkpoint()
    assert ledger.verify().findings == []


@dataclass(frozen=True)
class Attack:
    """What somebody does, and what is told of it.

    Attributes:
        found: the kinds and positions of the findings.
        hidden: what is told when the attacker also has the tree made anew.
        alone: the same when the signed checkpoints are gone too, and only the auditor's copy is
            left.
    """

    name: str
    does: Callable[[Attacker], None]
    found: list[tuple[str, int, int]]
    hidden: list[tuple[str, int, int]]
    alone: list[tuple[str, int, int]]

    def __str__(self) -> str:
        return self.name


BEFORE_10 = [("contradicted", 1, 10)]
BEFORE_30 = [("contradicted", 11, 30)]
SOMEWHERE = [("contradicted", 1, 30)]

ATTACKS = [
    Attack(
        "a byte of a state",
        lambda evil: evil.change_state(17),
        [("changed", 17, 17), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "a name",
        lambda evil: evil.change_name(5),
        [("changed", 5, 5), *BEFORE_10],
        BEFORE_10,
        SOMEWHERE,
    ),
    Attack(
        "a version",
        lambda evil: evil.change_version(17),
        [("changed", 17, 17), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "a stream",
        lambda evil: evil.change_stream(17),
        [("changed", 17, 17), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "two events swapped",
        lambda evil: evil.swap(12, 25),
        [("swapped", 12, 25), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "two neighbours swapped",
        lambda evil: evil.swap(12, 13),
        [("moved", 12, 13), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "one deleted in the middle",
        lambda evil: evil.delete(17),
        [("removed", 17, 17), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "one deleted in the middle, with the gap left",
        lambda evil: evil.delete_leaving_a_gap(17),
        [("removed", 17, 17), *BEFORE_30],
        [("misplaced", 17, 18), *BEFORE_30],
        [("misplaced", 17, 18), *SOMEWHERE],
    ),
    Attack(
        "the tail cut off",
        lambda evil: evil.cut_after(25),
        [("cut_off", 26, 40), ("cut_off", 26, 30)],
        [("cut_off", 26, 30)],
        [("cut_off", 26, 30)],
    ),
    Attack(
        "a forged one inserted",
        lambda evil: evil.insert(17, "thing-9", 1, "thing.happened@1", FORGED),
        [("added", 17, 17), *BEFORE_30],
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "everything from a point on",
        lambda evil: evil.rewrite_from(21),
        BEFORE_30,
        BEFORE_30,
        SOMEWHERE,
    ),
    Attack(
        "one that was not signed yet",
        lambda evil: evil.change_state(35),
        [("changed", 35, 35)],
        [],  # nobody was ever told what it was
        [],
    ),
]


def places(ledger: Ledger, *copies: KnownCheckpoint) -> list[tuple[str, int, int]]:
    return [one[:3] for one in ledger.verify(*copies).findings]


@rows(ATTACKS)
def test_every_attack_is_found_and_told_as_closely_as_what_is_left_allows(
    stored: Ledger, case: Attack
) -> None:
    handed_out = prepare(stored)
    with attacker(stored.url) as evil:
        case.does(evil)
    assert places(stored) == case.found
    with attacker(stored.url) as evil:
        evil.forget_tree()
    assert places(stored) == case.hidden
    with attacker(stored.url) as evil:
        evil.forget_signed()
    assert places(stored, handed_out) == case.alone


def test_sentences_say_what_and_where(stored: Ledger) -> None:
    handed_out = prepare(stored)
    with attacker(stored.url) as evil:
        evil.change_state(17)
        evil.change_state(18)
        evil.cut_after(28)
    changed, cut, beyond = (one.sentence for one in stored.verify(handed_out).findings)
    assert changed == "positions 17 to 18 were changed"
    assert cut == "positions 29 to 40 were cut off"
    assert beyond == (
        "the ledger ends at position 28, but there is the auditor's copy:"
        " positions 29 to 30 were cut off"
    )


def test_a_changed_tree_is_told_from_changed_events(stored: Ledger) -> None:
    handed_out = prepare(stored)
    with attacker(stored.url) as evil:
        ((hashes,),) = evil.run("SELECT hashes FROM keyfold_tree_1 WHERE level = 0")
        changed = bytes(hashes[: 16 * 32]) + bytes(32) + bytes(hashes[17 * 32 :])
        evil.run("UPDATE keyfold_tree_1 SET hashes = ? WHERE level = 0", changed)
    found = stored.verify(handed_out)
    assert [one[:3] for one in found.findings] == [("tree", 17, 17)]
    assert "the tree was changed" in found.findings[0].sentence


def test_changed_upper_tiles_are_found(stored: Ledger) -> None:
    stored.add(600)
    tree.extend(stored.book, stored.tables, 600)
    with attacker(stored.url) as evil:
        evil.run("UPDATE keyfold_tree_1 SET hashes = ? WHERE level = 1", bytes(64))
    assert places(stored) == [("tree", 1, 512)]


def test_a_changed_memory_of_what_was_signed_is_found(stored: Ledger) -> None:
    prepare(stored)
    with attacker(stored.url) as evil:
        evil.run("UPDATE keyfold_signed_checkpoints SET root = ? WHERE size = 10", bytes(32))
        ((note,),) = evil.run("SELECT note FROM keyfold_signed_checkpoints WHERE size = 30")
        evil.run(
            "UPDATE keyfold_signed_checkpoints SET note = ? WHERE size = 30",
            note.replace("\n30\n", "\n31\n"),
        )
    of_10, of_30 = (one.sentence for one in stored.verify().findings)
    assert of_10 == (
        "the checkpoint of 10 events, signed 2026-03-01T12:00:00+00:00, was changed:"
        " it does not say what is remembered of it"
    )
    assert of_30 == (
        "the checkpoint of 30 events, signed 2026-03-01T12:00:00+00:00, was changed:"
        " the signature of keyfold/7tq3bd5xw4a6bl7m+78c3dc14 is wrong"
    )


def test_a_wrong_checkpoint_is_told_from_a_wrong_ledger(ledger: Ledger) -> None:
    handed_out = prepare(ledger)
    of_nobody = KnownCheckpoint(20, bytes(32), "a copy of nobody knows what", kept=True)
    found = ledger.verify(of_nobody, handed_out)
    assert [one.sentence for one in found.findings] == [
        "a copy of nobody knows what, is wrong: one of more events agrees with the ledger"
    ]


def test_what_the_ledger_remembers_does_not_speak_against_what_was_kept(stored: Ledger) -> None:
    """History is rewritten, and signed anew in place of all that was signed before."""
    handed_out = prepare(stored)
    with attacker(stored.url) as evil:
        evil.rewrite_from(21)
        evil.forget_signed()
    stored.signing = stored.signing._replace(keys=(NEXT_KEY,))
    stored.checkpoint()
    assert stored.verify().findings == []
    found = stored.verify(handed_out)
    assert [one[:3] for one in found.findings] == SOMEWHERE
    assert found.findings[0].sentence.startswith("the auditor's copy, has another root than these")
    assert (found.agreed, found.checkpoints) == (0, 0)


def test_a_forged_memory_does_not_hide_what_was_kept(stored: Ledger) -> None:
    """One that agrees with nothing comes first, and one that agrees with the rewriting last."""
    handed_out = prepare(stored)
    with attacker(stored.url) as evil:
        evil.rewrite_from(21)
        evil.forget_signed()
    signed = stored.signing.signed
    rewritten = stored.stand().root_at
    for size, root in ((5, bytes(32)), (EVENTS, rewritten(EVENTS)), (1000, bytes(32))):
        note = notes.sign(Checkpoint(ORIGIN, size, root).text, (NEXT_KEY,))
        signed.put_if_absent(SignedCheckpoint(size, "", root, note, "then"))
    assert ("contradicted", 1, SIGNED) in places(stored, handed_out)
    told = [one.sentence for one in stored.verify(handed_out).findings]
    assert told[0].startswith("the checkpoint of 5 events, signed then, has another root")


def test_of_checkpoints_beyond_the_end_the_furthest_is_told(stored: Ledger) -> None:
    handed_out = prepare(stored)
    stored.checkpoint()
    with attacker(stored.url) as evil:
        evil.cut_after(25)
        evil.forget_tree()
    assert places(stored, handed_out) == [("cut_off", 26, 30), ("cut_off", 26, 40)]
    assert places(stored) == [("cut_off", 26, 40)]


def test_what_is_signed_meanwhile_does_not_look_like_events_that_are_gone(
    ledger: Ledger,
) -> None:
    ledger.add(5)

    def signed_meanwhile() -> Iterator[KnownCheckpoint]:
        ledger.add(2)
        yield known(ledger.checkpoint())

    found = integrity.verify(ledger.book, ledger.tables, signed_meanwhile())
    assert (found.events, found.findings) == (5, [])


def test_what_is_signed_while_checkpoints_are_read_does_not_either(ledger: Ledger) -> None:
    ledger.add(5)

    def signed_meanwhile() -> Iterator[KnownCheckpoint]:
        for _ in range(3):
            ledger.add(2)
            yield known(ledger.checkpoint())

    found = integrity.verify(ledger.book, ledger.tables, signed_meanwhile())
    assert (found.events, found.findings) == (5, [])


def test_verifying_changes_nothing(stored: Ledger) -> None:
    prepare(stored)
    stored.add(5)
    before = tree.reached(stored.tables)
    stored.verify()
    assert tree.reached(stored.tables) == before


def test_whoever_waits_is_told_how_far_it_has_come(ledger: Ledger) -> None:
    ledger.add(2_500)
    counted: list[int] = []
    integrity.verify(ledger.book, ledger.tables, [], counted.append)
    assert counted == [1000, 1000, 500]
