"""Every fact has a sentence, whatever is in it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger import codec
from ledger.catalog import builtin
from ledger.codec import FACTS
from ledger.events import AnyEvent
from ledger.money import written
from ledger.store.contract import Row
from projections.lists.references import FIELDS, Reference, meanings, references
from projections.text.event_descriptions import sentence
from projections.text.formatting import DisplayNames, about, counted, day, seats
from tests.ledger.test_golden_events import load
from tests.worlds import DAY, MINUTE, NOON, SECOND

NAMES = DisplayNames(builtin(), {}, {}, {})
# Facts in each stream that they are recorded in; Stripe's may be in any of three.
PLACES = [(stream.kind, name) for stream in codec.STREAMS for name in stream.facts]


def stored(kind: str, name: str, filled: str) -> AnyEvent:
    state, _ = load(name, filled)
    return codec.decode(Row(1, f"{kind}-x", 1, name, state))


@pytest.mark.parametrize("filled", ["full", "minimal"])
@pytest.mark.parametrize(("kind", "name"), PLACES)
def test_every_fact_has_a_sentence_of_its_own(kind: str, name: str, filled: str) -> None:
    event = stored(kind, name, filled)
    said = sentence(event, NAMES)
    assert type(event.fact).__name__ not in said
    assert "None" not in said
    assert ", by " in said
    assert "\n" not in said


@pytest.mark.parametrize("name", FACTS)
def test_every_field_that_looks_like_a_name_of_something_is_a_reference(name: str) -> None:
    (kind, _) = next((kind, of) for kind, of in PLACES if of == name)
    event = stored(kind, name, "full")
    ids = {ref.id for ref in references(event)}
    for field in type(event.fact).__struct_fields__:
        value = getattr(event.fact, field)
        if isinstance(value, str) and field in FIELDS:
            assert value in ids
        if isinstance(value, str) and value.startswith(
            ("key_", "bat_", "kfsub_", "kft_", "sub_", "cus_", "in_", "evt_", "cs_", "ch_", "dp_")
        ):
            assert value in ids or field in NOT_NAMED, (field, value)


# Codes of refusals, which look like ids; and what nobody looks for.
NOT_NAMED = {"refusal", "schedule"}


def test_a_text_is_looked_up_as_all_that_it_may_be() -> None:
    anybody = [Reference("account", "x"), Reference("holder", "x"), Reference("request", "x")]
    assert meanings(" x ") == anybody
    assert meanings("key_x")[0] == Reference("key", "key_x")
    assert meanings("sub_1Abc")[0] == Reference("stripe", "sub_1Abc")
    assert meanings("pos-****-****-7k2m") == [Reference("masked", "POS-••••-••••-7K2M")]
    assert meanings("POS-••••-••••-7K2M") == meanings("POS-****-****-7K2M")


def test_numbers_days_and_money_are_written_as_people_write_them() -> None:
    assert day(NOON) == "1 Mar 2026"
    assert [counted(n, "seat") for n in (0, 1, 2)] == ["0 seats", "1 seat", "2 seats"]
    assert seats(NAMES.catalog, 1, "integrations", "growth") == "1 Integrations Growth seat"
    assert seats(NAMES.catalog, 2, "gone", "away") == "2 gone away seats"
    assert [about(one) for one in (3 * DAY, timedelta(hours=1), 90 * SECOND, SECOND)] == [
        "3 days", "1 hour", "1 minute", "1 second"
    ]  # fmt: skip
    amounts = (1900, "eur"), (500, "jpy"), (1500, "kwd"), (None, None)
    assert [written(*one) for one in amounts] == [
        "EUR 19.00", "JPY 500", "KWD 1.500", "an unknown amount"
    ]  # fmt: skip
    assert about(MINUTE) == "1 minute"
