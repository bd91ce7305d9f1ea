"""The texts of the pages: every one translated, and compiled as it stands."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po

from web.html.languages import LANGUAGES

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "web" / "translations"
OTHERS = [code for code in LANGUAGES if code != "en"]

others = pytest.mark.parametrize("code", OTHERS)

# The German word for each thing, and what it is not called beside it; nor is anybody called du.
GERMAN_WORDS = {
    "Abo": r"Abonnement|Subskription",
    "Benutzer": r"\bNutzer|\bUser\b",
    "Einzelheiten": r"\bDetails\b",
    "Grundtarif": r"Grundpreis|Basisplan",
    "Händler": r"Wiederverkäufer|Reseller",
    "Hauptbuch": r"Ledger|Verzeichnis",
    "Platz": r"Sitzplatz|Sitzplätze",
    "Schlüssel": r"(?<!-)\bKeys?\b",
    "Sitzung": r"\bBesuch",
    "Testphase": r"Probezeit|\bTrial",
    "Zugangstoken": r"Zugriffstoken",
    "Sie": r"\b(du|dich|dir|deine?[mnrs]?)\b",
}


def texts() -> set[str | tuple[str, ...]]:
    """Return every text for people, as it stands where it is made."""
    with (FOLDER / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)
    keywords = {**DEFAULT_KEYWORDS, "_l": None, "_n": None}
    found = extract_from_dir(str(CHECKOUT), methods, options, keywords)
    return {message for _, _, message, _, _ in found}


def translated(code: str) -> Catalog:
    file = FOLDER / code / "LC_MESSAGES" / "messages.po"
    return read_po(io.BytesIO(file.read_bytes()), locale=code)


def test_there_are_texts() -> None:
    assert len(texts()) > 100


@others
def test_every_text_is_translated_and_none_is_left_over(code: str) -> None:
    assert {message.id for message in translated(code) if message.id} == texts()


def several(text: object) -> Sequence[object]:
    """Return the forms of a text: one, or for a number of things one for each number."""
    return text if isinstance(text, tuple | list) else [text]


@others
def test_no_translation_is_missing_unsure_or_without_its_places(code: str) -> None:
    places = re.compile(r"%\(\w+\)s")
    for message in translated(code):
        if not message.id:
            continue
        ids = [str(one) for one in several(message.id)]
        strings = [str(one or "") for one in several(message.string)]
        assert all(strings), message.id
        assert not message.fuzzy, message.id
        for number, string in enumerate(strings):
            its = ids[0] if number == 0 else ids[-1]
            assert set(places.findall(string)) == set(places.findall(its)), message.id


@others
def test_what_is_compiled_is_what_is_written(code: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, translated(code))
    compiled.seek(0)
    kept = (FOLDER / code / "LC_MESSAGES" / "messages.mo").read_bytes()
    ours, theirs = read_mo(compiled), read_mo(io.BytesIO(kept))
    assert [(m.id, m.string) for m in ours if m.id] == [(m.id, m.string) for m in theirs if m.id]


def test_german_has_one_word_for_each_thing() -> None:
    written = [str(text) for one in translated("de") for text in several(one.string)]
    assert len(written) > len(GERMAN_WORDS)
    mixed = {
        word: [one for one in written if re.search(not_so, one)]
        for word, not_so in GERMAN_WORDS.items()
    }
    assert {word: found for word, found in mixed.items() if found} == {}
