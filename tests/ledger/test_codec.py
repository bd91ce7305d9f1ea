"""Between events and what is stored of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from ledger import codec
from ledger.book import Book, Change
from ledger.codec import FACTS, STREAMS, UPCASTS, UnknownEvent, Upcast
from ledger.events import AnyEvent, Envelope, Event, Fact
from ledger.store.contract import Row
from ledger.streams.account.facts import SeatOccupied
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.key import KeyRevoked
from tests.ledger.facts import ANY_FACT, NAMES, TIMES
from tests.worlds import NOON, context

ENVELOPES = st.builds(
    Envelope[Fact],
    fact=ANY_FACT,
    recorded_at=TIMES,
    occurred_at=TIMES,
    actor=NAMES,
    request_id=NAMES,
    causation=st.one_of(st.none(), NAMES),
    test_clock=st.booleans(),
)


def row_of(envelope: Envelope[Fact], name: str | None = None) -> Row:
    return Row(7, "s-1", 3, name or codec.name_of(envelope.fact), codec.encode(envelope))


@given(ENVELOPES)
def test_every_fact_comes_back_as_it_was(envelope: Envelope[Fact]) -> None:
    row = row_of(envelope)
    expected: AnyEvent = Event(
        fact=envelope.fact,
        recorded_at=envelope.recorded_at,
        occurred_at=envelope.occurred_at,
        actor=envelope.actor,
        request_id=envelope.request_id,
        causation=envelope.causation,
        test_clock=envelope.test_clock,
        position=7,
        stream="s-1",
        version=3,
        name=row.name,
    )
    assert codec.decode(row) == expected


@given(ENVELOPES)
def test_a_state_can_be_read_with_no_program_of_ours(envelope: Envelope[Fact]) -> None:
    state: dict[str, Any] = json.loads(codec.encode(envelope))
    assert list(state) == [
        "fact",
        "recorded_at",
        "occurred_at",
        "actor",
        "request_id",
        "causation",
        "test_clock",
    ]
    assert list(state["fact"]) == [field.name for field in msgspec.structs.fields(envelope.fact)]
    for time in ("recorded_at", "occurred_at"):
        assert state[time].endswith("Z")
        assert datetime.fromisoformat(state[time]) == getattr(envelope, time)


def test_a_state_is_the_one_that_the_module_shows() -> None:
    fact = SeatOccupied(product="cloud_pos", tier=None, holder="till-1")
    envelope: Envelope[Fact] = Envelope(
        fact=fact, recorded_at=NOON, occurred_at=NOON, actor="kft_…", request_id="req_…"
    )
    assert json.loads(codec.encode(envelope)) == {
        "fact": {"product": "cloud_pos", "tier": None, "holder": "till-1", "label": None},
        "recorded_at": "2026-03-01T12:00:00Z",
        "occurred_at": "2026-03-01T12:00:00Z",
        "actor": "kft_…",
        "request_id": "req_…",
        "causation": None,
        "test_clock": False,
    }


def test_times_keep_their_microseconds() -> None:
    at = datetime(2026, 3, 1, 9, 0, 0, 1, tzinfo=UTC)
    envelope: Envelope[Fact] = Envelope(
        fact=KeyRevoked(), recorded_at=at, occurred_at=at, actor="a", request_id="r"
    )
    assert b"2026-03-01T09:00:00.000001Z" in codec.encode(envelope)
    assert codec.decode(row_of(envelope)).recorded_at == at


def test_names_and_facts_belong_together_one_to_one() -> None:
    pairs = {pair for stream in STREAMS for pair in stream.facts.items()}
    assert pairs == set(FACTS.items())
    assert len({fact for _, fact in pairs}) == len(pairs)
    assert len({stream.kind for stream in STREAMS}) == len(STREAMS)


def test_every_fact_there_is_has_a_name() -> None:
    def below(fact: type[Fact]) -> set[type[Fact]]:
        return {fact}.union(*(below(one) for one in fact.__subclasses__()))

    ours = {fact for fact in below(Fact) - {Fact} if fact.__module__.startswith("ledger.")}
    assert ours == set(FACTS.values())


STATE = b'{"fact":{},"recorded_at":"2026-03-01T12:00:00Z","occurred_at":"2026-03-01T12:00:00Z",'
STATE += b'"actor":"operator","request_id":"req_1"}'


@pytest.mark.parametrize("name", ["key.revoked@2", "key.revoked", "key.sold@1", ""])
def test_an_event_of_a_later_release_is_named(name: str) -> None:
    with pytest.raises(UnknownEvent, match=f"position 9 holds '{name}'"):
        codec.decode(Row(9, "key-1", 1, name, STATE))


def test_a_field_that_this_release_does_not_know_is_not_passed_over() -> None:
    state = STATE.replace(b"{}", b'{"reason":null,"colour":"red"}')
    with pytest.raises(msgspec.ValidationError, match="colour"):
        codec.decode(Row(9, "key-1", 1, "key.revoked@1", state))


def test_a_fact_of_another_stream_is_not_taken_for_this_one() -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        codec.decode(Row(9, "key-1", 1, "key.redeemed@1", STATE))


# The first release called a holder a user and knew no tiers; the second split the product off.
RETIRED = {
    "account.user_added@1": Upcast(
        "account.user_added@2",
        lambda state: {**state, "fact": {"user": state["fact"]["user"], "product": "cloud_pos"}},
    ),
    "account.user_added@2": Upcast(
        "account.seat_occupied@1",
        lambda state: {
            **state,
            "fact": {
                "product": state["fact"]["product"],
                "tier": None,
                "holder": state["fact"]["user"],
            },
        },
    ),
}


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("account.user_added@1", b'{"user":"till-1"}'),
        ("account.user_added@2", b'{"user":"till-1","product":"cloud_pos"}'),
        ("account.seat_occupied@1", b'{"product":"cloud_pos","tier":null,"holder":"till-1"}'),
    ],
)
def test_a_retired_shape_is_brought_up_to_date_step_by_step(name: str, fact: bytes) -> None:
    read = codec.decode(Row(9, "account-1", 4, name, STATE.replace(b"{}", fact)), RETIRED)
    assert read.fact == SeatOccupied(product="cloud_pos", tier=None, holder="till-1")
    assert (read.position, read.stream, read.version) == (9, "account-1", 4)
    assert read.name == name  # as it is stored: proofs are over that
    assert read.actor == "operator"


def test_a_book_reads_a_retired_shape_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, upcast in RETIRED.items():
        monkeypatch.setitem(cast(dict[str, Upcast], UPCASTS), name, upcast)
    book = Book("memory:")
    state = STATE.replace(b"{}", b'{"user":"till-1"}')
    book.store.insert_events([StoredEvent("account-acme", 1, "account.user_added@1", state)])
    loaded = book.load(ACCOUNT, "acme")
    assert list(loaded.state.seats) == [("cloud_pos", "till-1")]
    change = Change(loaded, [SeatOccupied(product="cloud_pos", tier=None, holder="till-2")])
    book.append(context(), change)
    assert [event.name for event in book.follow(0)] == [
        "account.user_added@1",
        "account.seat_occupied@1",
    ]


def test_a_chain_that_leads_nowhere_is_an_unknown_event() -> None:
    broken = {"account.user_added@1": RETIRED["account.user_added@1"]}
    row = Row(9, "account-1", 4, "account.user_added@1", STATE.replace(b"{}", b'{"user":"a"}'))
    with pytest.raises(UnknownEvent, match=r"account\.user_added@1"):
        codec.decode(row, broken)


def test_every_retired_name_leads_to_a_present_one() -> None:
    for name in UPCASTS:
        assert name not in FACTS
        seen = {name}
        while (name := UPCASTS[name].name) not in FACTS:
            assert name in UPCASTS
            assert name not in seen
            seen.add(name)


def test_when_an_event_was_recorded_is_read_of_one_that_nobody_knows() -> None:
    envelope: Envelope[Fact] = Envelope(
        fact=KeyRevoked(), recorded_at=NOON, occurred_at=NOON, actor="a", request_id="r"
    )
    assert codec.recorded_at(row_of(envelope, "key.of_tomorrow@1")) == NOON
