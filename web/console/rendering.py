"""How a page of the console is sent, and how its templates show times, kinds and references.

The console is in English, whatever a browser asks for: so are the sentences of the timeline. Its
times are UTC, to the second, since they are compared with each other and with what others wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from flask import Flask, Response, g, render_template, url_for
from flask_babel import force_locale  # type: ignore[import-untyped]
from markupsafe import Markup

from ledger.streams.token import Role
from projections.text.formatting import place
from web.app.auth import ADMIN, AUDITOR, RESELLER, SUPPORT
from web.app.context import Caller, app_state, request_id, services
from web.app.times import iso
from web.console import session
from web.html import csrf, rendering

ENGLISH: Final = "en"


class Entry(NamedTuple):
    """One line of the menu, and whom it is for."""

    title: str
    endpoint: str
    roles: frozenset[Role]


_STAFF: Final = frozenset({ADMIN, SUPPORT, AUDITOR})
_MENU: Final = (
    Entry("Timeline", "show_timeline", session.ROLES),
    Entry("Keys", "show_keys", session.ROLES),
    Entry("Issue keys", "show_order", frozenset({ADMIN, RESELLER})),
    Entry("Refused tries", "show_attempts", _STAFF),
    Entry("Overview", "show_overview", _STAFF),
    Entry("Audit", "show_audit", _STAFF),
    Entry("Tokens", "show_tokens", frozenset({ADMIN})),
)


def register(app: Flask) -> None:
    app.jinja_env.filters["utc"] = utc
    app.jinja_env.filters["iso"] = iso
    app.jinja_env.filters["field_time"] = field_time
    app.jinja_env.filters["kind"] = kind
    app.jinja_env.filters["place"] = lambda product, tier=None: place(
        services().catalog, product, tier
    )


def page(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> Response:
    """Answer a page made of a template in templates/console."""
    wiring = app_state().wiring
    shift = session.current()
    who: Caller | None = g.get("caller") if shift else None
    with force_locale(ENGLISH):
        body = render_template(
            f"console/{template}",
            test_clock=wiring.settings.test_clock is not None,
            language=ENGLISH,
            language_chosen=True,
            request_id=request_id(),
            who=who,
            menu=[one for one in _MENU if who and who.role in one.roles],
            form_field=csrf.field(shift.secret) if shift else "",
            **context,
        )
    response = Response(body, status, headers=headers, content_type=rendering.HTML)
    return rendering.guarded(response)


def utc(at: datetime) -> Markup:
    """Show a time to the second; on hover as exact as the ledger has it."""
    exact = at.astimezone(UTC)
    return Markup('<time title="{}">{}</time>').format(iso(exact), f"{exact:%Y-%m-%d %H:%M:%S}Z")


def field_time(at: datetime | None) -> str:
    """Answer a time as a field for one has it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" if at else ""


def kind(name: str) -> str:
    """Answer an event's name for people: `account: seat occupied`."""
    stream, _, happened = name.partition("@")[0].partition(".")
    return f"{stream}: {happened}".replace("_", " ")


def url_of_ref(ref: str, accounts: frozenset[str] = frozenset()) -> str | None:
    """Answer where a thing that an event names is shown; None where the caller may not look.

    Args:
        accounts: which of the names are known to be accounts'.
    """
    if ref.startswith("key_"):
        return url_for("console.show_key", key=ref)
    if ref.startswith("bat_"):
        return url_for("console.show_batch", batch=ref)
    if session.bound() is not None:
        return None
    if ref in accounts:
        return url_for("console.show_account", account=ref)
    return url_for("console.show_timeline", ref=ref)
