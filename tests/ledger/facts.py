"""Any fact of the ledger, for property tests."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st
from msgspec import Struct

from ledger.codec import FACTS
from ledger.events import Event, Fact, Sealed, Stream
from tests.worlds import NOON, SECOND

# Few texts, so that facts speak of the same holders, tiers and subscriptions.
NAMES = st.sampled_from(["a", "b", "Zoë 東京", ""])
TIMES = st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: NAMES,
    int: st.integers(0, 10**12),
    bool: st.booleans(),
    datetime: TIMES,
    types.NoneType: st.none(),
    Sealed: st.builds(Sealed, owner=NAMES, box=NAMES),
}


def any_fact(fact: type[Any]) -> st.SearchStrategy[Any]:
    fields = {name: _values(hint) for name, hint in get_type_hints(fact).items() if name[0] != "_"}
    return st.builds(fact, **fields)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    if hint in _VALUES:
        return _VALUES[hint]
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(_values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(*map(_values, get_args(hint)), max_size=3)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return any_fact(hint)
    return st.one_of([_values(one) for one in get_args(hint)])


ANY_FACT = st.one_of([any_fact(fact) for fact in FACTS.values()])


def any_history(stream: Stream[Any], size_max: int = 12) -> st.SearchStrategy[list[Event[Fact]]]:
    """Return events of a stream in any order, sensible or not, at moments that never go back."""
    facts = st.one_of([any_fact(fact) for fact in stream.facts.values()])
    return st.lists(facts, max_size=size_max).map(
        lambda facts: [
            Event(
                fact=fact,
                recorded_at=NOON + version * SECOND,
                occurred_at=NOON + version * SECOND,
                actor="operator",
                request_id="req_1",
                position=version,
                version=version,
            )
            for version, fact in enumerate(facts, start=1)
        ]
    )
