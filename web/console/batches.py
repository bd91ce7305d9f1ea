"""Batches: an order of keys, and their codes, which are shown when it is carried out and, with a
reason that goes on record, again.

An order carries the number of the form that it was sent by, so that one that is sent twice, or
again by the back button, answers with the same keys and issues none anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flask import Response, request

from commands.issue_keys import Issued, IssuedKey, Order, issue_keys
from commands.order_keys import PlacedOrder, order_keys
from commands.reveal_codes import reveal_codes
from ledger.refusals import BatchNotFound, Refusal
from ledger.streams import batch as batches
from ledger.streams.batch import BATCH, Batch
from web.api.timeline import visibility
from web.app.auth import ADMIN, RESELLER
from web.app.code_tables import CODE_COLUMNS, code_rows
from web.app.context import request_context, services
from web.app.csv_encoding import csv_reply
from web.console import parameters, session
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.console.timeline import recent
from web.html import csrf
from web.html.flash import FlashMessage, bad, warn
from web.html.rendering import page, with_headers

_CSV: Final = "csv"
_ORDER_MESSAGES: Final = {
    "waiting": warn("The order waits for the vendor", "Send it again to see its keys afterwards."),
    "declined": bad("The order was declined", "Ask the vendor, or order something else."),
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
        products=services().catalog.products,
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


@bp.get("/batches/<batch>")
@roles_required(*session.ALL)
def show_batch(batch: str, message: FlashMessage | None = None) -> Response:
    """Show an order, and what happened to it.

    Raises:
        BatchNotFound: there is none, or it is another reseller's.
    """
    found = owned_batch(batch)
    if found is None:
        raise BatchNotFound
    texts, note = visibility().texts, found.issued.note if found.issued else None
    return page(
        "console/batch.html",
        message=message,
        batch=found,
        note=texts.open(note) if texts else None,
        history=recent(found.id),
        may_reveal=session.may(ADMIN, RESELLER) and found.issued is not None,
    )


@bp.post("/batches/<batch>/reveal")
@roles_required(ADMIN, RESELLER)
def reveal(batch: str) -> Response:
    """Show a batch's codes again, or send them as a file; that they were shown goes on record."""
    try:
        reason, reseller = parameters.reason(), session.reseller()
        found = reveal_codes(services(), request_context(), batch, reason, reseller=reseller)
    except Refusal as refusal:
        return show_batch(batch, refusal_message(refusal))
    return _codes(batch, found.keys, None)


def owned_batch(id: str) -> Batch | None:
    """Return a batch that the caller may see."""
    batch = services().book.load(BATCH, batches.stream_id(id)).state
    return batch if batch is not None and batch.belongs_to(session.reseller()) else None


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
    return page("console/codes.html", batch=batch, keys=keys, issued=issued, again=again)


def _file(batch: str, keys: Sequence[IssuedKey]) -> Response:
    """Send a table of the keys, with the columns of `keyfold keys issue --csv`."""
    return with_headers(csv_reply(CODE_COLUMNS, [code_rows(services(), keys)], batch))
