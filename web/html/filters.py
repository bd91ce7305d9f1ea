"""How templates show times and numbers, in the reader's language."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Flask
from markupsafe import Markup

from web.app.times import iso
from web.html.languages import format_datetime, format_decimal
from web.html.stripe_texts import badge, money


def register(app: Flask) -> None:
    app.jinja_env.filters["time"] = time
    app.jinja_env.filters["number"] = format_decimal
    app.jinja_env.filters["money"] = money
    app.jinja_env.filters["badge"] = badge


def time(at: datetime) -> Markup:
    """Show a time: for machines exact, on hover exact, to read in the page's language.

    A script puts it into the reader's own zone; without one it stays UTC, and says so.
    """
    exact = at.astimezone(UTC)
    shown = format_datetime(exact, "medium") + " UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        iso(exact), f"{exact:%Y-%m-%d %H:%M:%S} UTC", shown
    )
