"""Activation codes: derived without bias and for ever, read forgivingly, shown masked."""

from __future__ import annotations

import base64
import doctest
import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ledger import codes
from ledger.codes import (
    ALPHABET,
    CodeKeys,
    holds_code,
    mask,
    mask_possible,
    parse,
    possible_codes,
    resembles_code,
)

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "golden" / "codes.json").read_text("utf-8")
)
KEYS = CodeKeys(bytes.fromhex(GOLDEN["derivation"]), bytes.fromhex(GOLDEN["lookup"]))
PREFIXES = frozenset({"POS", "INT"})
CODE = "POS-2345-ABCD-WXYZ"


@pytest.mark.parametrize("golden", GOLDEN["codes"], ids=lambda golden: golden["code"])
def test_every_code_that_was_ever_sold_is_derived_again(golden: dict[str, Any]) -> None:
    """The vectors were made with `openssl dgst` and a shell. Never change them: that would lose
    every code there is.
    """
    code = KEYS.derive(
        golden["prefix"], golden["batch"], golden["index"], generation=golden["generation"]
    )
    assert code == golden["code"]
    assert KEYS.key_id(code) == golden["key"]


def test_codes_are_over_capital_letters_and_2_to_9() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 34
    assert set(ALPHABET) == set("ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789")


def test_no_character_is_likelier_than_another() -> None:
    """Chi-square over 240,000 characters, 33 degrees of freedom: 95 is exceeded by chance once in
    20 million. Bytes taken modulo 34 without throwing any away come to more than 1,000.
    """
    counts = Counter(
        character
        for index in range(20_000)
        for character in KEYS.derive("POS", "bat_bias", index)[4:].replace("-", "")
    )
    expected = sum(counts.values()) / len(ALPHABET)
    assert set(counts) == set(ALPHABET)
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 95


def test_every_place_of_every_batch_has_a_code_of_its_own() -> None:
    places = [
        (prefix, batch, index, generation)
        for prefix in ("POS", "INT")
        for batch in ("bat_1", "bat_11")
        for index in (0, 1, 10, 11, 111)
        for generation in (0, 1, 11)
    ]
    derived = {KEYS.derive(p, b, i, generation=g)[4:] for p, b, i, g in places}
    assert len(derived) == len(places)


def test_another_secret_derives_other_codes_and_other_ids() -> None:
    other = CodeKeys(KEYS.lookup, KEYS.derivation)
    assert KEYS.derive("POS", "bat_1", 0) != other.derive("POS", "bat_1", 0)
    assert KEYS.key_id(CODE) != other.key_id(CODE)


@given(st.sampled_from(["POS", "INT"]), st.integers(0, 10**6), st.integers(0, 5))
def test_what_is_derived_can_be_read_and_masked(prefix: str, index: int, generation: int) -> None:
    code = KEYS.derive(prefix, "bat_1", index, generation=generation)
    assert parse(code, PREFIXES) == code
    assert parse(f" \t{code.lower()}\n", PREFIXES) == code
    assert codes.prefix_of(code) == codes.prefix_of(mask(code)) == prefix
    assert mask(code) == f"{prefix}-••••-••••-{code[-4:]}"
    assert resembles_code(code)
    assert not resembles_code(mask(code))
    assert parse(mask(code), PREFIXES) is None


