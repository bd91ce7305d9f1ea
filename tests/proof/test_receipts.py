"""Receipts: one event in a file that proves itself."""

from __future__ import annotations

import base64
from contextlib import closing
from dataclasses import dataclass

import pytest
from scitt_cose import merkle as theirs  # type: ignore[import-untyped]

from commands.occupy_seat import Sitting, occupy_seat
from commands.redeem_key import Try, redeem_key
from commands.reissue_key import reissue_key
from commands.revoke_key import revoke_key
from commands.services import Services
from ledger.proof.cloud_events import line_of, row_of
from ledger.proof.merkle import leaf_bytes
from ledger.store import Row
from projections.audit import receipts
from projections.audit.tree import TreeDamaged
from tests.proof.attacks import attacker
from tests.proof.auditors import Auditor
from tests.proof.ledgers import KEY, NEXT_KEY, NOON, Ledger, opened
from tests.worlds import POS_ORDER, context, issue, services


@pytest.fixture
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("auditor"))


@dataclass
class Shop:
    """A ledger in which a key was redeemed, and what became of the others."""

    ledger: Ledger
    world: Services
    redeemed: str
    issued: str
    revoked: str
    reissued: str
    subscription: str


@pytest.fixture
def shop(ledger: Ledger) -> Shop:
    world = services(ledger.book)
    redeemed, issued, revoked = (issue(world, POS_ORDER) for _ in range(3))
    subscription = redeem_key(world, context(NOON), Try("acme", "s", redeemed.code)).subscription
    revoke_key(world, context(NOON), revoked.id, "Lost")
    reissued = reissue_key(world, context(NOON), redeemed.id, "Lost")
    occupy_seat(world, context(NOON), Sitting("acme", "cloud_pos", None, "till-1"))
    return Shop(ledger, world, redeemed.id, issued.id, revoked.id, reissued.id, subscription)


def written(shop: Shop, row: Row | None) -> str:
    assert row
    ledger = shop.ledger
    return receipts.receipt(ledger.book, ledger.tables, row, ledger.checkpoint())


def test_a_receipt_of_a_key_is_of_its_redemption_or_else_of_its_last_event(shop: Shop) -> None:
    found = [
        receipts.event_of_key(shop.world.book, key)
        for key in (shop.redeemed, shop.issued, shop.revoked, shop.reissued)
    ]
    assert [row and row.name for row in found] == [
        "key.redeemed@1",
        "key.issued@1",
        "key.revoked@1",
        "key.redeemed@1",
    ]
    for row, key in zip(
        found, (shop.redeemed, shop.issued, shop.revoked, shop.reissued), strict=True
    ):
        assert row
        assert row.stream == key.replace("key_", "key-")


def test_a_receipt_of_a_subscription_is_of_its_beginning(shop: Shop) -> None:
    row = receipts.event_of_subscription(shop.world.book, shop.subscription)
    assert row
    assert (row.stream, row.name) == ("account-acme", "account.subscription_activated@1")
    assert shop.subscription.encode() in row.state


def test_a_receipt_of_a_position_is_of_its_event(shop: Shop) -> None:
    for position in range(1, shop.world.book.head() + 1):
        row = receipts.event_at(shop.world.book, position)
        assert row
        assert row.position == position


@pytest.mark.parametrize("position", [0, -1, 1000])
def test_there_is_no_receipt_of_what_is_not_there(shop: Shop, position: int) -> None:
    book = shop.world.book
    assert receipts.event_at(book, position) is None
    assert receipts.event_of_key(book, "key_" + "a" * 26) is None
    assert receipts.event_of_subscription(book, "kfsub_" + "a" * 26) is None
    assert receipts.event_of_subscription(book, shop.issued.replace("key_", "kfsub_")) is None


def test_a_receipt_is_a_c2sp_proof_of_the_event(shop: Shop) -> None:
    row = receipts.event_of_key(shop.world.book, shop.redeemed)
    assert row
    text = written(shop, row)
    head, note = text.split("\n\n", 1)
    version, extra, index, *path = head.split("\n")
    assert version == "c2sp.org/tlog-proof@v1"
    assert base64.b64decode(extra.removeprefix("extra ")) == line_of(row)
    assert row_of(line_of(row)) == row
    assert index == f"index {row.position - 1}"
    assert note == shop.ledger.checkpoint()
    _, size, root, *_ = note.split("\n")
    assert theirs.verify_inclusion(
        leaf_bytes(row.stream, row.version, row.name, row.state).hex(),
        row.position - 1,
        int(size),
        [base64.b64decode(one).hex() for one in path],
        base64.b64decode(root).hex(),
    ), "an independent program says so, too"


