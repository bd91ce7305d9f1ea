"""The timeline as the console shows it: sentences, both times, who, in which request, and why.

Everything that an entry names leads on to where it is shown. A reseller sees what happened to its
own keys and batches, and free text is opened for those roles only that may see it over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from flask import Response, abort, request, url_for

from ledger import codec
from ledger.events import AnyEvent
from ledger.store.contract import rows_of
from ledger.streams import batch as batches
from ledger.streams import key as keys
from ledger.streams.attempts import RedemptionRefused
from ledger.streams.batch import BATCH
from ledger.streams.key import KEY
from projections.lists import timeline as told
from projections.lists.timeline import Entry, TimelineQuery
from web.api.timeline import visibility
from web.app import cursors
from web.app.context import app_state, services
from web.app.errors import CODE_IN_URL, HttpProblem
from web.console import form_fields, session
from web.console.rendering import page, url_of_ref
from web.html.rendering import see

PAGE_SIZE: Final = 30
_CAUSE: Final = re.compile(r"(?P<stream>.+)/(?P<version>[1-9][0-9]{0,17})")
_OF_ACCOUNTS: Final = ("account", "attempts")
_PARAMETERS: Final = frozenset(
    {"ref", "account", "event", "actor", "from", "to", "as_of", "known_at", "then"}
)
KINDS: Final = tuple(sorted({name.partition("@")[0] for name in codec.FACTS}))


class Link(NamedTuple):
    """A name, and where it leads; None for a caller who may not look there."""

    text: str
    url: str | None


class Told(NamedTuple):
    """An entry with its links.

    Attributes:
        account: whose it is, if it is an account's.
    """

    entry: Entry
    url: str
    account: str | None
    actor: Link
    request: Link
    cause: Link | None
    named: list[Link]


class Listing(NamedTuple):
    """A page of entries.

    Attributes:
        older: the address of the next page, if there is one.
    """

    entries: list[Told]
    older: str | None
    query: TimelineQuery


def show_timeline() -> Response:
    """Show everything that names something, or everything there is."""
    ref, account = form_fields.asked("ref"), form_fields.asked("account")
    if session.bound() is not None:
        account = None
    return page("timeline.html", listing=listing(ref, account), kinds=KINDS)


def show_event(position: int) -> Response:
    """Show one event, with all that is in it."""
    found = [one for one in at_positions([position]) if _may_see(one)]
    if not found:
        abort(404)
    (one,) = tell(found)
    return page("event.html", one=one)


def show_cause() -> Response:
    """Lead to the event that another one calls its cause: `<stream>/<version>`."""
    named = _CAUSE.fullmatch(form_fields.asked("of") or "")
    if named is None:
        abort(404)
    _, found = services().book.store.read_stream(named["stream"], int(named["version"]) - 1, 1)
    rows = rows_of(named["stream"], found)
    if not rows or not _may_see(codec.decode(rows[0])):
        abort(404)
    return see(url_for("console.show_event", position=rows[0].position))


def listing(ref: str | None, account: str | None) -> Listing:
    """Answer a page of the timeline, as the address asks for it.

    Raises:
        InvalidRequest: a filter does not fit.
        HttpProblem: what is looked for has a code in it.
    """
    if ref and app_state().redactor.holds_secret(ref, may_learn=session.bound() is None):
        raise HttpProblem(CODE_IN_URL, "look for it in the search box")
    query = TimelineQuery(
        ref=ref,
        account=account,
        event=form_fields.asked("event"),
        actor=form_fields.asked("actor"),
        start=form_fields.moment("from", form_fields.asked("from")),
        end=form_fields.moment("to", form_fields.asked("to")),
    )
    return listed(query)


def listed(query: TimelineQuery, size: int = PAGE_SIZE) -> Listing:
    """Answer a page of what a query finds; the address says from where on."""
    of = ("console timeline", session.bound(), query)
    after = cursors.read(services().request_key, of, request.args.get("cursor"))
    found = told.timeline(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        query,
        visibility(),
        after=after,
        limit=size,
    )
    older = None
    if found.next is not None:
        cursor = cursors.write(services().request_key, of, found.next)
        kept = {name: value for name, value in request.args.items() if name in _PARAMETERS}
        here = {**kept, **(request.view_args or {}), "cursor": cursor}
        older = url_for(request.endpoint or "", **here, _anchor="timeline")
    return Listing([_told(one) for one in found.entries], older, query)


def recent(ref: str) -> list[Told]:
    """Answer the last that happened to something."""
    return listed(TimelineQuery(ref=ref)).entries


def tell(events: Iterable[AnyEvent]) -> list[Told]:
    """Tell some events, in their order."""
    found = told.entries(services().book, services().catalog, list(events), visibility())
    return [_told(one) for one in found]


def at_positions(positions: Iterable[int]) -> list[AnyEvent]:
    """Answer the events at some positions, in order; those that there are not are left out."""
    store = services().book.store
    head = services().book.head()
    known = sorted({position for position in positions if 0 < position <= head})
    rows = (store.read_from(position - 1, 1, position) for position in known)
    return [codec.decode(row) for found in rows for row in found]


def _may_see(event: AnyEvent) -> bool:
    """Tell whether the caller may see an event: a reseller only what happened to its own."""
    reseller = session.bound()
    if reseller is None:
        return True
    kind, _, id = event.stream.partition("-")
    if kind == KEY.kind:
        key = services().book.load(KEY, keys.stream_id(f"key_{id}")).state
        return key is not None and key.issued.reseller == reseller
    if kind == BATCH.kind:
        batch = services().book.load(BATCH, batches.stream_id(f"bat_{id}")).state
        return batch is not None and batch.issued is not None and batch.issued.reseller == reseller
    return False


def _told(entry: Entry) -> Told:
    event = entry.event
    kind, _, id = event.stream.partition("-")
    account = id if kind in _OF_ACCOUNTS else None
    named = getattr(event.fact, "account", None)
    accounts = frozenset(one for one in (account, named) if isinstance(one, str))
    apart = {event.actor, event.request_id}
    cause = event.causation
    staff = session.bound() is None
    return Told(
        entry,
        url_for("console.show_event", position=event.position),
        account if staff else None,
        Link(event.actor, _timeline_of(event.actor) if event.actor.startswith("kf") else None),
        Link(event.request_id, _timeline_of(event.request_id)),
        Link(cause, url_for("console.show_cause", of=cause) if staff else None) if cause else None,
        [Link(one, _where(event, one, accounts)) for one in entry.refs if one not in apart],
    )


def _where(event: AnyEvent, ref: str, accounts: frozenset[str]) -> str | None:
    """Answer where something that an event names is shown."""
    fact = event.fact
    if isinstance(fact, RedemptionRefused) and ref == fact.key and not fact.key_version:
        # Nobody may ever have issued it: then it has no page, but a timeline.
        return _timeline_of(ref)
    return url_of_ref(ref, accounts)


def _timeline_of(ref: str) -> str | None:
    return url_for("console.show_timeline", ref=ref) if session.bound() is None else None
