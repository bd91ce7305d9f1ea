"""/portal: the customer's pages, each with its path, put into the application.

A page is reached only in a visit; the opening of links is for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flask import Blueprint, Flask, Response, g, request

from web.app.auth import EVERYBODY
from web.app.context import services
from web.html import csrf, error_pages, rendering
from web.portal import (
    billing,
    buy,
    errors,
    magic_link,
    preferences,
    seats,
    session,
    subscriptions,
    texts,
    upgrade,
)

View = Callable[..., Response]

_OUTSIDE: Final = {"portal.show_door", "portal.open_link"}


class Page(NamedTuple):
    """One page, or what one of its forms does."""

    method: str
    rule: str
    view: View


PAGES: Final = (
    Page("GET", "/open", magic_link.show_door),
    Page("POST", "/open", magic_link.open_link),
    Page("POST", "/leave", magic_link.leave),
    Page("POST", "/language", preferences.choose_language),
    Page("GET", "/", subscriptions.show_first),
    Page("GET", "/subscriptions", subscriptions.show_subscriptions),
    Page("GET", "/manage/<product>", seats.show_manager),
    Page("POST", "/manage/<product>/add", seats.add_holder),
    Page("POST", "/manage/<product>/remove", seats.remove_holder),
    Page("GET", "/upgrade/<product>", upgrade.show_upgrade),
    Page("GET", "/upgrade/<product>/key", upgrade.show_key_form),
    Page("POST", "/upgrade/<product>/validate", upgrade.validate),
    Page("POST", "/upgrade/<product>/activate", upgrade.activate),
    Page("GET", "/buy/<product>", buy.show_shop),
    Page("POST", "/buy/<product>", buy.buy),
    Page("POST", "/stripe", buy.manage),
    Page("GET", "/billing", billing.show_billing),
)


def register(app: Flask) -> None:
    """Serve the customer's pages."""
    rendering.register(app)
    pages = Blueprint("portal", __name__, url_prefix="/portal")
    pages.before_request(_come_in)
    pages.after_request(session.go_on)
    pages.context_processor(_known_to_all)
    error_pages.register(app, pages, "portal", "portal.html", errors.RAISED, _known_to_all)
    for one in PAGES:
        one.view.access = EVERYBODY  # type: ignore[attr-defined]
        pages.add_url_rule(one.rule, one.view.__name__, one.view, methods=[one.method])
    app.register_blueprint(pages)


def _come_in() -> None:
    if request.method != "OPTIONS" and request.endpoint not in _OUTSIDE:
        session.come_in()


def _known_to_all() -> dict[str, Any]:
    """Answer what the layout shows: the menu, and the form field of this visit."""
    visit: session.Visit | None = g.get("visit")
    if request.url_rule is None:
        # No page of ours was asked for, so nobody has looked who asks.
        found = session.known()
        visit = found if found is not None and found.stands else None
    return {
        "visit": visit,
        "form_field": csrf.field(visit.secret) if visit else "",
        "sections": texts.sections(services().catalog, visit) if visit else [],
    }
