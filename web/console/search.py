"""The search box: any reference leads to its page, or to its timeline, and what is near is listed.

Near is what has a name, or a word in it, that begins with what was typed, in whatever case, with
whatever dashes, and with or without accents; the last four characters of a code; and if there is
none, what begins alike.

It is sent in a form, never in an address, so that it may hold a whole code. From then on the code
is known by its key's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from flask import Response, url_for

from ledger.refusals import InvalidRequest
from ledger.streams import key as keys
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.key import KEY
from projections.lists.batches import list_batches
from projections.lists.keys import KeyView, key_view
from projections.lists.names import (
    EVERY_KIND,
    FOR_RESELLERS,
    Named,
    NameKind,
    fold,
    named_like,
)
from projections.lists.timeline import TimelineQuery
from web.app.auth import AUDITOR
from web.app.context import app_state, caller, request_context, services
from web.app.references import known_ref
from web.console import batches, parameters, session
from web.console.blueprint import bp
from web.console.resellers import partner
from web.console.session import roles_required
from web.console.timeline import listed
from web.html.flash import FlashMessage, bad, warn
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to

_LATEST: Final = 10
_NEAR_MAX: Final = 10
# Of a kind, before those of other resellers are left out.
_LOOKED_AT_MAX: Final = 200
# Notes are sealed, and opened one by one.
_NOTES_READ_MAX: Final = 200
# So many characters of what was typed are looked for at least, and half of them, if nothing begins
# with all of it.
_TYPED_MIN: Final = 3

_WHAT: Final = _l(
    "An account, a key or its code, a batch, a holder, an id of Stripe's, or the id of a request."
)
_UNREADABLE: Final = bad(_l("This is no reference"), _WHAT, status=422)
_EMPTY: Final = warn(_l("Enter what you look for"), _WHAT, status=422)
_HOLDS_SECRET: Final = bad(
    _l("This has a code or a token in it"),
    _l("Look for a code alone, with nothing around it; a token is found by its id, kft_…."),
    status=422,
)


@bp.get("/")
@roles_required(*session.ALL)
def show_home(message: FlashMessage | None = None) -> Response:
    """Show the search box, what happened last, and to a reseller how things stand."""
    latest = listed(TimelineQuery(), _LATEST).entries
    reseller = session.reseller()
    own = partner(reseller) if reseller is not None else None
    return page("console/home.html", message=message, latest=latest, partner=own)


@bp.post("/search")
@roles_required(*session.ALL)
def search() -> Response:
    """Lead to what somebody looks for."""
    try:
        ref = parameters.form("ref", parameters.REF_LENGTH_MAX)
    except InvalidRequest:
        return show_home(_UNREADABLE)
    if ref is None:
        return show_home(_EMPTY)
    may_learn = session.reseller() is None
    ref = known_ref(services(), ref, may_learn=may_learn)
    if app_state().redactor.holds_secret(ref, may_learn=may_learn):
        return show_home(_HOLDS_SECRET)
    place = _place_of(ref)
    if place is not None:
        return redirect_to(place)
    if listed(TimelineQuery(ref=ref), 1).entries:
        return redirect_to(url_for("console.show_timeline", ref=ref))
    found = _near(ref)
    if len(found.near) == 1 and found.is_called:
        return redirect_to(found.near[0].url)
    return page("console/found.html", found=found)


class Near(NamedTuple):
    """Something that is called like what was typed.

    Attributes:
        key: what is known of it, if it is a key.
        note: of a batch that was ordered with it, where what was typed is in it.
    """

    kind: NameKind
    id: str
    url: str
    key: KeyView | None = None
    note: str | None = None


class Found(NamedTuple):
    """What is near.

    Attributes:
        typed: what somebody looks for.
        looked_for: as much of it, folded, as the names begin with; less than all where nothing
            begins with all of it.
        is_called: whether there is something that is called exactly so but for its case and dashes.
    """

    typed: str
    looked_for: str
    is_called: bool
    near: list[Near]


def _near(ref: str) -> Found:
    """Return what is called like what was typed, or at least begins alike."""
    is_staff = session.reseller() is None
    kinds, limit = (EVERY_KIND, _NEAR_MAX) if is_staff else (FOR_RESELLERS, _LOOKED_AT_MAX)
    book, tables = services().book, app_state().wiring.tables
    typed = fold(ref)
    noted = _noted(typed)
    shortest = min(len(typed), max(_TYPED_MIN, len(typed) // 2))
    for length in range(len(typed), shortest - 1, -1):
        found = named_like(book, tables, typed[:length], kinds=kinds, limit=limit)
        near = _visible(found)[: _NEAR_MAX * len(kinds)] + noted
        if near:
            is_called = length == len(typed) and any(one.term == typed for one in found)
            return Found(ref, typed[:length], is_called, near)
    return Found(ref, typed, False, [])


def _noted(typed: str) -> list[Near]:
    """Return the batches in whose note something is, of the newest, for those who may read it."""
    # What was noted with an order is for the vendor and its reseller.
    if caller().role == AUDITOR or len(typed) < _TYPED_MIN:
        return []
    newest = list_batches(
        services().book,
        app_state().wiring.tables,
        request_context().now,
        services().texts,
        reseller=session.reseller(),
        limit=_NOTES_READ_MAX,
    ).batches
    return [
        Near("batch", one.batch, _url("batch", one.batch), note=one.note)
        for one in newest
        if one.note is not None and typed in fold(one.note)
    ][:_NEAR_MAX]


def _visible(found: Sequence[Named]) -> list[Near]:
    """Return what the caller may see of what was found, each once."""
    ids = {one.id for one in found if one.kind in ("key", "code")}
    loaded = services().book.load_many(KEY, [keys.stream_id(id) for id in sorted(ids)])
    states = [one.state for one in loaded.values() if one.state is not None]
    known = {one.issued.key: one for one in states if one.belongs_to(session.reseller())}
    near: dict[tuple[str, str], Near] = {}
    for one in found:
        key = known.get(one.id)
        if one.kind in ("key", "code"):
            if key is not None:
                view = key_view(key, request_context().now)
                near["key", one.id] = Near("key", one.id, _url("key", one.id), view)
        elif one.kind != "batch" or batches.may_see(one.id):
            near[one.kind, one.id] = Near(one.kind, one.id, _url(one.kind, one.id))
    return list(near.values())


def _url(kind: NameKind, id: str) -> str:
    match kind:
        case "account":
            return url_for("console.show_account", account=id)
        case "reseller":
            return url_for("console.show_keys", reseller=id)
        case "key" | "code":
            return url_for("console.show_key", key=id)
        case "batch":
            return url_for("console.show_batch", batch=id)
        case "holder":
            return url_for("console.show_timeline", ref=id)


def _place_of(ref: str) -> str | None:
    """Return the address of a reference's page, if it has one of its own."""
    if ref.startswith("key_") and _sees_key(ref):
        return url_for("console.show_key", key=ref)
    if ref.startswith("bat_") and batches.may_see(ref):
        return url_for("console.show_batch", batch=ref)
    if session.reseller() is None and _is_account(ref):
        return url_for("console.show_account", account=ref)
    return None


def _sees_key(id: str) -> bool:
    key = services().book.load(KEY, keys.stream_id(id)).state
    return key is not None and key.belongs_to(session.reseller())


def _is_account(ref: str) -> bool:
    book = services().book
    return bool(book.load(ACCOUNT, ref).version or book.load(ATTEMPTS, ref).version)
