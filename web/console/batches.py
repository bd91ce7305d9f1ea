"""Batches: an order of keys, and their codes, which are shown when it is carried out and, with a
reason that goes on record, again.

An order carries the number of the form that it was sent by, so that one that is sent twice, or
again by the back button, answers with the same keys and issues none anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from flask import Response, request, url_for
from msgspec.structs import astuple, replace

from commands.issue_keys import Issued, IssuedKey, Order, issue_keys
from commands.order_keys import PlacedOrder, order_keys
from ledger.refusals import BatchNotFound, Refusal
from ledger.streams.batch import Batch
from projections.lists.batches import BatchView, owned_batch
from projections.lists.keys import KeyQuery, key_set
from projections.text.formatting import counted
from web.api.batches import batch_page, batch_pages
from web.api.requests import PAGE_MAX
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT
from web.app.code_tables import CODE_COLUMNS, code_rows
from web.app.context import app_state, caller, request_context, services
from web.app.csv_responses import csv_reply
from web.app.many_keys import reissue_batch, reveal_batch, revoke_batch
from web.console import paging, parameters, session
from web.console.blueprint import bp
from web.console.filters import places
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.console.timeline import recent
from web.html import csrf
from web.html.flash import FlashMessage, bad, good, warn
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to, with_headers

_CSV: Final = "csv"
PAGE_SIZE: Final = 50
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_ORDER_MESSAGES: Final = {
    "waiting": warn(
        _l("The order waits for the vendor"), _l("Send it again to see its keys afterwards.")
    ),
    "declined": bad(_l("The order was declined"), _l("Ask the vendor, or order something else.")),
}
_FIELDS: Final = ("product", "seats", "months", "count", "reseller", "redeem_by", "reason")


@bp.get("/issue")
@roles_required(ADMIN, RESELLER)
def show_order(message: FlashMessage | None = None, once: str | None = None) -> Response:
    """Show the form by which keys are ordered.

    Args:
        message: why the order that was sent is not carried out.
        once: the key of the form that was sent.
    """
    filled = {name: request.form.get(name, "") for name in _FIELDS}
    return page(
        "console/order.html",
        message=message,
        once=once or csrf.new_idempotency_key(),
        # What must not be kept is not repeated either.
        filled={
            name: "" if parameters.holds_secret(value) else value for name, value in filled.items()
        },
        places=places(),
        bound=session.reseller(),
    )


@bp.post("/issue")
@roles_required(ADMIN, RESELLER)
def issue() -> Response:
    """Carry an order out, and show its codes, or send them as a file."""
    once, reseller = csrf.idempotency_key(), session.reseller()
    try:
        issued = _issue(once, reseller)
    except Refusal as refusal:
        return show_order(refusal_message(refusal), once)
    if isinstance(issued, PlacedOrder):
        return show_order(_ORDER_MESSAGES[issued.status], once)
    return _codes(issued.batch, issued.keys, issued)


def _issue(once: str, reseller: str | None) -> Issued | PlacedOrder:
    context, order, key = request_context(), _order(reseller), f"console {once}"
    if reseller is None:
        return issue_keys(services(), context, order, idempotency_key=key)
    scope = f"reseller {reseller}"
    return order_keys(services(), context, order, reseller, idempotency_key=key, scope=scope)


@bp.get("/batches")
@roles_required(*session.ALL)
def show_batches() -> Response:
    """List batches, or send the list as a table; a reseller's own."""
    reseller = session.reseller() or parameters.query("reseller")
    of = "console batches", session.reseller(), reseller
    first = batch_page(reseller, paging.after(of), PAGE_SIZE)
    if request.args.get("as") == _CSV:
        everything = batch_page(reseller, None, PAGE_MAX)
        rows = ([astuple(one) for one in some] for some in batch_pages(everything, reseller))
        return with_headers(csv_reply(BatchView.__struct_fields__, rows, "batches"))
    return page(
        "console/batches.html",
        batches=first.batches,
        reseller=None if session.reseller() else reseller,
        older=paging.older(of, first.next, "console.show_batches", ("reseller",)),
    )


