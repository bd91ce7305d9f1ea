"""/portal: the blueprint of the customers' pages, and what their layout shows.

A page says whom it is for by `session_required` or `public`, right below its route.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, request

from web.html import csrf
from web.html.error_pages import ErrorPages
from web.portal import errors, session, texts

bp = Blueprint("portal", __name__, url_prefix="/portal")
bp.before_request(session.authenticate)
bp.after_request(session.renew)


@bp.context_processor
def layout() -> dict[str, Any]:
    """Return what the layout shows: the menu, and the form field of this session."""
    found = session.SESSIONS.current()
    if request.url_rule is None:
        # No page of ours was asked for, so nobody has looked who asks.
        found = session.live()
    if found is None:
        return {"customer": None, "menu": []}
    return {
        "customer": found.cookie,
        "account_id": found.seen.session.account,
        "csrf_field": csrf.field(found.cookie.secret),
        "may": session.may,
        "menu": texts.menu(texts.catalog(), found.seen.session.permissions),
    }


ERROR_PAGES: Final = ErrorPages("portal/layout.html", errors.of_kind, errors.OF_EXCEPTIONS, layout)
ERROR_PAGES.register(bp)
