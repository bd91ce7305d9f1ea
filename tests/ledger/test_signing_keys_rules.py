"""The rules of the keys that links and cookies are signed with."""

from __future__ import annotations

from ledger.streams import signing_keys
from ledger.streams.signing_keys import SIGNING_KEYS, SigningKeysRotated
from tests.worlds import NOON, folded

BASE = bytes(range(32))
A, B = "aa" * 32, "bb" * 32


def rotated(salt: str, *, keep_previous: bool = True) -> SigningKeysRotated:
    return SigningKeysRotated(salt=salt, keep_previous=keep_previous)


def test_before_any_rotation_there_is_one_key_without_a_salt() -> None:
    assert signing_keys.keys(BASE, folded(SIGNING_KEYS)) == (BASE,)


def test_two_keys_are_alive_the_newest_first() -> None:
    once = folded(SIGNING_KEYS, (NOON, rotated(A)))
    twice = folded(SIGNING_KEYS, (NOON, rotated(A)), (NOON, rotated(B)))
    assert signing_keys.keys(BASE, once)[1] == BASE
    assert signing_keys.keys(BASE, twice)[1] == signing_keys.keys(BASE, once)[0]
    assert len({*signing_keys.keys(BASE, once), *signing_keys.keys(BASE, twice)}) == 3


def test_a_rotation_at_once_leaves_the_newest_alone() -> None:
    salts = folded(SIGNING_KEYS, (NOON, rotated(A)), (NOON, rotated(B, keep_previous=False)))
    assert salts == (B,)
