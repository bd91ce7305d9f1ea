"""The timeline: events as people read them, newest first, found by anything that they name.

    position  event                    summary
        1207  account.seat_released@1  Holder till-1 gave its Cloud POS seat back, by portal
        1203  account.seat_occupied@1  Holder till-1 (“Front desk”) took a Cloud POS seat, by portal

The table has one row for each event and each thing that it names (`timeline_table`, `references`),
so that a page costs the same however long the ledger is. It holds ids, names of events and times;
what happened is read from the ledger. A text that may mean several things, since an account and a
holder may bear the same id, is looked up as all of them.

Who reads sees what that reader may (`Visibility`): free text or not, another reseller's keys never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from string import ascii_lowercase
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from ledger.book import Book
from ledger.catalog import Catalog
from ledger.events import AnyEvent, Fact, Sealed
from ledger.reseller_names import folded, same
from ledger.sealing import Texts
from ledger.streams import granters, people
from ledger.streams import key as keys
from ledger.streams.account.facts import SubscriptionChange
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.key import KEY, KeyAmended, KeyIssued
from projections.answer import AccountAnswer, Answer, Next, Position, Time, doc
from projections.lists import reseller_names
from projections.lists.catch_up import read
from projections.lists.references import EVERYTHING, Reference, meanings, named, seat_of
from projections.lists.stores.tables import Params, Tables, Value, to_number
from projections.lists.timeline_table import TIMELINE
from projections.text.event_descriptions import sentence
from projections.text.formatting import ERASED, NOT_SHOWN, DisplayNames, Opened

# So many keys are looked at that show alike.
KEYS_MAX: Final = 20
# Kinds of things that a reseller may look its own keys and batches up by.
_FOR_RESELLERS: Final = frozenset({"key", "masked", "batch", "order"})
# Kinds of those who ask for things and are named by what they asked for.
_ACTORS: Final = frozenset({"token", "person", "visit"})


class Visibility(NamedTuple):
    """What a reader may see.

    Attributes:
        texts: what opens free text; None for a reader who may see none.
        found: whether to tell why a code was not available; the portal must not learn it, lest it
            could tell a guessed code that was redeemed from one that there never was.
        reseller: of a reader who sees nothing but that reseller's keys and batches; any spelling.
        staffs_texts: whether to open what staff wrote: their reasons and notes, which are for
            themselves; the portal's reader sees labels and what the portal itself said.
    """

    texts: Texts | None
    found: bool = True
    reseller: str | None = None
    staffs_texts: bool = True


class TimelineQuery(NamedTuple):
    """Which events; None for any.

    Attributes:
        ref: what they name; None for all of the account, or of the whole ledger.
        account: whose they are.
        event: what happened, with or without the version of its shape.
        actor: who asked for them.
        start, end: recorded from the one moment on, and before the other.
        as_of, known_at: occurred, and recorded, by then.
    """

    ref: str | None = None
    account: str | None = None
    event: str | None = None
    actor: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    as_of: datetime | None = None
    known_at: datetime | None = None


class DescribedEvent(NamedTuple):
    """An event as people read it.

    Attributes:
        actor_role: what the actor's token stands for, or what the person was the last time it
            signed in; None for another actor.
        data: the fact as JSON has it, free text opened, or words in its place.
    """

    event: AnyEvent
    actor_role: str | None
    summary: str
    refs: list[str]
    data: dict[str, Any]


class EventView(Answer, frozen=True):
    """An entry as JSON has it."""

    position: Annotated[int, Meta(ge=1), doc(None, 1234)]
    event: Annotated[
        str,
        doc("What happened, and in which version of its shape.", "account.seat_occupied@1"),
    ]
    recorded_at: Annotated[Time, doc("When the ledger wrote it.")]
    occurred_at: Annotated[Time, doc("When it became true.")]
    actor: Annotated[
        str, doc("A token's id, a person's, `operator`, `stripe`, or a customer's visit.")
    ]
    actor_role: Annotated[str | None, doc("What the token stands for, or the person is.", "portal")]
    request_id: str
    causation: Annotated[
        str | None, doc("The event that it follows from, as `<stream>/<version>`.")
    ]
    summary: Annotated[
        str,
        doc(
            "The event in one sentence.",
            "Key POS-••••-••••-7K2M redeemed: 5 Cloud POS seats until 21 Nov 2027, by portal",
        ),
    ]
    refs: Annotated[
        list[str],
        doc(
            "Everything else that it names; each is a `ref`.",
            ["acme", "key_c5nfx2ynqk7tq3bd5xw4a6bl7m"],
        ),
    ]
    data: Annotated[
        dict[str, Any],
        doc(
            "The fact. Free text is opened for those who may see it; else it says `(not shown)`,"
            " and `(erased)` when its key was destroyed.",
            {"product": "cloud_pos", "tier": None, "holder": "till-1"},
        ),
    ]


class TimelineView(Answer, frozen=True):
    """A page of events, the newest first."""

    items: list[EventView]
    next: Next
    position: Position


class AccountTimelineView(AccountAnswer, frozen=True):
    """A page of an account's events, the newest first."""

    items: list[EventView]
    next: Next


