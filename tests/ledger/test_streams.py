"""What holds for every stream: what its module says, and what its fold may do."""

from __future__ import annotations

import copy
import inspect
import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import strategies as st

from ledger.codec import STREAMS
from ledger.events import Fact, Stream
from ledger.streams.account.state import Account
from ledger.streams.account.stream import ACCOUNT
from ledger.stripe import facts, requests
from tests.drawn import holds_for
from tests.ledger.facts import any_history

# What Stripe reports is recorded in whichever stream it belongs to, as soon as that is known.
SHARED = {
    member
    for module in (facts, requests)
    for _, member in inspect.getmembers(module, inspect.isclass)
    if issubclass(member, Fact) and member.__module__ == module.__name__
}


def _own(stream: Stream[Any]) -> set[type[Fact]]:
    return set(stream.facts.values()) - SHARED


each_stream = pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.kind)


@each_stream
def test_a_streams_module_says_what_it_guards(stream: Stream[Any]) -> None:
    module = sys.modules[stream.fold.__module__]
    doc = module.__doc__ or ""
    lines = [line.partition(":")[0] for line in doc.splitlines()]
    assert [head for head in lines if head in ("Stream", "Facts", "Invariant")] == [
        "Stream",
        "Facts",
        "Invariant",
    ]
    assert f"`{stream.kind}-<" in doc
    listed = doc.partition("Facts:")[2].partition("Invariant:")[0]
    own, _, shared = listed.partition(";")
    assert {name.strip() for name in own.split(",")} == {fact.__name__ for fact in _own(stream)}
    assert ("Stripe" in shared) == any(fact in SHARED for fact in stream.facts.values())


@each_stream
def test_a_streams_module_holds_its_facts_and_no_others(stream: Stream[Any]) -> None:
    module = sys.modules[stream.fold.__module__]
    # A stream that has a package has them in a module of its own there.
    module = sys.modules.get(f"{module.__package__}.facts", module)
    defined = {
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Fact) and member.__module__ == module.__name__
    }
    assert defined == _own(stream)


def test_what_stripe_reports_is_told_in_one_place() -> None:
    told = {fact for stream in STREAMS for fact in stream.facts.values() if fact in SHARED}
    assert told == SHARED


@each_stream
def test_stored_names_begin_with_the_streams_kind(stream: Stream[Any]) -> None:
    for name, fact in stream.facts.items():
        assert name.startswith("stripe." if fact in SHARED else f"{stream.kind}.")
        assert name.partition("@")[2].isdigit()


@each_stream
@holds_for(15, 60, st.data())
def test_a_fold_never_refuses_and_never_changes_what_it_was_given(
    stream: Stream[Any], data: st.DataObject
) -> None:
    events = data.draw(any_history(stream))
    cut = data.draw(st.integers(0, len(events)))
    before = stream.fold(stream.initial, events[:cut])
    kept = copy.deepcopy(before)
    after = stream.fold(before, events[cut:])
    assert before == kept
    assert stream.fold(stream.initial, events) == after
    assert stream.initial == stream.fold(stream.initial, [])


@holds_for(30, 150, any_history(ACCOUNT, size_max=30))
def test_seats_used_are_the_seats_that_are_taken(events: list[Any]) -> None:
    account: Account = ACCOUNT.fold(ACCOUNT.initial, events)
    taken = Counter((seat.product, seat.tier) for seat in account.seats.values())
    assert account.used == dict(taken)
