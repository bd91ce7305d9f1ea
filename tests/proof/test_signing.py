"""Signing a checkpoint: what it says, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from commands.sign_checkpoint import CannotSign, Signing, hold_to_signed, sign_checkpoint
from ledger.proof import notes
from ledger.proof.merkle import EMPTY_ROOT
from ledger.proof.notes import Checkpoint, SigningKey
from ledger.store.signed_checkpoints import (
    SignedCheckpoint,
    SignedCheckpoints,
)
from projections.audit import tree
from tests.proof.attacks import Attacker, attacker
from tests.proof.ledgers import KEY, NEXT_KEY, NOON, ORIGIN, Ledger, checkpoint_of, opened
from tests.worlds import rows


def test_a_checkpoint_says_how_many_events_there_are_and_their_root(ledger: Ledger) -> None:
    ledger.add(300)
    note, checkpoint = notes.parse_checkpoint(ledger.checkpoint().encode())
    assert checkpoint == checkpoint_of(300)
    assert note.text == checkpoint.text
    assert notes.signers(note, [KEY.verifier]) == [KEY.verifier]


def test_an_empty_ledger_can_be_signed(ledger: Ledger) -> None:
    _, checkpoint = notes.parse_checkpoint(ledger.checkpoint().encode())
    assert checkpoint == Checkpoint(ORIGIN, 0, EMPTY_ROOT)


def test_the_same_ledger_gives_the_same_checkpoint(ledger: Ledger) -> None:
    ledger.add(3)
    assert ledger.checkpoint() == ledger.checkpoint()
    assert len(list(ledger.signing.signed.all())) == 1


def test_every_checkpoint_is_remembered(ledger: Ledger) -> None:
    signed = []
    for _ in range(3):
        ledger.add(2)
        signed.append(ledger.checkpoint())
    assert [one.note for one in ledger.signing.signed.all()] == signed
    assert ledger.signing.signed.newest() == [*ledger.signing.signed.all()][-1]
    assert [one.size for one in ledger.signing.signed.all()] == [2, 4, 6]


def test_more_checkpoints_than_a_page_are_remembered(ledger: Ledger) -> None:
    many = [SignedCheckpoint(size, "ab", bytes(32), "", "") for size in range(1, 1203)]
    for one in many:
        ledger.signing.signed.put_if_absent(one)
    assert list(ledger.signing.signed.all()) == many


def test_what_is_remembered_stays_as_it_is(ledger: Ledger) -> None:
    first = SignedCheckpoint(5, "ab", bytes(32), "first", "then")
    assert ledger.signing.signed.put_if_absent(first) == first
    assert ledger.signing.signed.put_if_absent(first._replace(note="second")) == first


def test_another_process_knows_what_was_signed(stored: Ledger) -> None:
    stored.add(3)
    stored.checkpoint()
    other = opened(stored.url).book.store.signed_checkpoints
    assert other.newest() == stored.signing.signed.newest()


# Rotation


def rotated(ledger: Ledger, *keys: SigningKey) -> Signing:
    return ledger.signing._replace(keys=keys)


def test_while_keys_are_rotated_both_sign(ledger: Ledger) -> None:
    ledger.add(3)
    ledger.checkpoint()
    ledger.signing = rotated(ledger, NEXT_KEY, KEY)
    note, _ = notes.parse_checkpoint(ledger.checkpoint().encode())
    assert notes.signers(note, [KEY.verifier]) == [KEY.verifier]
    assert notes.signers(note, [NEXT_KEY.verifier]) == [NEXT_KEY.verifier]
    ledger.signing = rotated(ledger, NEXT_KEY)
    ledger.add(3)
    note, _ = notes.parse_checkpoint(ledger.checkpoint().encode())
    assert notes.signers(note, [KEY.verifier, NEXT_KEY.verifier]) == [NEXT_KEY.verifier]
    assert [one.size for one in ledger.signing.signed.all()] == [3, 3, 6]


def test_a_checkpoint_of_a_key_that_was_given_up_still_binds(ledger: Ledger) -> None:
    ledger.add(3)
    ledger.checkpoint()
    ledger.signing = rotated(ledger, NEXT_KEY)
    with pytest.raises(CannotSign, match="the first 3 events are not those"):
        hold_to_signed(ledger.signing, lambda: ledger.stand()._replace(root_at=lambda _: bytes(32)))


# Refusals


@dataclass(frozen=True)
class Refused:
    """What somebody did to a ledger of 20 events, of which 15 were signed, and why not to sign."""

    name: str
    does: Callable[[Attacker], None]
    why: str

    def __str__(self) -> str:
        return self.name


def rewrite_tree(evil: Attacker) -> None:
    evil.rewrite_from(12)


def cut_and_forget_tree(evil: Attacker) -> None:
    evil.cut_after(12)
    evil.forget_tree()


def restore_another_root(evil: Attacker) -> None:
    evil.run("UPDATE keyfold_signed_checkpoints SET root = ?", bytes(32))


def spoil_note(evil: Attacker) -> None:
    evil.run("UPDATE keyfold_signed_checkpoints SET note = ?", "nothing")


def forge_note(evil: Attacker) -> None:
    ((note,),) = evil.run("SELECT note FROM keyfold_signed_checkpoints")
    evil.run("UPDATE keyfold_signed_checkpoints SET note = ?", note.replace("\n15\n", "\n16\n"))


@rows(
    [
        Refused(
            "history was rewritten",
            rewrite_tree,
            "the first 15 events are not those of the checkpoint that was signed of them",
        ),
        Refused(
            "the tail was cut off",
            lambda evil: evil.cut_after(17),
            "the ledger ends at position 17, but 20 events were hashed: events were cut off",
        ),
        Refused(
            "a backup from before was restored",
            cut_and_forget_tree,
            "the ledger ends at position 12, but a checkpoint of 15 events was signed:"
            " events were cut off, or a backup was restored",
        ),
        Refused(
            "what was signed was changed",
            restore_another_root,
            "the last checkpoint that was signed is of another ledger, or was changed",
        ),
        Refused(
            "what was signed is no note any more",
            spoil_note,
            "the last checkpoint that was signed was changed: it is not a text, an empty line, and"
            " lines of signatures",
        ),
        Refused(
            "what was signed has a wrong signature",
            forge_note,
            "the last checkpoint that was signed was changed: the signature of"
            " keyfold/7tq3bd5xw4a6bl7m+78c3dc14 is wrong",
        ),
    ]
)
def test_nothing_is_signed_that_contradicts_what_was_signed(stored: Ledger, case: Refused) -> None:
    stored.add(15)
    stored.checkpoint()
    stored.add(5)
    tree.extend(stored.book, stored.tables, 20)
    with attacker(stored.url) as evil:
        case.does(evil)
    for _ in range(2):
        with pytest.raises(CannotSign) as refused:
            stored.checkpoint()
        assert str(refused.value) == case.why
    assert [one.size for one in stored.signing.signed.all()] == [15]


def test_another_checkpoint_of_the_same_size_is_refused(ledger: Ledger) -> None:
    """Somebody took the place in the table, with a note that nothing was ever signed for."""
    ledger.add(3)
    forged = SignedCheckpoint(3, KEY.verifier.id.hex(), bytes(32), "forged", "now")
    signed = ledger.signing.signed
    late = ledger.signing._replace(signed=_Forgetful(signed))
    signed.put_if_absent(forged)
    ledger.signing = late
    with pytest.raises(CannotSign, match="another checkpoint of 3 events was signed before"):
        ledger.checkpoint()


class _Forgetful:
    """As another process sees it that looked before the other one's checkpoint was there."""

    def __init__(self, signed: SignedCheckpoints) -> None:
        self.put_if_absent = signed.put_if_absent
        self.all = signed.all

    def newest(self) -> None:
        return None


