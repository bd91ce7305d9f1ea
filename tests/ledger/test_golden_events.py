"""Every shape that was ever stored loads for ever.

`tests/golden/events` holds two states of each stored name: `full`, byte for byte as the ledger
stores it, with something in every field; and `minimal`, with nothing in it that could be left out.
A file that was released is never changed. A new fact, or a new version of one, brings its own two;
a retired name keeps its files, and loads through its upcast.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ledger import codec
from ledger.codec import FACTS, UPCASTS
from ledger.events import AnyEvent, Envelope
from ledger.store.contract import Row

FOLDER = Path(__file__).parents[1] / "golden" / "events"
FILES = sorted(FOLDER.iterdir())
KNOWN = sorted([*FACTS, *UPCASTS])


def stored_name(file: Path) -> str:
    return file.name.rsplit(".", 2)[0]


def load(name: str, kind: str) -> tuple[bytes, AnyEvent]:
    state = (FOLDER / f"{name}.{kind}.json").read_bytes().removesuffix(b"\n")
    return state, codec.decode(Row(1, "stream-1", 1, name, state))


def test_every_name_has_a_full_and_a_minimal_file() -> None:
    expected = {f"{name}.{kind}.json" for name in KNOWN for kind in ("full", "minimal")}
    assert {file.name for file in FILES} == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_loads(file: Path) -> None:
    row = Row(1, "stream-1", 1, stored_name(file), file.read_bytes())
    event = codec.decode(row)
    if row.name in FACTS:
        assert type(event.fact) is FACTS[row.name]


@pytest.mark.parametrize("name", FACTS)
def test_a_full_state_is_still_stored_byte_for_byte(name: str) -> None:
    state, event = load(name, "full")
    envelope = Envelope(
        fact=event.fact,
        recorded_at=event.recorded_at,
        occurred_at=event.occurred_at,
        actor=event.actor,
        request_id=event.request_id,
        causation=event.causation,
        test_clock=event.test_clock,
    )
    assert codec.encode(envelope) == state


@pytest.mark.parametrize("name", FACTS)
def test_a_full_state_has_something_in_every_field(name: str) -> None:
    state: dict[str, Any] = json.loads(load(name, "full")[0])
    # `clock` is there only where a clock had been ahead.
    assert [*state, "clock"] == list(Envelope.__struct_fields__)
    assert list(state["fact"]) == [field.name for field in msgspec.structs.fields(FACTS[name])]
    assert None not in {**state, **state["fact"]}.values()
    assert state["test_clock"] is True


@pytest.mark.parametrize("name", FACTS)
def test_a_minimal_state_has_nothing_that_could_be_left_out(name: str) -> None:
    state: dict[str, Any] = json.loads(load(name, "minimal")[0])
    assert list(state) == ["fact", "recorded_at", "occurred_at", "actor", "request_id"]
    required = [field.name for field in msgspec.structs.fields(FACTS[name]) if field.required]
    assert list(state["fact"]) == required


@pytest.mark.parametrize("name", FACTS)
def test_what_a_minimal_state_leaves_out_is_not_so(name: str) -> None:
    event = load(name, "minimal")[1]
    assert (event.causation, event.test_clock) == (None, False)
    assert event.recorded_at == datetime(2026, 3, 1, 12, 30, 45, tzinfo=UTC)
    for field in msgspec.structs.fields(FACTS[name]):
        if not field.required:
            assert not getattr(event.fact, field.name)
