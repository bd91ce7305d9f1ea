"""What no text may hold."""

from __future__ import annotations

import re

import pytest

from ledger import limits

READABLE = [
    "Front till",
    "Kasse 2 – Eingang Süd",
    "صندوق أمامي",
    "קופה קדמית",
    "正面收银台",
    "앞 계산대",
    "Цех №2 (запас)",
    "ร้านค้า",
    "दुकान",
    "Zoe\u0308’s cafe\u0301",  # accents by themselves
    "🧾 till",
    "a\u00a0b",
    "",
]

UNREADABLE = {
    "NUL": ("a\0b", "U+0000"),
    "line break": ("a\nb", "U+000A"),
    "carriage return": ("a\rb", "U+000D"),
    "tab": ("a\tb", "U+0009"),
    "escape": ("a\x1b[31mb", "U+001B"),
    "delete": ("a\x7fb", "U+007F"),
    "next line": ("a\x85b", "U+0085"),
    "line separator": ("a\u2028b", "U+2028"),
    "paragraph separator": ("a\u2029b", "U+2029"),
    "right-to-left override": ("a\u202eb", "U+202E"),
    "left-to-right override": ("a\u202db", "U+202D"),
    "right-to-left embedding": ("a\u202bb", "U+202B"),
    "right-to-left isolate": ("a\u2067b", "U+2067"),
    "right-to-left mark": ("a\u200fb", "U+200F"),
    "zero-width space": ("a\u200bb", "U+200B"),
    "zero-width joiner": ("a\u200db", "U+200D"),
    "word joiner": ("a\u2060b", "U+2060"),
    "byte order mark": ("\ufeffab", "U+FEFF"),
    "soft hyphen": ("a\u00adb", "U+00AD"),
    "tag character": ("a\U000e0041b", "U+E0041"),
    "half a surrogate pair": ("a\ud800b", "U+D800"),
    "private use": ("a\ue000b", "U+E000"),
    "noncharacter": ("a\uffffb", "U+FFFF"),
}


@pytest.mark.parametrize("text", READABLE)
def test_letters_of_all_scripts_pass(text: str) -> None:
    assert limits.unreadable(text) is None


@pytest.mark.parametrize("case", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_nobody_can_read_is_named(case: tuple[str, str]) -> None:
    text, character = case
    assert limits.unreadable(text) == character


def test_the_first_of_several_is_named() -> None:
    assert limits.unreadable("a\u200b\0") == "U+200B"


IDS = [
    (limits.ACCOUNT_ID, 64),
    (limits.HOLDER_ID, 128),
    (limits.SESSION_ID, 128),
    (limits.REQUEST_ID, 128),
]


@pytest.mark.parametrize(("pattern", "length_max"), IDS)
def test_an_id_is_short_and_plain(pattern: str, length_max: int) -> None:
    fits = ["a", "A9", "till-1", "a.b_c:d-e", "x" * length_max]
    refused = ["", "x" * (length_max + 1), "a b", "a/b", "ä", "a\n", "a\0", "１", "a%b", "../a?"]
    assert all(re.fullmatch(pattern, id) for id in fits)
    assert not any(re.fullmatch(pattern, id) for id in refused)


def test_an_idempotency_key_is_any_visible_ascii() -> None:
    assert re.fullmatch(limits.IDEMPOTENCY_KEY, "order/2026-03#1")
    assert re.fullmatch(limits.IDEMPOTENCY_KEY, "~" * 255)
    for refused in ("", "~" * 256, "a b", "a\n", "ä"):
        assert not re.fullmatch(limits.IDEMPOTENCY_KEY, refused)