class TimelinePage(NamedTuple):
    """Some entries, newest first.

    Attributes:
        next: where the next page goes on (`after`); None when there is none.
        position: of the last event that the answer takes into account.
    """

    entries: list[DescribedEvent]
    next: int | None
    position: int

    @property
    def items(self) -> list[EventView]:
        """Return the entries as the API has them, in the page's order."""
        return [
            EventView(
                one.event.position,
                one.event.name,
                one.event.recorded_at,
                one.event.occurred_at,
                one.event.actor,
                one.actor_role,
                one.event.request_id,
                one.event.causation,
                one.summary,
                one.refs,
                one.data,
            )
            for one in self.entries
        ]


def timeline(
    book: Book,
    tables: Tables,
    catalog: Catalog,
    query: TimelineQuery,
    visibility: Visibility,
    *,
    after: int | None = None,
    limit: int,
) -> TimelinePage:
    """Return a page of the timeline, with everything recorded so far.

    Args:
        after: the `next` of the page before; None for the first.
    """
    refs = _looked_up(query, visibility)
    refs += _of_masked(book, tables, refs)
    refs = _without_requests(book, tables, refs)
    if not refs:
        return TimelinePage([], None, book.head())
    if visibility.reseller is not None:
        reseller_names.note_all(book, tables)
    select, params = _select(query, [str(ref) for ref in refs], visibility, after, limit + 1)
    result = read(book, tables, TIMELINE, select, params)
    found = sorted({row[0] for row in result.rows}, reverse=True)[: limit + 1]
    shown = found[:limit]
    following = shown[-1] if len(found) > limit else None
    events = _events(book, shown)
    return TimelinePage(entries(book, catalog, events, visibility), following, result.position)


_WHOSE: Final = "SELECT reseller FROM keyfold_timeline_2 WHERE ref = :ref AND position = :position"


def is_of(book: Book, tables: Tables, position: int, reseller: str | None) -> bool:
    """Return whether an event was a reseller's when it happened; of the vendor (None) all are."""
    if reseller is None:
        return True
    params: Params = {"ref": str(EVERYTHING), "position": position}
    rows = read(book, tables, TIMELINE, _WHOSE, params).rows
    return any(whose is not None and same(whose, reseller) for (whose,) in rows)


def tells_of_another(fact: Fact, reseller: str | None) -> bool:
    """Return whether a fact says what a key was while another reseller had it."""
    return (
        reseller is not None
        and isinstance(fact, KeyAmended)
        and not same(fact.before.reseller, reseller)
    )


def entries(
    book: Book, catalog: Catalog, events: Sequence[AnyEvent], visibility: Visibility
) -> list[DescribedEvent]:
    """Return events as sentences that a reader may see, in the order given."""
    seen = [_as_seen(event, visibility) for event in events]
    actors = _actors(book, {event.actor for event in seen})
    names = DisplayNames(catalog, _issued(book, seen), actors, _opened(visibility, seen, actors))
    return [
        DescribedEvent(
            event,
            names.actors.get(event.actor),
            sentence(event, names),
            _shown_refs(event),
            _data(event, names.texts, visibility),
        )
        for event in seen
    ]


# Asking


def _looked_up(query: TimelineQuery, visibility: Visibility) -> list[Reference]:
    """Return the references whose rows are to be read; none when there can be no rows."""
    found = [Reference("account", query.account)] if query.account is not None else []
    if query.ref is not None:
        found = [_within(one, query.account) for one in meanings(query.ref)]
    elif query.account is None:
        return [_of_actor(query.actor) or EVERYTHING]
    if visibility.reseller is not None:
        found = [one for one in found if one.kind in _FOR_RESELLERS]
    return found


