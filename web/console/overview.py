"""What there is to look at: the figures of the ledger, and what an auditor is handed of it."""

from __future__ import annotations

from flask import Response

from projections.lists.by_month import endings_by_month, keys_by_month, seats_by_month
from projections.lists.overview import overview
from projections.lists.stripe_spans import fold_changed
from web.app import checkpoints, responses
from web.app.context import app_state, request_context, services
from web.console import parameters
from web.console.blueprint import bp
from web.console.session import STAFF, roles_required
from web.html.rendering import page, with_headers


@bp.get("/overview")
@roles_required(*STAFF)
def show_overview() -> Response:
    """Show how things stand now."""
    book, tables, now = services().book, app_state().wiring.tables, request_context().now
    found = overview(book, tables, now, services().catalog)
    reseller = parameters.query("reseller")
    to_count = fold_changed(book, tables)
    return page(
        "console/overview.html",
        found=found,
        resellers=[(one.reseller, one.reseller) for one in found.keys],
        reseller=reseller,
        to_count=to_count,
        seat_years=seats_by_month(book, tables, now) if not to_count else [],
        key_months=keys_by_month(book, tables, now, reseller),
        ending_months=endings_by_month(book, tables, now) if not to_count else [],
    )


@bp.get("/audit")
@roles_required(*STAFF)
def show_audit() -> Response:
    """Show how the ledger stands, and the keys of its signatures."""
    signing = app_state().wiring.signing
    return page(
        "console/audit.html",
        head=services().book.head(),
        origin=signing.origin,
        keys=[key.vkey for key in signing.verifiers],
    )


@bp.get("/audit/checkpoint")
@roles_required(*STAFF)
def download_checkpoint() -> Response:
    """Send a checkpoint of the ledger as it is now, as a file to keep."""
    content = checkpoints.sign_checkpoint(app_state().wiring, request_context().now)
    name = f"checkpoint-{request_context().now:%Y%m%dT%H%M%SZ}.txt"
    return with_headers(responses.file(content, name))