def test_what_others_sign_meanwhile_does_not_look_like_events_that_are_gone(
    ledger: Ledger,
) -> None:
    ledger.add(3)
    ledger.checkpoint()
    mine = ledger.signing
    overtaken = _Overtaken(mine.signed)
    ledger.signing = mine._replace(signed=overtaken)

    def overtake() -> None:
        ledger.add(1)
        sign_checkpoint(mine, ledger.stand, NOON)

    overtaken.before = overtake
    _, checkpoint = notes.parse_checkpoint(ledger.checkpoint().encode())
    assert checkpoint == checkpoint_of(4)


class _Overtaken:
    """Lets somebody do something just before it is asked what was signed."""

    def __init__(self, signed: SignedCheckpoints) -> None:
        self._signed = signed
        self.put_if_absent = signed.put_if_absent
        self.all = signed.all
        self.before: Callable[[], None] = lambda: None

    def newest(self) -> SignedCheckpoint | None:
        self.before()
        return self._signed.newest()


def test_a_ledger_of_another_name_is_refused(ledger: Ledger) -> None:
    ledger.add(3)
    ledger.checkpoint()
    ledger.signing = ledger.signing._replace(origin="keyfold/another")
    with pytest.raises(CannotSign, match="is of another ledger"):
        ledger.checkpoint()


def test_what_was_signed_can_neither_be_changed_nor_deleted(stored: Ledger) -> None:
    stored.add(3)
    stored.checkpoint()
    for change in (
        "UPDATE keyfold_signed_checkpoints SET note = ''",
        "DELETE FROM keyfold_signed_checkpoints",
    ):
        with pytest.raises(Exception, match="is append-only"), stored.tables.transaction() as work:
            work.execute(change, {})
