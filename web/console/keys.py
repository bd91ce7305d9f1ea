"""Keys: the list, a key with its history, and what may be done with one."""

from __future__ import annotations

from typing import Any, Final, get_args

from flask import Response, request, url_for

from commands.reissue_key import Reissued, reissue_key
from commands.revoke_key import revoke_key
from ledger.refusals import FieldError, InvalidRequest, KeyNotFound, Refusal
from ledger.streams import key as keys
from ledger.streams.key import KEY, Status
from projections.lists import keys as key_list
from projections.lists.keys import KeyQuery, KeyView, key_view
from projections.views.account_at import Moment
from web.app import checkpoints, cursors, responses
from web.app.auth import ADMIN, RESELLER, SUPPORT
from web.app.context import app_state, request_context, services
from web.app.errors import REFUSED
from web.console import form_fields, session
from web.console.refusal_messages import saying
from web.console.rendering import page
from web.console.timeline import recent
from web.html import rendering
from web.html.flash import Saying
from web.html.rendering import see

PAGE_SIZE: Final = 50
_STATUSES: Final[tuple[str, ...]] = get_args(Status)
_FILTERS: Final = ("status", "product", "reseller", "batch", "redeemed_by")


def show_keys() -> Response:
    """List keys; a reseller's own."""
    query = _query()
    of = ("console keys", session.bound(), query)
    after = cursors.read(services().request_key, of, request.args.get("cursor"))
    tables, now = app_state().wiring.tables, Moment(request_context().now)
    found = key_list.list_keys(services().book, tables, query, now, after=after, limit=PAGE_SIZE)
    older = None
    if found.next is not None:
        older = _older(cursors.write(services().request_key, of, found.next))
    return page(
        "keys.html",
        keys=found.keys,
        query=query,
        older=older,
        statuses=_STATUSES,
        products=services().catalog.products,
    )


def show_key(key: str) -> Response:
    """Show a key, and what happened to it."""
    said = Saying("good", "The key is revoked.") if request.args.get("done") == "revoked" else None
    return _show(key, said)


def revoke(key: str) -> Response:
    """Take a key back before anybody redeems it."""
    try:
        revoke_key(
            services(), request_context(), key, form_fields.reason(), reseller=session.bound()
        )
    except Refusal as refusal:
        return _show(key, saying(refusal))
    return see(url_for("console.show_key", key=key, done="revoked"))


def reissue(key: str) -> Response:
    """Give a key's holder a new code, and show it."""
    try:
        found = reissue_key(
            services(), request_context(), key, form_fields.reason(), reseller=session.bound()
        )
    except Refusal as refusal:
        return _show(key, saying(refusal))
    return _show(found.id, Saying("good", "The old code works no more."), found)


def download_receipt(key: str) -> Response:
    """Answer a receipt of a key, a file that proves itself offline."""
    try:
        found = checkpoints.key_receipt(
            app_state().wiring, key, session.bound(), request_context().now
        )
    except KeyNotFound as refusal:
        return _unknown(refusal)
    return rendering.guarded(responses.file(found, f"{key}.tlog-proof"))


def _show(key: str, said: Saying | None, reissued: Reissued | None = None) -> Response:
    try:
        view = _view(key)
    except KeyNotFound as refusal:
        return _unknown(refusal)
    return page(
        "key.html",
        said.status if said else 200,
        said=said,
        key=view,
        reissued=reissued,
        history=recent(view.id),
        may_revoke=session.may(ADMIN, RESELLER) and view.status in ("issued", "lapsed"),
        may_reissue=session.may(ADMIN, RESELLER, SUPPORT) and view.status in ("issued", "redeemed"),
    )


def _view(id: str) -> KeyView:
    """Answer a key that the caller may see.

    Raises:
        KeyNotFound: never issued, or another reseller's.
    """
    loaded = services().book.load(KEY, keys.stream_id(id))
    owned = keys.owned(loaded.state, session.bound())
    return key_view(owned, request_context().now)


def _unknown(refusal: Refusal) -> Response:
    status = REFUSED[type(refusal)]
    advice = "Look for it by its code, or choose it from the list."
    return page("problem.html", status, title=refusal.title, advice=advice)


def _older(cursor: str) -> str:
    kept: dict[str, Any] = {n: value for n, value in request.args.items() if n in _FILTERS}
    return url_for("console.show_keys", **kept, cursor=cursor)


def _query() -> KeyQuery:
    """Read which keys are asked for.

    Raises:
        InvalidRequest: a filter does not fit.
    """
    wanted = {name: form_fields.asked(name) for name in _FILTERS}
    status: Status | None = None
    if wanted.pop("status"):
        status = next((one for one in get_args(Status) if one == request.args["status"]), None)
        if status is None:
            one_of = f"must be one of {', '.join(_STATUSES)}"
            raise InvalidRequest(FieldError("/status", one_of))
    query = KeyQuery(status=status, **wanted)
    bound = session.bound()
    # Whatever a reseller asks for, it is of its own.
    return query if bound is None else query._replace(reseller=bound)
