"""/portal: the customer's pages, each with its path, put into the application.

A page is reached only in a visit; the opening of links is for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from flask import Blueprint, Flask, Response, g, request

from web.auth import EVERYBODY
from web.context import ports
from web.pages import (
    activating,
    billing,
    buying,
    forms,
    managing,
    opening,
    portal_problems,
    preferences,
    problems,
    rendering,
    subscriptions,
    visits,
    wording,
)

View = Callable[..., Response]

_OUTSIDE: Final = {"portal.show_door", "portal.open_link"}


class Page(NamedTuple):
    """One page, or what one of its forms does."""

    method: str
    rule: str
    view: View


PAGES: Final = (
    Page("GET", "/open", opening.show_door),
    Page("POST", "/open", opening.open_link),
    Page("POST", "/leave", opening.leave),
    Page("POST", "/language", preferences.choose_language),
    Page("GET", "/", subscriptions.show_first),
    Page("GET", "/subscriptions", subscriptions.show_subscriptions),
    Page("GET", "/manage/<product>", managing.show_manager),
    Page("POST", "/manage/<product>/add", managing.add_holder),
    Page("POST", "/manage/<product>/remove", managing.remove_holder),
    Page("GET", "/upgrade/<product>", activating.show_upgrade),
    Page("GET", "/upgrade/<product>/key", activating.show_key_form),
    Page("POST", "/upgrade/<product>/validate", activating.validate),
    Page("POST", "/upgrade/<product>/activate", activating.activate),
    Page("GET", "/buy/<product>", buying.show_shop),
    Page("POST", "/buy/<product>", buying.buy),
    Page("POST", "/stripe", buying.manage),
    Page("GET", "/billing", billing.show_billing),
)


def register(app: Flask) -> None:
    """Serve the customer's pages."""
    rendering.register(app)
    pages = Blueprint("portal", __name__, url_prefix="/portal")
    pages.before_request(_come_in)
    pages.after_request(visits.go_on)
    pages.context_processor(_known_to_all)
    problems.register(app, pages, "portal", "portal.html", portal_problems.RAISED, _known_to_all)
    for one in PAGES:
        one.view.access = EVERYBODY  # type: ignore[attr-defined]
        pages.add_url_rule(one.rule, one.view.__name__, one.view, methods=[one.method])
    app.register_blueprint(pages)


def _come_in() -> None:
    if request.method != "OPTIONS" and request.endpoint not in _OUTSIDE:
        visits.come_in()


def _known_to_all() -> dict[str, Any]:
    """Answer what the layout shows: the menu, and the form field of this visit."""
    visit: visits.Visit | None = g.get("visit")
    if request.url_rule is None:
        # No page of ours was asked for, so nobody has looked who asks.
        found = visits.known()
        visit = found if found is not None and found.stands else None
    return {
        "visit": visit,
        "form_field": forms.field(visit.secret) if visit else "",
        "sections": wording.sections(ports().catalog, visit) if visit else [],
    }
