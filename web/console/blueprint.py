"""/console: the blueprint of staff's and resellers' pages, and what their layout shows.

A page says whom it is for by `roles_required` or `public`, right below its route.
"""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, url_for

from ledger.refusals import (
    BatchNotFound,
    KeyNotFound,
    ReceiptNotReady,
    Refusal,
    ResellerNotFound,
)
from web.app import errors
from web.app.context import caller
from web.app.errors import REFUSED, ProblemType
from web.console import session
from web.console.session import RoleNotPermitted
from web.html import csrf
from web.html.error_pages import ErrorMessage, ErrorPages

bp = Blueprint("console", __name__, url_prefix="/console")
bp.before_request(session.authenticate)

_MENU: Final = {
    "Accounts": "console.show_accounts",
    "Timeline": "console.show_timeline",
    "Keys": "console.show_keys",
    "Batches": "console.show_batches",
    "Issue keys": "console.show_order",
    "Resellers": "console.show_resellers",
    "Refused tries": "console.show_attempts",
    "Overview": "console.show_overview",
    "Audit": "console.show_audit",
    "Tokens": "console.show_tokens",
    "Design": "console.show_design",
}
_ADVICE: Final = {
    400: "Nothing was changed. Go back and try again.",
    404: "Look for it by any reference of it, or choose a page from the menu.",
    413: "Nothing was kept. Send less.",
    422: "Nothing was changed. Go back, and look at what you entered.",
    500: "Try again. If it stays so, look for the reference below in the log.",
    502: "Nothing was changed.",
    503: "Nothing was changed. Try again in a moment.",
}


@bp.context_processor
def layout() -> dict[str, Any]:
    """Return what the layout shows: who is signed in, the menu, and the session's form field."""
    found = session.SESSIONS.current()
    if found is None:
        return {"who": None, "menu": {}}
    return {
        "who": caller(),
        "may": session.may,
        "csrf_field": csrf.field(found.cookie.secret),
        "menu": {
            title: url_for(endpoint)
            for title, endpoint in _MENU.items()
            if caller().role in session.roles_of(endpoint)
        },
    }


def _message(status: int, title: str, advice: str) -> ErrorMessage:
    home = url_for("console.show_home"), "To the search box"
    return ErrorMessage(status, title, advice, home, reference=True)


def _of_kind(kind: ProblemType) -> ErrorMessage:
    title = "There is no such page" if kind.status == errors.NOT_FOUND.status else kind.title
    return _message(kind.status, title, _ADVICE.get(kind.status, _ADVICE[400]))


def _of_role(_error: RoleNotPermitted) -> ErrorMessage:
    advice = f"This is not for tokens of role {caller().role}. Nothing was changed."
    return _message(403, "Your token does not permit this", advice)


def _of_key(refusal: Refusal) -> ErrorMessage:
    advice = "Look for it by its code, or choose it from the list."
    return _message(REFUSED[type(refusal)], refusal.title, advice)


def _of_batch(refusal: Refusal) -> ErrorMessage:
    return _message(REFUSED[type(refusal)], refusal.title, "Look for one of its keys.")


def _of_reseller(refusal: Refusal) -> ErrorMessage:
    return _message(REFUSED[type(refusal)], refusal.title, "Choose it from the list.")


def _of_receipt(refusal: Refusal) -> ErrorMessage:
    return _message(
        REFUSED[type(refusal)], refusal.title, "There is one when the key was redeemed."
    )


def of_form() -> ErrorMessage:
    """Return what is said of a form that was not shown in this session."""
    return _message(
        403,
        "This form cannot be taken",
        "It was not shown since you signed in, and nothing was changed. Open the page again.",
    )


ERROR_PAGES: Final = ErrorPages(
    "console/layout.html",
    _of_kind,
    {
        RoleNotPermitted: _of_role,
        KeyNotFound: _of_key,
        BatchNotFound: _of_batch,
        ResellerNotFound: _of_reseller,
        ReceiptNotReady: _of_receipt,
    },
    layout,
)
ERROR_PAGES.register(bp)
