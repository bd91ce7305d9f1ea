"""The catalogue of events tells of every kind that is recorded, and the documents name no other."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ledger import codec
from projections.text.event_catalogue import as_markdown, event_kinds

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/events"


def test_every_kind_of_event_is_told_with_all_of_its_fields() -> None:
    kinds = {kind.event: {one.name for one in kind.fields} for kind in event_kinds().items}
    assert kinds.keys() == codec.FACTS.keys()
    for file in GOLDEN.glob("*.full.json"):
        name = file.name.removesuffix(".full.json")
        if name in kinds:  # a retired shape is read as the next
            fact = json.loads(file.read_text())["fact"]
            assert fact.keys() <= kinds[name], name


def test_each_is_said_in_a_sentence_and_each_type_in_words() -> None:
    for kind in event_kinds().items:
        assert kind.summary.endswith("."), kind.event
        assert kind.streams, kind.event
        for one in kind.fields:
            assert one.type, (kind.event, one.name)
            assert not re.search(r"NoneType|typing|class |\[", one.type), (kind.event, one)


def test_the_page_is_the_catalogue() -> None:
    assert (ROOT / "docs/events.md").read_text() == as_markdown(), (
        "run: ./dev python -m projections.text.event_catalogue > docs/events.md"
    )


def test_documents_call_events_by_the_names_that_people_meet() -> None:
    classes = {fact.__name__ for fact in codec.FACTS.values()}
    found = {
        f"{file.name}: {name}"
        for file in (ROOT / "docs").glob("*.md")
        for name in re.findall(r"`([A-Z][A-Za-z]+)", file.read_text())
        if name in classes
    }
    assert found == set()