def _of_actor(actor: str | None) -> Reference | None:
    """Return the reference that all events of an actor name; None when there is none.

    A token, a person and a visit are named by whatever they asked for. To read those rows saves
    passing over everything that others did since. That these are the actor's remains a condition:
    some tell of a token that somebody else made.
    """
    if actor is None:
        return None
    found = meanings(actor)[0]
    return found if found.kind in _ACTORS and found.id == actor else None


_ISSUED: Final = """
    SELECT position FROM keyfold_timeline_2 WHERE ref = :ref AND event = 'key.issued'
    ORDER BY position DESC LIMIT :limit
"""


def _of_masked(book: Book, tables: Tables, refs: Sequence[Reference]) -> list[Reference]:
    """Return the keys that a masked code may be of: what happened to them does not name it."""
    found: list[Reference] = []
    for ref in refs:
        if ref.kind == "masked":
            params: Params = {"ref": str(ref), "limit": KEYS_MAX}
            positions = [row[0] for row in read(book, tables, TIMELINE, _ISSUED, params).rows]
            issued = (event.fact for event in _events(book, positions))
            found += [Reference("key", one.key) for one in issued if isinstance(one, KeyIssued)]
    return found


def _without_requests(book: Book, tables: Tables, refs: list[Reference]) -> list[Reference]:
    """Leave the request out if something else bears the same id.

    Callers of the API choose the ids of their requests. One that was called like an account must
    not be shown among what happened to that.
    """
    things = [one for one in refs if one.kind != "request"]
    if len(things) in (0, len(refs)):
        return refs
    if {one.id for one in refs if one.kind == "request"}.isdisjoint(one.id for one in things):
        return refs
    params: Params = {f"ref_{ascii_lowercase[n]}": str(one) for n, one in enumerate(things)}
    parts = [f"SELECT position FROM keyfold_timeline_2 WHERE ref = :{name}" for name in params]  # noqa: S608
    select = f"SELECT position FROM ({' UNION ALL '.join(parts)}) AS things LIMIT 1"  # noqa: S608
    return things if read(book, tables, TIMELINE, select, params).rows else refs


def _within(one: Reference, account: str | None) -> Reference:
    """Return a holder of one account, when only that one is asked about."""
    return seat_of(account, one.id) if one.kind == "holder" and account is not None else one


def _select(
    query: TimelineQuery, refs: Sequence[str], visibility: Visibility, after: int | None, limit: int
) -> tuple[str, Params]:
    params: dict[str, Value] = {
        "event": query.event and query.event.partition("@")[0],
        "actor": query.actor,
        "reseller_id": visibility.reseller and folded(visibility.reseller),
        "starts": to_number(query.start),
        "ends": to_number(query.end),
        "as_of": to_number(query.as_of),
        "known_at": to_number(query.known_at),
        "account": f"account:{query.account}",
        "after": after,
        "limit": limit,
    }
    conditions = " AND ".join(["", *_conditions(query, visibility, after)])
    parts = []
    for number, ref in enumerate(refs):
        name = f"ref_{ascii_lowercase[number]}"
        params[name] = ref
        # Each reads its own range of the primary key, backwards, and no more of it than the page.
        parts.append(
            "SELECT * FROM (SELECT timeline.position FROM keyfold_timeline_2 AS timeline"  # noqa: S608
            f" WHERE timeline.ref = :{name}{conditions}"
            f" ORDER BY timeline.position DESC LIMIT :limit) AS of_{name}"
        )
    return " UNION ALL ".join(parts), params


def _conditions(query: TimelineQuery, visibility: Visibility, after: int | None) -> Iterator[str]:
    for wanted, condition in (
        (query.event, "timeline.event = :event"),
        (query.actor, "timeline.actor = :actor"),
        (visibility.reseller, f"timeline.reseller IN ({reseller_names.SPELLINGS})"),
        (query.start, "timeline.recorded_at >= :starts"),
        (query.end, "timeline.recorded_at < :ends"),
        (query.as_of, "timeline.occurred_at <= :as_of"),
        (query.known_at, "timeline.recorded_at <= :known_at"),
        (after, "timeline.position < :after"),
    ):
        if wanted is not None:
            yield condition
    if query.account is not None and query.ref is not None:
        yield (
            "EXISTS (SELECT 1 FROM keyfold_timeline_2 AS whose"
            " WHERE whose.ref = :account AND whose.position = timeline.position)"
        )