FORGIVEN = {
    "as it is": CODE,
    "spaces around it": f"  {CODE}  ",
    "a line break after it": f"{CODE}\r\n",
    "a tab before it": f"\t{CODE}",
    "no-break spaces around it": f"\u00a0{CODE}\u00a0",
    "an ideographic space after it": f"{CODE}\u3000",
    "lower case": CODE.lower(),
    "mixed case": "pOs-2345-aBcD-WxYz",
    "no dashes": "POS2345ABCDWXYZ",
    "a dash after the prefix only": "POS-2345ABCDWXYZ",
    "spaces for dashes": "POS 2345 ABCD WXYZ",
    "no-break spaces for dashes": "POS\u00a02345\u00a0ABCD\u00a0WXYZ",
    "tabs for dashes": "POS\t2345\tABCD\tWXYZ",
    "a space after a dash": "POS-2345- ABCD-WXYZ",
    "a dash between spaces": "POS - 2345 – ABCD — WXYZ",
    "a line break after a dash": "POS-2345-\r\nABCD-WXYZ",
    "two dashes": "POS--2345--ABCD--WXYZ",
    "en dashes": "POS–2345–ABCD–WXYZ",
    "em dashes": "POS—2345—ABCD—WXYZ",
    "minus signs": "POS−2345−ABCD−WXYZ",
    "no-break hyphens": "POS\u20112345\u2011ABCD\u2011WXYZ",
    "figure dashes and horizontal bars": "POS\u20122345\u2015ABCD\u2012WXYZ",
    "soft hyphens": "POS\u00ad2345\u00adABCD\u00adWXYZ",
    "a soft hyphen inside a group": "POS-23\u00ad45-ABCD-WXYZ",
    "full-width dashes": "POS－2345－ABCD－WXYZ",
    "small dashes": "POS﹣2345﹘ABCD﹣WXYZ",
    "hyphen bullets": "POS\u20432345\u2043ABCD\u2043WXYZ",
    "long vowel marks": "POSー2345ｰABCDーWXYZ",
    "heavy minus signs and lines of boxes": "POS➖2345─ABCD━WXYZ",
    "superscript and subscript minus signs": "POS⁻2345₋ABCD⁻WXYZ",
    "dashes all different": "POS-2345–ABCD—WXYZ",
    "full-width all over": "ＰＯＳ－２３４５－ＡＢＣＤ－ＷＸＹＺ",
    "full-width small letters": "ｐｏｓ-2345-ａｂｃｄ-ｗｘｙｚ",
    "bold letters of mathematics": "𝐏𝐎𝐒-𝟐𝟑𝟒𝟓-𝐀𝐁𝐂𝐃-𝐖𝐗𝐘𝐙",
    "superscripts": "POS-²345-ABCD-WXYZ",
    "quotes": f'"{CODE}"',
    "typographic quotes": f"“{CODE}”",
    "German quotes": f"„{CODE}“",
    "French quotes": f"« {CODE} »",
    "Japanese quotes": f"「{CODE}」",
    "backticks": f"`{CODE}`",
    "accents for quotes": f"´{CODE}´",
    "a quote inside": "POS-2345-'ABCD-WXYZ",
    "a zero-width space inside": "POS-2345\u200b-ABCD-WXYZ",
    "a zero-width space inside a group": "POS-2345-AB\u200bCD-WXYZ",
    "a zero-width space after it": f"{CODE}\u200b",
    "a byte order mark before it": f"\ufeff{CODE}",
    "marks of direction around it": f"\u202d{CODE}\u202c",
    "a variation selector": "POS-2345\ufe0f-ABCD-WXYZ",
    "a Hangul filler": f"{CODE}\u3164",
    "a NUL inside": "POS-2345-AB\0CD-WXYZ",
    "a NUL after it": f"{CODE}\0",
}


@pytest.mark.parametrize("text", FORGIVEN.values(), ids=FORGIVEN.keys())
def test_what_is_forgiven(text: str) -> None:
    assert parse(text, PREFIXES) == CODE


REFUSED = {
    "nothing": "",
    "spaces": "   ",
    "a zero": "POS-2340-ABCD-WXYZ",
    "a one": "POS-2341-ABCD-WXYZ",
    "a zero in the prefix": "P0S-2345-ABCD-WXYZ",
    "a prefix that no product has": "ABC-2345-ABCD-WXYZ",
    "no prefix": "2345-ABCD-WXYZ",
    "a prefix alone": "POS-",
    "an empty prefix": "-2345-ABCD-WXYZ",
    "two groups": "POS-2345-ABCD",
    "four groups": "POS-2345-ABCD-WXYZ-2345",
    "a group of five": "POS-23456-ABCD-WXYZ",
    "a group of three": "POS-2345-ABC-WXYZ",
    "groups of other lengths": "POS-234-5ABCD-WXYZ",
    "a space inside a group": "POS-23 45-ABCD-WXYZ",
    "an underscore": "POS_2345_ABCD_WXYZ",
    "Cyrillic letters that look alike": "РОЅ-2345-ABCD-WXYZ",
    "one Greek letter": "POS-2345-ΑBCD-WXYZ",
    "Arabic digits": "POS-٢٣٤٥-ABCD-WXYZ",
    "a dotless i": "ınt-2345-abcd-wxyz",
    "a dotted capital I": "İNT-2345-ABCD-WXYZ",
    "a sharp s, whose capital is SS": "POS-2345-ABß-WXYZ",
    "letters with accents": "POS-2345-ÁBCD-WXYZ",
    "a full-width zero": "POS-234０-ABCD-WXYZ",
    "a superscript one": "POS-234¹-ABCD-WXYZ",
    "no dashes, and a zero": "POS2340ABCDWXYZ",
    "no dashes, one character short": "POS2345ABCDWXY",
    "no dashes, one character more": "POS2345ABCDWXYZ2",
    "no dashes, and a prefix that no product has": "ABC2345ABCDWXYZ",
    "dots for dashes": "POS.2345.ABCD.WXYZ",
    "a masked code": "POS-••••-••••-WXYZ",
    "two codes": f"{CODE} {CODE}",
    "text around it": f"my code is {CODE}",
    "half a surrogate pair": "POS-2345-ABCD-WXY\ud800",
    "very much": "POS-" + "2345-" * 100_000,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(text: str) -> None:
    assert parse(text, PREFIXES) is None


@given(st.text())
def test_whatever_is_read_is_a_code(text: str) -> None:
    read = parse(text, PREFIXES)
    assert read is None or parse(read, PREFIXES) == read == read.upper()


# What may stand between two groups, and what falls away wherever it stands.
DASHES = [chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) == "Pd"]
SEPARATORS = st.text(
    st.sampled_from([*DASHES, " ", "\t", "\n", "\u00a0", "\u3000", "−"]), max_size=3
)
FALLS_AWAY = st.text(
    st.sampled_from("\"'`´‘’“”„«»‹›\u00ad\u200b\u200d\u2060\ufeff\ufe0f\0"), max_size=2
)


