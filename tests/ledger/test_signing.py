"""What a browser keeps for us: back as it was, or not at all."""

from __future__ import annotations

import base64

import pytest
from msgspec import Struct

from ledger import signing

KEY = bytes(range(32))


class Note(Struct, frozen=True):
    text: str
    number: int


class Later(Struct, frozen=True):
    text: str
    number: int
    added: str


NOTE = Note("hello", 7)
TEXT = signing.sign(KEY, "note", NOTE)


def test_what_was_signed_comes_back() -> None:
    assert signing.read([KEY], "note", TEXT, Note) == NOTE


@pytest.mark.parametrize(
    "text", ["", "x", "====", "ä", TEXT[:-4], TEXT + "AAAA", TEXT.swapcase(), "A" * 5000]
)
def test_what_was_changed_is_nothing(text: str) -> None:
    assert signing.read([KEY], "note", text, Note) is None


def test_every_bit_counts() -> None:
    data = bytearray(base64.urlsafe_b64decode(TEXT))
    for place in range(len(data)):
        data[place] ^= 1
        assert signing.read([KEY], "note", base64.urlsafe_b64encode(data).decode(), Note) is None
        data[place] ^= 1


def test_what_is_for_one_purpose_or_of_one_key_is_for_no_other() -> None:
    assert signing.read([KEY], "other", TEXT, Note) is None
    assert signing.read([KEY[::-1]], "note", TEXT, Note) is None


def test_what_an_earlier_release_wrote_in_another_shape_is_nothing() -> None:
    assert signing.read([KEY], "note", TEXT, Later) is None


def test_what_is_signed_with_any_of_the_keys_is_read() -> None:
    assert signing.read([KEY[::-1], KEY], "note", TEXT, Note) == NOTE
    assert signing.read([], "note", TEXT, Note) is None


def test_the_token_of_a_form_is_bound_to_its_session() -> None:
    assert signing.form_token("one") != signing.form_token("two")
    assert "one" not in signing.form_token("one")
