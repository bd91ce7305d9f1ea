"""Keys: the list, a key with its history, and what may be done with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from flask import Response, request, url_for
from msgspec.structs import astuple

from commands.reissue_key import Reissued, reissue_key
from commands.revoke_key import revoke_key
from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.streams import key as keys
from ledger.streams.key import KEY, Status
from ledger.translation import gettext as _
from projections.lists import keys as key_list
from projections.lists.keys import KeyQuery, KeyView, key_view
from projections.lists.replaced_keys import as_seen
from projections.views.account_at import Moment
from web.api.requests import PAGE_MAX
from web.app import checkpoints, responses
from web.app.auth import ADMIN, RESELLER, SUPPORT
from web.app.context import app_state, request_context, services
from web.app.csv_responses import csv_reply
from web.console import paging, parameters, session
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.console.timeline import recent
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to, with_headers

PAGE_SIZE: Final = 50
_STATUSES: Final[tuple[str, ...]] = get_args(Status)
_MESSAGES: Final = {"revoked": good(_l("The key is revoked."))}
_FILTERS: Final = ("status", "product", "reseller", "batch", "redeemed_by")


@bp.get("/keys")
@roles_required(*session.ALL)
def show_keys() -> Response:
    """List keys; a reseller's own."""
    query = _query()
    of = "console keys", session.reseller(), query
    tables, now = app_state().wiring.tables, Moment(request_context().now)
    after = paging.after(of)
    if request.args.get("as") == "csv":
        pages = _all(query, now)
        rows = ([astuple(one) for one in some] for some in pages)
        return with_headers(csv_reply(KeyView.__struct_fields__, rows, "keys"))
    found = key_list.list_keys(services().book, tables, query, now, after=after, limit=PAGE_SIZE)
    return page(
        "console/keys.html",
        keys=as_seen(services().book, found.keys, session.reseller()),
        query=query,
        older=paging.older(of, found.next, "console.show_keys", _FILTERS),
        statuses=_STATUSES,
        products=[(one.id, one.name) for one in services().catalog.products],
    )


def _all(query: KeyQuery, now: Moment) -> Iterator[list[KeyView]]:
    book, tables, after = services().book, app_state().wiring.tables, None
    reseller = session.reseller()
    while True:
        found = key_list.list_keys(book, tables, query, now, after=after, limit=PAGE_MAX)
        yield as_seen(book, found.keys, reseller)
        after = found.next
        if after is None:
            return


@bp.get("/keys/<key>")
@roles_required(*session.ALL)
def show_key(
    key: str, message: FlashMessage | None = None, reissued: Reissued | None = None
) -> Response:
    """Show a key, and what happened to it.

    Args:
        reissued: the new code that took its place just now.

    Raises:
        KeyNotFound: never issued, or another reseller's.
    """
    loaded = services().book.load(KEY, keys.stream_id(key))
    view = key_view(keys.owned(loaded.state, session.reseller()), request_context().now)
    (view,) = as_seen(services().book, [view], session.reseller())
    return page(
        "console/key.html",
        message=message or flashed(_MESSAGES),
        key=view,
        reissued=reissued,
        history=recent(view.id),
        may_revoke=session.may(ADMIN, RESELLER) and view.status in ("issued", "lapsed"),
        may_reissue=session.may(ADMIN, RESELLER, SUPPORT) and view.status in ("issued", "redeemed"),
    )


@bp.post("/keys/<key>/revoke")
@roles_required(ADMIN, RESELLER)
def revoke(key: str) -> Response:
    """Take a key back before anybody redeems it."""
    try:
        reason, reseller = parameters.reason(), session.reseller()
        revoke_key(services(), request_context(), key, reason, reseller=reseller)
    except Refusal as refusal:
        return show_key(key, refusal_message(refusal))
    return redirect_to(url_for("console.show_key", key=key, done="revoked"))


@bp.post("/keys/<key>/reissue")
@roles_required(ADMIN, RESELLER, SUPPORT)
def reissue(key: str) -> Response:
    """Give a key's holder a new code, and show it."""
    try:
        reason, reseller = parameters.reason(), session.reseller()
        found = reissue_key(services(), request_context(), key, reason, reseller=reseller)
    except Refusal as refusal:
        return show_key(key, refusal_message(refusal))
    return show_key(found.id, good(_l("The old code works no more.")), found)


@bp.get("/keys/<key>/receipt")
@roles_required(*session.ALL)
def download_receipt(key: str) -> Response:
    """Send a receipt of a key, a file that proves itself offline."""
    now = request_context().now
    found = checkpoints.key_receipt(app_state().wiring, key, session.reseller(), now)
    return with_headers(responses.file(found, f"{key}.tlog-proof"))


def _query() -> KeyQuery:
    """Read which keys are asked for.

    Raises:
        InvalidRequest: a filter does not fit.
    """
    wanted = {name: parameters.query(name) for name in _FILTERS}
    status: Status | None = None
    if wanted.pop("status"):
        status = next((one for one in get_args(Status) if one == request.args["status"]), None)
        if status is None:
            one_of = _("must be one of %(statuses)s", statuses=", ".join(_STATUSES))
            raise InvalidRequest(FieldError("/status", one_of))
    query = KeyQuery(status=status, **wanted)
    # Whatever a reseller asks for, it is of its own.
    reseller = session.reseller()
    return query if reseller is None else query._replace(reseller=reseller)
