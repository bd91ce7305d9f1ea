"""Everything that a person reads at the console comes in the reader's language.

What finds a text that does not is a made-up language: each letter of a translation is another than
the Latin one it stands for, and whatever is still Latin on a page has been through no catalogue.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from babel.dates import get_day_names, get_month_names
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from ledger.catalog import builtin
from projections.text.event_descriptions import sentence
from projections.text.formatting import DisplayNames
from tests.console.desk import Desk, signed_in
from tests.console.test_walls import api, paths, walk
from tests.projections.test_sentences import PLACES, stored
from tests.web.api import Api, memory_api

__all__ = ["api"]

GERMAN = {"Accept-Language": "de"}
CATALOGUE = Path(__file__).parents[2] / "web/translations/de/LC_MESSAGES/messages.po"
# As they stand in addresses and commands, or in Stripe's own pages; or what somebody typed.
NAMES = {
    "Keyfold", "Stripe", "CSV", "UTC", "USD", "HTTP", "Deutsch", "English", "admin", "support",
    "auditor", "reseller", "portal", "operator", "keyfold", "stripe", "Checkout", "cus_", "sub_",
    "bat_", "kft_", "acme", "Northwind", "northwind", "Southgate", "southgate", "Contract", "Cloud",
    "POS", "Integrations", "Growth", "Starter", "Scale", "INT", "FILE", "export", "verifier",
    "verify", "zeta", "audit", "charge", "customer", "invoice",
}  # fmt: skip
SKIPPED = {"code", "pre", "script", "style", "time", "title"}
READ = {"aria-label", "alt", "data-label", "placeholder", "title"}
_WORD = re.compile(r"[A-Za-z][A-Za-z_]{2,}")
_PLACE = re.compile(r"(%\(\w+\)s)")


def made_up(text: str) -> str:
    """Return a text in the made-up language: full-width letters, its places as they were."""
    parts = _PLACE.split(text)
    return "".join(
        part if number % 2 else re.sub("[A-Za-z]", lambda one: chr(ord(one[0]) + 0xFEE0), part)
        for number, part in enumerate(parts)
    )


@pytest.fixture(scope="module")
def made_up_catalogue(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = read_po(io.BytesIO(CATALOGUE.read_bytes()), locale="de")
    for message in found:
        if message.id:
            several = isinstance(message.id, tuple | list)
            ids = message.id if several else (message.id,)
            texts = tuple(made_up(str(one)) for one in ids)
            message.string = texts if several else texts[0]
    folder = tmp_path_factory.mktemp("made-up")
    (folder / "de" / "LC_MESSAGES").mkdir(parents=True)
    with (folder / "de" / "LC_MESSAGES" / "messages.mo").open("wb") as file:
        write_mo(file, found)
    return str(folder)


@pytest.fixture
def strange(api: Api, made_up_catalogue: str) -> Iterator[Api]:
    """Return the walls' world, whose German is the made-up language."""
    settings = api.app.extensions["babel"].instance
    with api.app.app_context():
        before = settings.domain_instance
    settings.domain_instance = type(before)([made_up_catalogue])
    yield api
    settings.domain_instance = before


class Texts(HTMLParser):
    """What is read of a page: text, and what stands in its place for those who do not see it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if not self._is_skipped:
            self.found += [str(given[name]) for name in READ if given.get(name) and tag != "time"]
        if tag not in {"input", "meta", "link", "br", "img", "rect"}:
            self._open.append((tag, tag in SKIPPED or given.get("translate") == "no"))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._is_skipped:
            self.found.append(data)

    @property
    def _is_skipped(self) -> bool:
        return any(skips for _, skips in self._open)


def latin(text: str) -> set[str]:
    """Return the words of a text that went through no catalogue, and are nobody's name."""
    dates = {
        *get_month_names(locale="de").values(),
        *get_month_names("abbreviated", context="stand-alone", locale="de").values(),
        *get_day_names(locale="de").values(),
    }
    return {
        word
        for word in _WORD.findall(re.sub(r"\S*[\d•_@][\w•/.-]*|\w+-[\w-]+", " ", text))
        if word not in NAMES and word not in dates
    }


@pytest.mark.parametrize("role", ["admin", "reseller"])
def test_no_text_of_a_page_is_left_in_english(strange: Api, role: str) -> None:
    desk = signed_in(strange, role)
    desk.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = "de"
    found: dict[str, set[str]] = {}
    for path, page in walk(desk, sorted({*paths(strange), "nowhere", "timeline?ref=x"})).items():
        if not page.startswith("<!doctype html>"):
            continue  # a file
        assert 'lang="de"' in page
        texts = Texts()
        texts.feed(page)
        words = latin(" ".join(texts.found))
        # Free text of the world, and what it names.
        typed = {"fair", "spring", "autumn", "the", "For", "Front", "desk"}
        for word in words - typed:
            found.setdefault(word, set()).add(path)
    left = {word: min(where) for word, where in found.items()}
    assert left == {}


def test_no_event_is_described_in_english(strange: Api) -> None:
    left = {}
    names = DisplayNames(builtin(), {}, {}, {})
    with strange.app.test_request_context("/console/", headers=GERMAN):
        for kind, name in PLACES:
            for filled in ("full", "minimal"):
                event = stored(kind, name, filled)
                data = set(_WORD.findall(msgspec.json.encode(event.fact).decode()))
                words = latin(sentence(event, names)) - data
                if words:
                    left[name, filled] = words
    assert left == {}


def test_the_console_is_german_for_who_asks_and_the_api_is_not() -> None:
    api = memory_api()
    api.redeem("acme", seats=2)
    desk = signed_in(api, "admin")
    assert "Wonach suchen Sie?" in read(desk, "", "de")
    assert "What are you looking for?" in read(desk, "", "en")
    page = read(desk, "accounts/acme", "de")
    assert (
        "eingelöst: 2 Plätze für Cloud POS bis 04.03.2027" in page or "eingelöst: 2 Plätze" in page
    )
    told = api.get("admin", "/v1/timeline", headers=GERMAN).body["items"]
    assert any("2 Cloud POS seats until" in one["summary"] for one in told)
    refused = api.post("admin", "/v1/keys", {"product": "nothing"}, headers=GERMAN)
    assert "is missing" in refused.body["detail"]


def test_a_language_that_was_chosen_stays_whatever_the_browser_asks_for(api: Api) -> None:
    desk = signed_in(api, "support")
    desk.send("language", language="de", back="/console/keys")
    assert ">Schlüssel</h1>" in read(desk, "keys", "en")
    desk.send("language", language="en", back="/console/keys")
    assert ">Keys</h1>" in read(desk, "keys", "de")


def read(desk: Desk, path: str, language: str) -> str:
    """Return a page as a browser that asks for a language shows it."""
    answer = desk.client.get(f"/console/{path}", headers={"Accept-Language": language})
    assert answer.status_code == 200
    return html.unescape(answer.text)
