"""The search box: any reference leads to its page, or to its timeline.

It is sent in a form, never in an address, so that it may hold a whole code. From then on the code
is known by its key's id.
"""

from __future__ import annotations

from typing import Final

from flask import Response, url_for

from ledger.refusals import InvalidRequest
from ledger.streams import key as keys
from ledger.streams.account.stream import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.key import KEY
from projections.lists.timeline import TimelineQuery
from web.app.context import app_state, services
from web.app.references import known_ref
from web.console import parameters, session
from web.console.batches import owned_batch
from web.console.blueprint import bp
from web.console.session import roles_required
from web.console.timeline import listed
from web.html.flash import FlashMessage, bad, warn
from web.html.rendering import page, redirect_to

_LATEST: Final = 10


_WHAT: Final = (
    "An account, a key or its code, a batch, a holder, an id of Stripe's, or the id of a request."
)
_UNREADABLE: Final = bad("This is no reference", _WHAT, status=422)
_EMPTY: Final = warn("Enter what you look for", _WHAT, status=422)
_HOLDS_SECRET: Final = bad(
    "This has a code or a token in it",
    "Look for a code alone, with nothing around it; a token is found by its id, kft_….",
    status=422,
)


@bp.get("/")
@roles_required(*session.ALL)
def show_home(message: FlashMessage | None = None) -> Response:
    """Show the search box, and what happened last."""
    latest = listed(TimelineQuery(), _LATEST).entries
    return page("console/home.html", message=message, latest=latest)


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
    return redirect_to(_place_of(ref))


def _place_of(ref: str) -> str:
    """Return the address of what a reference means: its page, if it is sure to have one."""
    if ref.startswith("key_") and _sees_key(ref):
        return url_for("console.show_key", key=ref)
    if ref.startswith("bat_") and owned_batch(ref):
        return url_for("console.show_batch", batch=ref)
    if session.reseller() is None and _is_account(ref):
        return url_for("console.show_account", account=ref)
    return url_for("console.show_timeline", ref=ref)


def _sees_key(id: str) -> bool:
    key = services().book.load(KEY, keys.stream_id(id)).state
    return key is not None and key.belongs_to(session.reseller())


def _is_account(ref: str) -> bool:
    book = services().book
    return bool(book.load(ACCOUNT, ref).version or book.load(ATTEMPTS, ref).version)
