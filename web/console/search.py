"""The search box: any reference leads to its page, or to its timeline.

It is sent in a form, never in an address, so that it may hold a whole code. From then on the code
is known by its key's id.
"""

from __future__ import annotations

from typing import Final

from flask import Response, url_for

from ledger.refusals import InvalidRequest
from ledger.streams import key as keys
from ledger.streams.account.decisions import ACCOUNT
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.key import KEY
from projections.lists.timeline import TimelineQuery
from web.app.context import app_state, services
from web.app.references import known_ref
from web.console import form_fields, session
from web.console.batches import owned_batch
from web.console.rendering import page
from web.console.timeline import listed
from web.html.flash import Saying
from web.html.rendering import see

_LATEST: Final = 10


def show_home() -> Response:
    """Show the search box, and what happened last."""
    return _home(None)


def search() -> Response:
    """Lead to what somebody looks for."""
    try:
        ref = form_fields.sent("ref", form_fields.REF_LENGTH_MAX)
    except InvalidRequest:
        return _home(Saying("bad", "This is no reference", [_WHAT], 422))
    if ref is None:
        return _home(Saying("warn", "Enter what you look for", [_WHAT], 422))
    may_learn = session.bound() is None
    ref = known_ref(services(), ref, may_learn=may_learn)
    if app_state().redactor.holds_secret(ref, may_learn=may_learn):
        return _home(Saying("bad", "This has a code or a token in it", [_ALONE], 422))
    return see(_place_of(ref))


_WHAT: Final = (
    "An account, a key or its code, a batch, a holder, an id of Stripe's, or the id of a request."
)
_ALONE: Final = "Look for a code alone, with nothing around it; a token is found by its id, kft_…."


def _home(said: Saying | None) -> Response:
    latest = listed(TimelineQuery(), _LATEST).entries
    return page("home.html", said.status if said else 200, said=said, latest=latest)


def _place_of(ref: str) -> str:
    """Answer the address of what a reference means: its page, if it is sure to have one."""
    if ref.startswith("key_") and _sees_key(ref):
        return url_for("console.show_key", key=ref)
    if ref.startswith("bat_") and owned_batch(ref):
        return url_for("console.show_batch", batch=ref)
    if session.bound() is None and _is_account(ref):
        return url_for("console.show_account", account=ref)
    return url_for("console.show_timeline", ref=ref)


def _sees_key(id: str) -> bool:
    key = services().book.load(KEY, keys.stream_id(id)).state
    return key is not None and session.bound() in (None, key.issued.reseller)


def _is_account(ref: str) -> bool:
    book = services().book
    return bool(book.load(ACCOUNT, ref).version or book.load(ATTEMPTS, ref).version)
