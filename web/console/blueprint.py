"""/console: the blueprint of staff's and resellers' pages, and what their layout shows.

A page says whom it is for by `roles_required` or `public`, right below its route.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from flask import Blueprint, request, url_for

from ledger.book import LedgerUnavailable
from ledger.refusals import (
    BatchNotFound,
    InvalidRequest,
    KeyNotFound,
    ReceiptNotReady,
    Refusal,
    ResellerNotFound,
)
from ledger.streams import people
from web.app import errors
from web.app.context import caller
from web.app.errors import REFUSED, ProblemType
from web.console import session
from web.console.refusal_messages import invalid_fields
from web.console.session import RoleNotPermitted
from web.html import csrf
from web.html.error_pages import ErrorMessage, ErrorPages
from web.html.languages import gettext as _
from web.html.languages import lazy_gettext as _l

bp = Blueprint("console", __name__, url_prefix="/console")
bp.before_request(session.authenticate)

_MENU: Final = {
    "console.show_accounts": _l("Accounts"),
    "console.show_timeline": _l("Timeline"),
    "console.show_keys": _l("Keys"),
    "console.show_batches": _l("Batches"),
    "console.show_order": _l("Issue keys"),
    "console.show_resellers": _l("Resellers"),
    "console.show_notices": _l("Notices"),
    "console.show_attempts": _l("Refused tries"),
    "console.show_overview": _l("Overview"),
    "console.show_audit": _l("Audit"),
    "console.show_tokens": _l("Tokens"),
    "console.show_people": _l("People"),
    "console.show_design": _l("Design"),
}
_ADVICE: Final = {
    400: _l("Nothing was changed. Go back and try again."),
    404: _l("Look for it by any reference of it, or choose a page from the menu."),
    413: _l("Nothing was kept. Send less."),
    422: _l("Nothing was changed. Go back, and look at what you entered."),
    429: _l("Nothing was changed. Try again in a moment."),
    500: _l("Try again. If it stays so, look for the reference below in the log."),
    502: _l("Nothing was changed."),
    503: _l("Nothing was changed. Try again in a moment."),
}


@bp.context_processor
def layout() -> dict[str, Any]:
    """Return what the layout shows: who is signed in, the menu, and the session's form field."""
    found = session.SESSIONS.current()
    if request.url_rule is None:
        # No page of ours was asked for, so nobody has looked who asks.
        with suppress(LedgerUnavailable):
            found = session.live()
    if found is None:
        return {"who": None, "menu": {}}
    return {
        "who": caller(),
        "may": session.may,
        "csrf_field": csrf.field(found.cookie.secret),
        "menu": {
            title: url_for(endpoint)
            for endpoint, title in _MENU.items()
            if caller().role in session.roles_of(endpoint)
        },
    }


def _message(status: int, title: str, advice: object) -> ErrorMessage:
    home = url_for("console.show_home"), _("To the search box")
    return ErrorMessage(status, title, advice, home, reference=True)


def _of_kind(kind: ProblemType) -> ErrorMessage:
    title = _("There is no such page") if kind.status == errors.NOT_FOUND.status else _(kind.title)
    return _message(kind.status, title, _ADVICE.get(kind.status, _ADVICE[400]))


def _of_role(_error: RoleNotPermitted) -> ErrorMessage:
    if people.is_person(caller().id):
        advice = _("This is not for role %(role)s. Nothing was changed.", role=caller().role)
        return _message(403, _("Your role does not permit this"), advice)
    advice = _("This is not for tokens of role %(role)s. Nothing was changed.", role=caller().role)
    return _message(403, _("Your token does not permit this"), advice)


def _of_invalid(refusal: InvalidRequest) -> ErrorMessage:
    shown = _message(REFUSED[InvalidRequest], refusal.title, _ADVICE[422])
    return shown._replace(faults=invalid_fields(refusal))


def _of_key(refusal: Refusal) -> ErrorMessage:
    advice = _("Look for it by its code, or choose it from the list.")
    return _message(REFUSED[type(refusal)], refusal.title, advice)


def _of_batch(refusal: Refusal) -> ErrorMessage:
    return _message(REFUSED[type(refusal)], refusal.title, _("Look for one of its keys."))


def _of_reseller(refusal: Refusal) -> ErrorMessage:
    return _message(REFUSED[type(refusal)], refusal.title, _("Choose it from the list."))


def _of_receipt(refusal: Refusal) -> ErrorMessage:
    return _message(
        REFUSED[type(refusal)], refusal.title, _("There is one when the key was redeemed.")
    )


def of_form() -> ErrorMessage:
    """Return what is said of a form that was not shown in this session."""
    return _message(
        403,
        _("This form cannot be taken"),
        _("It was not shown since you signed in, and nothing was changed. Open the page again."),
    )


ERROR_PAGES: Final = ErrorPages(
    "console/layout.html",
    _of_kind,
    {
        RoleNotPermitted: _of_role,
        InvalidRequest: _of_invalid,
        KeyNotFound: _of_key,
        BatchNotFound: _of_batch,
        ResellerNotFound: _of_reseller,
        ReceiptNotReady: _of_receipt,
    },
    layout,
)
ERROR_PAGES.register(bp)