@bp.get("/batches/<batch>")
@roles_required(*session.ALL)
def show_batch(batch: str, message: FlashMessage | None = None) -> Response:
    """Show an order, and what happened to it.

    Raises:
        BatchNotFound: there is none, or it is another reseller's.
    """
    owned = owned_batch(services().book, app_state().wiring.tables, batch, session.reseller())
    found = _as_seen(owned)
    # What was noted with an order is for the vendor and its reseller.
    may_read, note = caller().role != AUDITOR, found.issued.note if found.issued else None
    texts = services().texts if may_read else None
    return page(
        "console/batch.html",
        message=message or _revoked_message(),
        batch=found,
        is_imported=owned.issued is None,
        note=texts.open(note) if texts else None,
        history=recent(found.id),
        may_reveal=session.may(ADMIN, RESELLER) and owned.issued is not None,
        may_revoke=session.may(ADMIN, RESELLER),
        may_reissue=session.may(ADMIN, RESELLER, SUPPORT),
    )


def _revoked_message() -> FlashMessage | None:
    revoked = parameters.query("revoked") or ""
    if not _NUMBER.fullmatch(revoked):
        return None
    keys = counted(int(revoked), "key")
    return good(_("Revoked: %(keys)s.", keys=keys), _("Those that were redeemed stay so."))


@bp.post("/batches/<batch>/revoke")
@roles_required(ADMIN, RESELLER)
def revoke_all(batch: str) -> Response:
    """Take those keys of a batch back that nobody has redeemed."""
    try:
        reason, wiring = parameters.reason(), app_state().wiring
        done = revoke_batch(wiring, request_context(), batch, reason, session.reseller())
    except Refusal as refusal:
        return show_batch(batch, refusal_message(refusal))
    return redirect_to(url_for("console.show_batch", batch=batch, revoked=done.revoked))


@bp.post("/batches/<batch>/reissue")
@roles_required(ADMIN, RESELLER, SUPPORT)
def reissue_all(batch: str) -> Response:
    """Give new codes for those keys of a batch that can be redeemed, and show them."""
    try:
        reason, wiring = parameters.reason(), app_state().wiring
        done = reissue_batch(wiring, request_context(), batch, reason, session.reseller())
    except Refusal as refusal:
        return show_batch(batch, refusal_message(refusal))
    return page("console/codes.html", batch=batch, keys=done.keys, reissued=True)


@bp.post("/batches/<batch>/reveal")
@roles_required(ADMIN, RESELLER)
def reveal(batch: str) -> Response:
    """Show a batch's codes again, or send them as a file; that they were shown goes on record."""
    try:
        reason, reseller = parameters.reason(), session.reseller()
        found = reveal_batch(app_state().wiring, request_context(), batch, reason, reseller)
    except Refusal as refusal:
        return show_batch(batch, refusal_message(refusal))
    return _codes(batch, found.keys, None)


def _as_seen(batch: Batch) -> Batch:
    """Return a batch as it is shown: the order to whoever placed it, else the caller's own keys."""
    reseller = session.reseller()
    if batch.belongs_to(reseller):
        return batch
    own = key_set(
        services().book, app_state().wiring.tables, KeyQuery(batch=batch.id, reseller=reseller)
    )
    return replace(batch, issued=None, size=len(own.open) + len(own.closed))


def may_see(id: str) -> bool:
    """Return whether there is a batch that the caller may see."""
    with suppress(BatchNotFound):
        owned_batch(services().book, app_state().wiring.tables, id, session.reseller())
        return True
    return False


def _order(bound: str | None) -> Order:
    """Read an order.

    Raises:
        InvalidRequest: a number that is none, a time that is none, or a text that holds a code.
    """
    product, _, tier = (parameters.form("product") or "").partition("/")
    return Order(
        product=product,
        tier=tier or None,
        seats=parameters.number("seats"),
        months=parameters.number("months"),
        count=parameters.number("count"),
        reseller=bound if bound is not None else parameters.text("reseller"),
        redeem_by=parameters.time("redeem_by", parameters.form("redeem_by")),
        note=parameters.reason(),
    )


def _codes(batch: str, keys: list[IssuedKey], issued: Issued | None) -> Response:
    if request.form.get("as") == _CSV:
        return _file(batch, keys)
    again = {name: request.form.get(name, "") for name in (*_FIELDS, "once")}
    return page(
        "console/codes.html",
        sent_again=issued is not None,
        batch=batch,
        keys=keys,
        issued=issued,
        again=again,
    )


def _file(batch: str, keys: Sequence[IssuedKey]) -> Response:
    """Send a table of the keys, with the columns of `keyfold keys issue --csv`."""
    return with_headers(csv_reply(CODE_COLUMNS, [code_rows(services(), keys)], batch))
