"""The vendor's overview: what there is of everything, and what somebody should look at."""

from __future__ import annotations

from flask import Response

from projections.lists.overview import overview
from projections.text.formatting import title
from web.app.context import app_state, request_context, services
from web.console.rendering import page


def show_overview() -> Response:
    """Show how things stand now."""
    found = overview(
        services().book, app_state().wiring.tables, request_context().now, services().catalog
    )
    reasons = [(title(one.refusal), one.found, one.tries) for one in found.refusals]
    return page("overview.html", found=found, reasons=reasons)