def _events(book: Book, positions: Sequence[int]) -> list[AnyEvent]:
    """Return the events at some positions, newest first."""
    return book.events_at(positions)[::-1]


# Telling


def _as_seen(event: AnyEvent, visibility: Visibility) -> AnyEvent:
    """Return an event without what its reader must not learn."""
    fact = event.fact
    if isinstance(fact, KeyAmended) and tells_of_another(fact, visibility.reseller):
        before = msgspec.structs.replace(fact.after, reseller=NOT_SHOWN)
        return msgspec.structs.replace(event, fact=msgspec.structs.replace(fact, before=before))
    if visibility.found or not isinstance(fact, RedemptionRefused) or fact.found is None:
        return event
    hidden = msgspec.structs.replace(fact, found=NOT_SHOWN, key_version=None)
    return msgspec.structs.replace(event, fact=hidden)


def _issued(book: Book, events: Iterable[AnyEvent]) -> dict[str, KeyIssued]:
    """Return the keys that the events are about, as they were issued."""
    wanted: set[str] = set()
    for event in events:
        fact = event.fact
        if event.stream.startswith("key-"):
            wanted.add(keys.stream_id(event.stream.replace("key-", "key_", 1)))
            wanted |= {keys.stream_id(id) for id in _others(event)}
        elif isinstance(fact, SubscriptionChange):
            wanted.add(fact.subscription.removeprefix("kfsub_"))
    loaded = book.load_many(KEY, sorted(wanted)) if wanted else {}
    return {one.state.issued.key: one.state.issued for one in loaded.values() if one.state}


def _others(event: AnyEvent) -> list[str]:
    named = (getattr(event.fact, field, None) for field in ("replaces", "replaced_by"))
    return [id for id in named if isinstance(id, str)]


def _actors(book: Book, ids: Iterable[str]) -> dict[str, str]:
    wanted = (id for id in ids if id.startswith("kft_") or people.is_person(id))
    return {
        id: f"reseller {one.reseller}" if one.reseller else one.role
        for id, one in granters.look_up(book.load_all, wanted).items()
        if one is not None and one.role is not None
    }


def _opened(
    visibility: Visibility, events: Iterable[AnyEvent], actors: Mapping[str, str]
) -> Opened:
    if visibility.texts is None:
        return None
    sealed: list[Sealed] = []
    hidden: dict[Sealed, str] = {}
    for event in events:
        is_staffs = not visibility.staffs_texts and not _is_portals(event.actor, actors)
        for name, one in _sealed(event):
            if is_staffs and name != "label":
                hidden[one] = NOT_SHOWN
            else:
                sealed.append(one)
    opened = zip(sealed, visibility.texts.open_all(sealed), strict=True)
    return hidden | {one: text for one, text in opened if text is not None}


def _is_portals(actor: str, actors: Mapping[str, str]) -> bool:
    """Return whether the portal asked for something, or one of its customers on the pages."""
    return actor.startswith("kfp_") or actors.get(actor) == "portal"


def _sealed(event: AnyEvent) -> list[tuple[str, Sealed]]:
    values = ((name, getattr(event.fact, name)) for name in type(event.fact).__struct_fields__)
    return [(name, value) for name, value in values if isinstance(value, Sealed)]


def _shown_refs(event: AnyEvent) -> list[str]:
    """Return what else may be looked up; the holder of one account is the holder, for readers."""
    found = (text.partition(":") for text in named(event))
    return list(dict.fromkeys(id for kind, _, id in found if kind != "seat"))


def _data(event: AnyEvent, opened: Opened, visibility: Visibility) -> dict[str, Any]:
    fact = event.fact
    data: dict[str, Any] = {}
    for name in type(fact).__struct_fields__:
        value = getattr(fact, name)
        if name == "before" and tells_of_another(fact, visibility.reseller):
            continue
        if isinstance(value, Sealed):
            data[name] = _text(value, opened)
        else:
            data[name] = msgspec.to_builtins(value, builtin_types=(datetime,))
    return data


def _text(sealed: Sealed, opened: Opened) -> str:
    return NOT_SHOWN if opened is None else opened.get(sealed, ERASED)
