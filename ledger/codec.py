"""Between events and what is stored of them.

An event is stored as its stream, its version, a name with the version of its schema
(`account.seat_occupied@1`), and a state: UTF-8 JSON that can be read with no program of ours.

    {"fact": {"product": "cloud_pos", "tier": null, "holder": "till-1", "label": null},
     "recorded_at": "2026-03-01T09:00:00Z", "occurred_at": "2026-03-01T09:00:00Z",
     "actor": "kft_…", "request_id": "req_…", "causation": null, "test_clock": false}

Names are written down in the stream's module, never taken from classes, so that code can be moved.
A shape that was released loads for ever: when a fact must change, it gets a new schema version, and
`UPCASTS` says how the old JSON becomes the new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec

from ledger.encoding import encoded
from ledger.events import (
    AnyEvent,
    AnyOccurrence,
    Envelope,
    Event,
    Fact,
    Occurrence,
    SnapshotFormat,
    Stream,
)
from ledger.store.contract import Row, StreamRow
from ledger.streams.account import snapshot
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.batch import BATCH
from ledger.streams.console_session import CONSOLE_SESSION
from ledger.streams.key import KEY
from ledger.streams.notice_links import NOTICE_LINKS
from ledger.streams.order import ORDER
from ledger.streams.people import PEOPLE
from ledger.streams.portal_access import PORTAL_ACCESS
from ledger.streams.portal_session import PORTAL_SESSION
from ledger.streams.request import REQUEST
from ledger.streams.reseller import RESELLER
from ledger.streams.session_attempts import SESSION
from ledger.streams.sign_ins import SIGN_INS
from ledger.streams.signing_keys import SIGNING_KEYS
from ledger.streams.stripe_customer import STRIPE_CUSTOMER
from ledger.streams.stripe_event import STRIPE_EVENT
from ledger.streams.stripe_object import STRIPE_OBJECT
from ledger.streams.token import TOKEN
from ledger.streams.webhooks import WEBHOOKS

STREAMS: tuple[Stream[Any], ...] = (
    KEY, ACCOUNT, BATCH, ATTEMPTS, TOKEN, REQUEST, STRIPE_EVENT, STRIPE_CUSTOMER,
    STRIPE_OBJECT, PORTAL_SESSION, PORTAL_ACCESS, CONSOLE_SESSION, SIGN_INS, SIGNING_KEYS, SESSION,
    RESELLER, ORDER, WEBHOOKS, NOTICE_LINKS, PEOPLE,
)  # fmt: skip

# Streams that may be long, of which snapshots are kept.
SNAPSHOT_FORMATS: Mapping[str, SnapshotFormat[Any]] = {ACCOUNT.kind: snapshot.SNAPSHOT_FORMAT}

FACTS: dict[str, type[Fact]] = {
    name: fact for stream in STREAMS for name, fact in stream.facts.items()
}


class Upcast(NamedTuple):
    """How the JSON of a retired schema version becomes that of the next."""

    name: str
    state: Callable[[dict[str, Any]], dict[str, Any]]


class _Recorded(msgspec.Struct):
    recorded_at: datetime


def _without_cookie(state: dict[str, Any]) -> dict[str, Any]:
    # Its cookie was signed, and nothing of it recorded: nobody can go on with the session.
    return {**state, "fact": {**state["fact"], "cookie_digest": ""}}


def _as_it_is(state: dict[str, Any]) -> dict[str, Any]:
    return state


UPCASTS: Mapping[str, Upcast] = {
    "stripe.seats_asked@1": Upcast("stripe.seats_asked@2", _as_it_is),
    "portal_session.opened@1": Upcast("portal_session.opened@2", _without_cookie),
}

_NAMES = {fact: name for name, fact in FACTS.items()}
_DECODERS = {
    name: msgspec.json.Decoder(cast(type[AnyEvent], Event[fact]))  # type: ignore[valid-type]
    for name, fact in FACTS.items()
}
# They leave out what no fold looks at, which makes them half as fast again.
_OCCURRENCES = {
    name: msgspec.json.Decoder(cast(type[AnyOccurrence], Occurrence[fact])).decode  # type: ignore[valid-type]
    for name, fact in FACTS.items()
}
_RECORDED_AT = msgspec.json.Decoder(_Recorded)
_ENCODER = msgspec.json.Encoder()


class UnknownEvent(Exception):
    """The ledger holds an event that this release does not know: upgrade Keyfold."""


def name_of(fact: Fact) -> str:
    """Return the stored name of a fact."""
    return _NAMES[type(fact)]


def encode(envelope: Envelope[Fact]) -> bytes:
    """Return the state to store."""
    return encoded(_ENCODER, envelope)


def encode_event(event: AnyEvent) -> bytes:
    """Return the state to store of an event: all of it but its place."""
    return encode(
        Envelope(
            fact=event.fact,
            recorded_at=event.recorded_at,
            occurred_at=event.occurred_at,
            actor=event.actor,
            request_id=event.request_id,
            causation=event.causation,
            test_clock=event.test_clock,
            clock=event.clock,
        )
    )


def decode(row: Row, upcasts: Mapping[str, Upcast] = UPCASTS) -> AnyEvent:
    """Return a stored event with its fact, as today's code has it, and its place in the ledger.

    Raises:
        UnknownEvent: its name is none of ours.
    """
    decoder = _DECODERS.get(row.name)
    event = decoder.decode(row.state) if decoder else _decode_retired(row, upcasts)
    event.position = row.position
    event.stream = row.stream
    event.version = row.version
    event.name = row.name
    return event


def recorded_at(row: Row) -> datetime:
    """Return when a stored event was recorded, also one whose name is none of ours."""
    return _RECORDED_AT.decode(row.state).recorded_at


def occurrences(rows: Iterable[StreamRow]) -> Iterator[AnyOccurrence]:
    """Yield what a fold needs of one stream's stored events, in their order.

    Raises:
        UnknownEvent: the name of one is none of ours.
    """
    for position, version, name, state in rows:
        decode_known = _OCCURRENCES.get(name)
        if decode_known is not None:
            occurrence = decode_known(state)
            occurrence.position = position
            occurrence.version = version
            yield occurrence
        else:
            yield decode(Row(position, "", version, name, state))


def _decode_retired(row: Row, upcasts: Mapping[str, Upcast]) -> AnyEvent:
    name, state = row.name, msgspec.json.decode(row.state)
    while name in upcasts:
        name, upcast = upcasts[name]
        state = upcast(state)
    if name not in FACTS:
        raise UnknownEvent(f"position {row.position} holds {row.name!r}")
    return _DECODERS[name].decode(msgspec.json.encode(state))