@given(
    st.tuples(SEPARATORS, SEPARATORS, SEPARATORS),
    st.lists(FALLS_AWAY, min_size=16, max_size=16),
    st.tuples(st.booleans(), st.booleans()),
)
def test_however_it_was_typed_it_is_the_code(
    separators: tuple[str, str, str], noise: list[str], forms: tuple[bool, bool]
) -> None:
    lower, wide = forms
    groups = CODE.lower().split("-") if lower else CODE.split("-")
    if wide:
        groups = ["".join(chr(ord(one) + 0xFEE0) for one in group) for group in groups]
    added = iter(noise)
    spelled = ["".join(next(added) + one for one in group) for group in groups]
    typed = "".join(map("".join, zip(spelled, [*separators, ""], strict=True)))
    assert parse(typed + noise[-1], PREFIXES) == CODE


def test_a_code_without_dashes_is_told_apart_by_its_length_where_one_prefix_begins_another() -> (
    None
):
    prefixes = frozenset({"POS", "POSX", "POSXAB"})
    assert parse("POSXABCDEFGH234", prefixes) == "POS-XABC-DEFG-H234"
    assert parse("POSXABCDEFGH2345", prefixes) == "POSX-ABCD-EFGH-2345"
    assert parse("POSXABCDEFGH234567", prefixes) == "POSXAB-CDEF-GH23-4567"
    assert parse("POSXABCDEFGH23456", prefixes) is None


def test_prefixes_of_two_and_of_eight_letters_are_read() -> None:
    prefixes = frozenset({"AB", "ABCDEFGH"})
    assert parse("ab-2345-abcd-wxyz", prefixes) == "AB-2345-ABCD-WXYZ"
    assert parse("abcdefgh-2345-abcd-wxyz", prefixes) == "ABCDEFGH-2345-ABCD-WXYZ"


MAY_BE_CODES = [
    CODE,
    CODE.lower(),
    f" {CODE} ",
    "POS-2340-ABC1-WXYZ",  # mistyped
    "POS_2345_ABCD_WXYZ",
    "POS 2345 ABCD WXYZ",
    "POS2345ABCDWXYZ",
    "ABC-2345-ABCD-WXYZ",
]
ARE_NO_CODES = [
    "",
    "acme",
    "till-1",
    "POS-••••-••••-WXYZ",
    "POS-2345",
    "key_" + "a" * 26,
    "bat_" + "a" * 26,
    "kfsub_" + "a" * 26,
    "kft_" + "a" * 26,
    "req_" + "a" * 26,
    "sub_1OqLsZ2eZvKYlo2CXkaFhQ1b",
    "cus_NffrFeUfNV2Hib",
    "in_1OqLsZ2eZvKYlo2CXkaFhQ1b",
    "evt_1OqLsZ2eZvKYlo2CXkaFhQ1b",
    "0b4f2c7e-6f0e-4b57-9f5b-0f5dbb3f6a11",
    "01HXYZABCDEFGHJKMNPQRSTVWX",
    "507f1f77bcf86cd799439011",
    "12345",
]


@pytest.mark.parametrize("text", MAY_BE_CODES)
def test_what_may_be_a_code_is_kept_out_of_urls(text: str) -> None:
    assert resembles_code(text)


@pytest.mark.parametrize("text", ARE_NO_CODES)
def test_ids_are_no_codes(text: str) -> None:
    assert not resembles_code(text)


