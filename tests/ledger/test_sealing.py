"""Free text that can be forgotten."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from ledger.events import Sealed
from ledger.sealing import Texts, WrongSecret, knows_secret
from ledger.store.memory import MemoryTextKeys
from tests.worlds import NOON, SECRET, chance

WRAPPING = SECRET.derive("texts")
LABEL = "Zoë’s till at the front, 東京"


def sealed_text(texts: Texts, text: str = LABEL, owner: str = "account-acme") -> Sealed:
    sealed = texts.seal(owner, text, NOON)
    assert sealed is not None
    return sealed


@pytest.fixture
def keys() -> MemoryTextKeys:
    return MemoryTextKeys()


@pytest.fixture
def texts(keys: MemoryTextKeys) -> Texts:
    return Texts(keys, WRAPPING, chance(1))


def test_what_was_sealed_can_be_opened(texts: Texts) -> None:
    sealed = sealed_text(texts)
    assert sealed.owner == "account-acme"
    assert texts.open(sealed) == LABEL


@pytest.mark.parametrize("text", ["", "x", "x" * 500, "שלום"])
def test_any_text_comes_back_as_it_was(texts: Texts, text: str) -> None:
    assert texts.open(texts.seal("account-acme", text, NOON)) == text


def test_no_text_stays_no_text_and_makes_no_key(texts: Texts, keys: MemoryTextKeys) -> None:
    assert texts.seal("account-acme", None, NOON) is None
    assert texts.open(None) is None
    assert keys.get("account-acme") is None


def test_neither_the_box_nor_the_key_shows_anything(texts: Texts, keys: MemoryTextKeys) -> None:
    box = base64.b64decode(sealed_text(texts, "front till").box)
    assert b"front" not in box
    wrapped = keys.get("account-acme")
    assert wrapped is not None
    assert len(wrapped) == 12 + 32 + 16


def test_the_same_text_is_sealed_differently_each_time(texts: Texts) -> None:
    assert sealed_text(texts).box != sealed_text(texts).box


def test_texts_are_opened_in_the_order_given(texts: Texts) -> None:
    first, second = sealed_text(texts, "one"), sealed_text(texts, "two", "account-beta")
    assert texts.open_all([second, None, first, second]) == ["two", None, "one", "two"]


def test_a_destroyed_key_makes_all_texts_of_its_owner_unreadable(texts: Texts) -> None:
    mine, other = sealed_text(texts), sealed_text(texts, owner="account-beta")
    assert texts.destroy("account-acme") is True
    assert texts.open(mine) is None
    assert texts.open(other) == LABEL
    assert texts.destroy("account-acme") is False


def test_after_an_erasure_new_texts_can_be_read_and_old_ones_cannot(texts: Texts) -> None:
    old = sealed_text(texts, "old")
    texts.destroy("account-acme")
    new = sealed_text(texts, "new")
    assert texts.open_all([old, new]) == [None, "new"]


def test_another_owners_box_cannot_be_passed_off_as_ones_own(texts: Texts) -> None:
    stolen = replace(sealed_text(texts, owner="account-beta"), owner="account-acme")
    sealed_text(texts)
    assert texts.open(stolen) is None


@pytest.mark.parametrize("place", [0, 11, 12, 20, -1])
def test_a_box_that_was_tampered_with_is_not_opened(texts: Texts, place: int) -> None:
    sealed = sealed_text(texts)
    box = bytearray(base64.b64decode(sealed.box))
    box[place] ^= 1
    assert texts.open(replace(sealed, box=base64.b64encode(box).decode())) is None


@pytest.mark.parametrize(
    "box", ["", "AA==", "A", "no base64 é", base64.b64encode(b"x" * 20).decode()]
)
def test_what_is_no_box_at_all_is_not_opened(texts: Texts, box: str) -> None:
    sealed_text(texts)
    assert texts.open(Sealed(owner="account-acme", box=box)) is None


def test_another_secret_is_told_apart_from_an_erasure(texts: Texts, keys: MemoryTextKeys) -> None:
    sealed = sealed_text(texts)
    mistaken = Texts(keys, SECRET.derive("something else"))
    with pytest.raises(WrongSecret):
        mistaken.open(sealed)
    with pytest.raises(WrongSecret):
        mistaken.seal("account-acme", "more", NOON)
    texts.destroy("account-acme")
    assert mistaken.open(sealed) is None


def test_the_secret_is_held_against_the_first_one(keys: MemoryTextKeys) -> None:
    texts = Texts(keys, WRAPPING)
    assert not knows_secret(keys)
    texts.check_secret(NOON)
    assert knows_secret(keys)
    texts.check_secret(NOON)
    with pytest.raises(WrongSecret):
        Texts(keys, SECRET.derive("something else")).check_secret(NOON)


def test_a_key_is_stored_with_the_moment_it_was_made(keys: MemoryTextKeys) -> None:
    class Noted(MemoryTextKeys):
        def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
            noted.append((owner, created_at))
            return super().put_if_absent(owner, wrapped, created_at)

    noted: list[tuple[str, str]] = []
    texts = Texts(Noted(), WRAPPING)
    for _ in range(2):
        sealed_text(texts)
    assert noted == [("account-acme", NOON.isoformat())]


def test_the_first_of_two_that_seal_at_once_makes_the_key(keys: MemoryTextKeys) -> None:
    """Another process puts its key between our look and our put."""

    class Overtaken(MemoryTextKeys):
        def put_if_absent(self, owner: str, wrapped: bytes, created_at: str) -> bytes:
            if keys.get(owner) is None:
                sealed.append(sealed_text(Texts(keys, WRAPPING), "theirs", owner))
            return keys.put_if_absent(owner, wrapped, created_at)

        def get(self, owner: str) -> bytes | None:
            return keys.get(owner)

    sealed: list[Sealed] = []
    ours = Texts(Overtaken(), WRAPPING)
    sealed.append(sealed_text(ours, "ours"))
    assert ours.open_all(sealed) == ["theirs", "ours"]


def test_many_threads_that_seal_first_share_one_key(texts: Texts, keys: MemoryTextKeys) -> None:
    with ThreadPoolExecutor(8) as pool:
        boxes = list(pool.map(lambda n: Texts(keys, WRAPPING).seal("o", str(n), NOON), range(64)))
    assert texts.open_all(boxes) == [str(n) for n in range(64)]
