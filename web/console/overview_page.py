"""The vendor's overview: what there is of everything, and what somebody should look at."""

from __future__ import annotations

from flask import Response

from projections.overview import overview
from projections.wording import title
from web.console.showing import page
from web.context import parts, ports, stamp


def show_overview() -> Response:
    """Show how things stand now."""
    found = overview(ports().book, parts().wiring.tables, stamp().now, ports().catalog)
    reasons = [(title(one.refusal), one.found, one.tries) for one in found.refusals]
    return page("overview.html", found=found, reasons=reasons)