GROUPS = st.text(ALPHABET, min_size=4, max_size=4)
# Texts that are made of what codes are made of, so that codes overlap, touch and stand in others.
PIECES = st.one_of(
    st.sampled_from(["POS", "INT", "pos", "POSX", "X", "•", "••••", "-", " - ", " ", "", "_", "."]),
    GROUPS,
    st.sampled_from(["ABCD", "7POS", "POSA", "2INT", "WXYZ"]),
    st.builds(mask, st.builds("POS-{}-{}-{}".format, GROUPS, GROUPS, GROUPS)),
)
MADE_OF_CODES = st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=80)
SOME_PREFIXES = frozenset({"POS", "INT", "POSX"})


@settings(max_examples=500)
@given(MADE_OF_CODES, st.sampled_from([0, 1, 2, 3]))
@example("POS-ABCD-EFGH-7POS-ABCD-EFGH-JKLM-NPQR-STUV-WXYZ", 0)
@example("POSABCDEFGHPOSABCDEFGHJKL2", 1)
@example("POSXABCDEFGHJKLM POSXABCDEFGHJKL2", 1)
def test_no_code_is_left_in_a_masked_text(text: str, known: int) -> None:
    def which(possible: list[str]) -> list[str]:
        return [one for one in possible if known and sum(map(ord, one)) % known == 0]

    masked = mask_possible(text, SOME_PREFIXES, which)
    assert not holds_code(masked, SOME_PREFIXES)
    assert not which(list(possible_codes(masked, SOME_PREFIXES)))
    assert mask_possible(masked, SOME_PREFIXES, which) == masked


EVERYDAY = [
    "{} replaced",
    "{} customer lost it",
    "{} was returned",
    "{} returned by the shop",
    "{} lost card",
    "{} not used",
    "{}: duplicate",
    "{} reissued, till broken",
    "Customer says {} does not work",
    "Code {} - sent to wrong mail",
    "{} wrongly issued",
    "{} refunded on 3 May",
    "{} order cancelled",
    "{} stolen",
    "{} paid back",
    "{}/{} swapped",
    "{} {} both lost",
]
WORDS = st.from_regex(r"[a-z]{1,12}|[0-9]{1,4}", fullmatch=True).filter(
    lambda word: not word.endswith(("pos", "int"))
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=8).flatmap(
    lambda words: st.sampled_from([" ", ", ", " - ", ". ", ": "]).map(lambda gap: gap.join(words))
)


@given(
    st.sampled_from(EVERYDAY)
    | st.builds("{1} {0} {2}".format, st.just("{}"), SENTENCES, SENTENCES),
    GROUPS,
)
def test_a_masked_code_is_no_code_in_any_sentence(sentence: str, last: str) -> None:
    text = sentence.replace("{}", f"POS-••••-••••-{last}")
    assert not holds_code(text, PREFIXES)
    assert not list(possible_codes(text.lower(), PREFIXES))


@pytest.mark.parametrize(
    "text",
    [
        "POS till 4477 Graz",
        "POS Shop 2nd till",
        "POS TILL 2024 MAIN, at the door",
        "International till 22 of 25",
        "POS 2345 ABCD WXYZ",
        "POS2345ABCDWXYZ2",
    ],
)
def test_names_of_tills_and_shops_are_not_surely_codes(text: str) -> None:
    assert not holds_code(text, PREFIXES)


def test_a_digest_depends_on_every_part_and_on_where_parts_end() -> None:
    digests = [
        codes.digest(b"k", "a", "b"),
        codes.digest(b"k", "ab"),
        codes.digest(b"k", "a", "b", ""),
        codes.digest(b"k", "b", "a"),
        codes.digest(b"x", "a", "b"),
    ]
    assert len(set(digests)) == len(digests)
    assert all(
        len(one) == 26 and set(one) <= set("abcdefghijklmnopqrstuvwxyz234567") for one in digests
    )


@given(st.binary(min_size=17, max_size=64))
def test_letters_are_base_32(digest: bytes) -> None:
    assert codes.letters(digest) == base64.b32encode(digest).decode().lower()[:26]


def test_the_example_in_the_module_holds() -> None:
    assert doctest.testmod(codes).failed == 0


def test_the_first_code_of_a_place_is_of_generation_0() -> None:
    first = KEYS.derive("POS", "bat_1", 0)
    assert first == KEYS.derive("POS", "bat_1", 0, generation=0)
    assert first != KEYS.derive("POS", "bat_1", 0, generation=1)
