"""The timeline as the console shows it: sentences, both times, who, in which request, and why.

Everything that an entry names leads on to where it is shown. A reseller sees what happened to its
own keys and batches, and free text is opened for those roles only that may see it over HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from flask import Response, abort, url_for

from ledger import codec
from ledger.events import AnyEvent
from ledger.store.contract import rows_of
from ledger.streams.attempts import RedemptionRefused
from projections.lists import timeline as timeline_list
from projections.lists.timeline import DescribedEvent, TimelineQuery
from web.api.timeline import visibility
from web.app.context import app_state, services
from web.app.errors import CODE_IN_URL, HttpProblem
from web.console import paging, parameters, session
from web.console.blueprint import bp
from web.console.session import roles_required
from web.html.rendering import page, redirect_to

PAGE_SIZE: Final = 30
_CAUSE: Final = re.compile(r"(?P<stream>.+)/(?P<version>[1-9][0-9]{0,17})")
_OF_ACCOUNTS: Final = ("account", "attempts")
_PARAMETERS: Final = frozenset(
    {"ref", "account", "event", "actor", "from", "to", "as_of", "known_at", "then"}
)
KINDS: Final = tuple(sorted({name.partition("@")[0] for name in codec.FACTS}))


class Listing(NamedTuple):
    """A page of entries.

    Attributes:
        older: the address of the next page, if there is one.
    """

    entries: list[DescribedEvent]
    older: str | None
    query: TimelineQuery


@bp.get("/timeline")
@roles_required(*session.ALL)
def show_timeline() -> Response:
    """Show everything that names something, or everything there is."""
    account = parameters.query("account") if session.reseller() is None else None
    return page("console/timeline.html", listing=listing(account), kinds=KINDS)


@bp.get("/events/<int:position>")
@roles_required(*session.ALL)
def show_event(position: int) -> Response:
    """Show one event, with all that is in it."""
    found = [one for one in at_positions([position]) if _may_see(one)]
    if not found:
        abort(404)
    (one,) = tell(found)
    return page("console/event.html", one=one)


@bp.get("/cause")
@roles_required(*session.ALL)
def show_cause() -> Response:
    """Lead to the event that another one calls its cause: `<stream>/<version>`."""
    named = _CAUSE.fullmatch(parameters.query("of") or "")
    if named is None:
        abort(404)
    _, found = services().book.store.read_stream(named["stream"], int(named["version"]) - 1, 1)
    rows = rows_of(named["stream"], found)
    if not rows or not _may_see(codec.decode(rows[0])):
        abort(404)
    return redirect_to(url_for("console.show_event", position=rows[0].position))


def listing(account: str | None, endpoint: str = "console.show_timeline") -> Listing:
    """Return a page of the timeline, as the address asks for it; of one account or of all.

    Raises:
        InvalidRequest: a filter does not fit.
        HttpProblem: what is looked for has a code in it.
    """
    ref = parameters.query("ref")
    if ref and app_state().redactor.holds_secret(ref, may_learn=session.reseller() is None):
        raise HttpProblem(CODE_IN_URL, "look for it in the search box")
    query = TimelineQuery(
        ref=ref,
        account=account,
        event=parameters.query("event"),
        actor=parameters.query("actor"),
        start=parameters.time("from", parameters.query("from")),
        end=parameters.time("to", parameters.query("to")),
    )
    return listed(query, endpoint=endpoint)


def listed(
    query: TimelineQuery, size: int = PAGE_SIZE, endpoint: str = "console.show_timeline"
) -> Listing:
    """Return a page of what a query finds; the address says from where on.

    Args:
        endpoint: the view that shows the next page.
    """
    of = "console timeline", session.reseller(), query
    found = timeline_list.timeline(
        services().book,
        app_state().wiring.tables,
        services().catalog,
        query,
        visibility(),
        after=paging.after(of),
        limit=size,
    )
    older = paging.older(of, found.next, endpoint, _PARAMETERS, "timeline")
    return Listing(found.entries, older, query)


def recent(ref: str) -> list[DescribedEvent]:
    """Return the last that happened to something."""
    return listed(TimelineQuery(ref=ref)).entries


def tell(events: Iterable[AnyEvent]) -> list[DescribedEvent]:
    """Return some events as they are shown to the caller, in their order."""
    return timeline_list.entries(services().book, services().catalog, list(events), visibility())


def at_positions(positions: Iterable[int]) -> list[AnyEvent]:
    """Return the events at some positions, in order; those that there are not are left out."""
    store = services().book.store
    head = services().book.head()
    known = sorted({position for position in positions if 0 < position <= head})
    rows = (store.read_from(position - 1, 1, position) for position in known)
    return [codec.decode(row) for found in rows for row in found]


def _may_see(event: AnyEvent) -> bool:
    """Return whether the caller may see an event: a reseller only what happened to its own."""
    book, tables = services().book, app_state().wiring.tables
    return timeline_list.is_of(book, tables, event.position, session.reseller())


# Where what an event names is shown; None where the caller may not look.


@bp.app_template_filter()
def url_of_actor(actor: str) -> str | None:
    """Return the address of an actor's page; None unless it has an id of ours."""
    return url_of_ref(actor) if actor.startswith("kf") else None


@bp.app_template_filter()
def url_of_ref(ref: str) -> str | None:
    """Return the address of the timeline of whatever a reference names."""
    return url_for("console.show_timeline", ref=ref) if session.reseller() is None else None


@bp.app_template_filter()
def url_of_cause(cause: str) -> str | None:
    """Return the address of all that had a cause; None for resellers, who are not shown it."""
    return url_for("console.show_cause", of=cause) if session.reseller() is None else None


@bp.app_template_filter()
def account_of(event: AnyEvent) -> str | None:
    """Return the account whose event it is, if it is an account's."""
    kind, _, id = event.stream.partition("-")
    return id if kind in _OF_ACCOUNTS and session.reseller() is None else None


@bp.app_template_filter()
def url_of_named(ref: str, event: AnyEvent) -> str | None:
    """Return the address of the page of something that an event names, or of its timeline."""
    fact = event.fact
    if isinstance(fact, RedemptionRefused) and ref == fact.key and not fact.key_version:
        # Nobody may ever have issued it: then it has no page, but a timeline.
        return url_of_ref(ref)
    if ref.startswith("key_"):
        return url_for("console.show_key", key=ref)
    if ref.startswith("bat_"):
        return url_for("console.show_batch", batch=ref)
    if session.reseller() is None and ref in (account_of(event), getattr(fact, "account", None)):
        return url_for("console.show_account", account=ref)
    return url_of_ref(ref)
