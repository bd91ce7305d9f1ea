"""Batches: an order of keys, and their codes, which are shown when it is carried out and, with a
reason that goes on record, again.

An order carries the number of the form that it was sent by, so that one that is sent twice, or
again by the back button, answers with the same keys and issues none anew.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

from flask import Response, abort, request

from commands.issue_keys import Issued, IssuedKey, Order, issue_keys
from commands.reveal_codes import reveal_codes
from ledger.refusals import BatchNotFound, Refusal
from ledger.streams import batch as batches
from ledger.streams.batch import BATCH, Batch
from web.api.timeline import visibility
from web.app import responses
from web.app.auth import ADMIN, RESELLER
from web.app.context import request_context, services
from web.app.errors import REFUSED
from web.console import form_fields, session
from web.console.refusal_messages import saying
from web.console.rendering import page
from web.console.timeline import recent
from web.html import csrf, rendering
from web.html.flash import Saying

_ONCE: Final = re.compile(r"[0-9a-f]{24}")
_CSV: Final = "csv"
_FIELDS: Final = ("product", "seats", "months", "count", "reseller", "redeem_by", "reason")


def show_order() -> Response:
    """Show the form by which keys are ordered."""
    return _order(None, csrf.once())


def issue() -> Response:
    """Carry an order out, and show its codes, or send them as a file."""
    once = request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        abort(400)
    bound = session.bound()
    try:
        issued = issue_keys(
            services(),
            request_context(),
            _asked_for(bound),
            idempotency_key=f"console {once}",
            scope=f"reseller {bound}" if bound is not None else "",
            reseller=bound,
        )
    except Refusal as refusal:
        return _order(saying(refusal), once)
    if request.form.get("as") == _CSV:
        return _file(issued.batch, issued.keys)
    return _codes(issued.batch, issued.keys, issued)


def show_batch(batch: str) -> Response:
    """Show an order, and what happened to it."""
    return _show(batch, None)


def reveal(batch: str) -> Response:
    """Show a batch's codes again, or send them as a file; that they were shown goes on record."""
    try:
        found = reveal_codes(
            services(), request_context(), batch, form_fields.reason(), reseller=session.bound()
        )
    except BatchNotFound as refusal:
        return _unknown(refusal)
    except Refusal as refusal:
        return _show(batch, saying(refusal))
    if request.form.get("as") == _CSV:
        return _file(batch, found.keys)
    return _codes(batch, found.keys, None)


def _asked_for(bound: str | None) -> Order:
    """Read an order.

    Raises:
        InvalidRequest: a number that is none, a time that is none, or a text that holds a code.
    """
    product, _, tier = (form_fields.sent("product") or "").partition("/")
    return Order(
        product=product,
        tier=tier or None,
        seats=form_fields.number("seats"),
        months=form_fields.number("months"),
        count=form_fields.number("count"),
        reseller=bound if bound is not None else form_fields.text("reseller"),
        redeem_by=form_fields.moment("redeem_by", form_fields.sent("redeem_by")),
        note=form_fields.reason(),
    )


def _order(said: Saying | None, once: str) -> Response:
    filled = {name: request.form.get(name, "") for name in _FIELDS}
    return page(
        "order.html",
        said.status if said else 200,
        said=said,
        once=once,
        # What must not be kept is not repeated either.
        filled={
            name: "" if form_fields.holds_secret(value) else value for name, value in filled.items()
        },
        products=services().catalog.products,
        bound=session.bound(),
    )


def _codes(batch: str, keys: list[IssuedKey], issued: Issued | None) -> Response:
    again = {name: request.form.get(name, "") for name in (*_FIELDS, "once")}
    return page("codes.html", batch=batch, keys=keys, issued=issued, again=again)


def _show(id: str, said: Saying | None) -> Response:
    batch = owned_batch(id)
    if batch is None:
        return _unknown(BatchNotFound())
    texts, note = visibility().texts, batch.issued.note if batch.issued else None
    return page(
        "batch.html",
        said.status if said else 200,
        said=said,
        batch=batch,
        note=texts.open(note) if texts else None,
        history=recent(batch.id),
        may_reveal=session.may(ADMIN, RESELLER) and batch.issued is not None,
    )


def owned_batch(id: str) -> Batch | None:
    """Answer a batch that the caller may see."""
    batch = services().book.load(BATCH, batches.stream_id(id)).state
    bound = session.bound()
    if batch is None or bound is None:
        return batch
    return batch if batch.issued is not None and batch.issued.reseller == bound else None


def _unknown(refusal: Refusal) -> Response:
    advice = "Look for one of its keys."
    return page("problem.html", REFUSED[type(refusal)], title=refusal.title, advice=advice)


def _file(batch: str, keys: Iterable[IssuedKey]) -> Response:
    """Answer a table of the keys, as `keyfold keys issue --csv` prints it."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(IssuedKey._fields)
    rows.writerows(keys)
    response = rendering.guarded(responses.file(out.getvalue(), f"{batch}.csv"))
    response.content_type = "text/csv; charset=utf-8"
    return response