def test_a_receipt_verifies_offline(shop: Shop, auditor: Auditor) -> None:
    row = receipts.event_of_key(shop.world.book, shop.redeemed)
    assert row
    auditor.keeps("receipt", written(shop, row))
    said = auditor.verifies("receipt", "--key", KEY.verifier.vkey)
    head = shop.world.book.head()
    assert (said.code, said.wrong) == (0, [])
    assert said.lines[:3] == [
        f"good   receipt: position {row.position} of {shop.ledger.signing.origin},",
        f"       in the ledger as it was at {head} events:",
        f"       key.redeemed@1 on {row.stream}, version {row.version}",
    ]
    assert '"account":"acme"' in said.lines[3]


def test_a_receipt_of_every_event_of_ledgers_of_every_size_verifies(auditor: Auditor) -> None:
    ledger = opened("memory:")
    for size in range(1, 20):
        ledger.add(1)
        names = []
        for position in range(1, size + 1):
            (row,) = ledger.book.store.read_from(position - 1, 1)
            text = receipts.receipt(ledger.book, ledger.tables, row, ledger.checkpoint())
            names.append(auditor.keeps(f"{position}.tlog-proof", text))
        said = auditor.verifies(*names, "--key", KEY.verifier.vkey)
        assert (said.code, len(said.good)) == (0, size)


def test_a_receipt_needs_a_signature_that_one_trusts(shop: Shop, auditor: Auditor) -> None:
    auditor.keeps("receipt", written(shop, receipts.event_at(shop.world.book, 1)))
    said = auditor.verifies("receipt")
    assert (said.code, said.wrong) == (1, ["receipt: nobody's signature was checked: give --key"])
    said = auditor.verifies("receipt", "--key", NEXT_KEY.verifier.vkey)
    assert said.code == 1
    assert said.wrong[0].startswith("the checkpoint in receipt is not signed by keyfold/")
    # Or a checkpoint of one's own that is the same.
    auditor.keeps("mine.txt", shop.ledger.checkpoint())
    assert auditor.verifies("receipt", "--checkpoint", "mine.txt").code == 0
    issue(shop.world, POS_ORDER)
    auditor.keeps("mine.txt", shop.ledger.checkpoint())
    assert auditor.verifies("receipt", "--checkpoint", "mine.txt").code == 1


def test_a_receipt_in_which_any_byte_was_changed_does_not_verify(auditor: Auditor) -> None:
    ledger = opened("memory:")
    ledger.add(6)
    (row,) = ledger.book.store.read_from(2, 1)
    good = receipts.receipt(ledger.book, ledger.tables, row, ledger.checkpoint()).encode()
    auditor.keeps("receipt", good)
    assert auditor.verifies("receipt", "--key", KEY.verifier.vkey).code == 0
    for place, byte in enumerate(good):
        for other in {byte ^ 1, byte + 1 & 0x7F, ord(" "), ord("\n")} - {byte}:
            auditor.keeps("receipt", good[:place] + bytes([other]) + good[place + 1 :])
            said = auditor.verifies("receipt", "--key", KEY.verifier.vkey)
            assert said.code == 1, (place, good[: place + 1], other)
        auditor.keeps("receipt", good[:place])
        assert auditor.verifies("receipt", "--key", KEY.verifier.vkey).code == 1


def test_no_receipt_is_written_of_an_event_that_was_changed(stored: Ledger) -> None:
    stored.add(10)
    note = stored.checkpoint()
    with attacker(stored.url) as evil:
        evil.change_state(7)
    (row,) = stored.book.store.read_from(6, 1)
    with pytest.raises(TreeDamaged, match="the event at position 7 is not the one that was hashed"):
        receipts.receipt(stored.book, stored.tables, row, note)
    with closing(opened("memory:")) as another:
        another.add(9)
        (row,) = another.book.store.read_from(0, 1)
        with pytest.raises(TreeDamaged):
            receipts.receipt(another.book, another.tables, row, note)
