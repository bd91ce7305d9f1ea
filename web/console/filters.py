"""How the console's templates show times, kinds of events and places.

Times are UTC, to the second: they are compared with each other and with what others wrote.
"""

from __future__ import annotations

from datetime import UTC, datetime

from markupsafe import Markup

from projections.text import formatting
from web.app.context import services
from web.app.times import iso
from web.console.blueprint import bp


@bp.app_template_filter()
def utc(at: datetime) -> Markup:
    """Return a time as HTML: to the second, and on hover as exact as the ledger has it."""
    exact = at.astimezone(UTC)
    return Markup('<time title="{}">{}</time>').format(iso(exact), f"{exact:%Y-%m-%d %H:%M:%S}Z")


@bp.app_template_filter()
def field_time(at: datetime | None) -> str:
    """Return a time as a field for one has it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if at else ""


@bp.app_template_filter()
def kind(name: str) -> str:
    """Return an event's name for people: `account: seat occupied`."""
    stream, _, happened = name.partition("@")[0].partition(".")
    return f"{stream}: {happened}".replace("_", " ")


@bp.app_template_filter()
def place(product: str, tier: str | None = None) -> str:
    """Return the name of a product, and of a tier of it."""
    return formatting.place(services().catalog, product, tier)
