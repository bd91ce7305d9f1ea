"""/console: the pages of staff and resellers, each with its path and whom it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from flask import Blueprint, Flask, Response, request

from ledger.streams.token import Role
from web.auth import ADMIN, AUDITOR, EVERYBODY, RESELLER, SUPPORT
from web.console import (
    accounts,
    attempts,
    audit_page,
    batch_pages,
    changes,
    key_pages,
    overview_page,
    problems,
    questions,
    searching,
    seat_charts,
    shifts,
    showing,
    signing_in,
    timelines,
    token_pages,
)

View = Callable[..., Response]

_ALL: Final = shifts.ROLES
_STAFF: Final[frozenset[Role]] = frozenset({ADMIN, SUPPORT, AUDITOR})
_OWNERS: Final[frozenset[Role]] = frozenset({ADMIN, RESELLER})
_SUPPORT: Final[frozenset[Role]] = frozenset({ADMIN, SUPPORT})
_ADMIN: Final[frozenset[Role]] = frozenset({ADMIN})
_OUTSIDE: Final = {"console.show_sign_in", "console.sign_in"}


class Page(NamedTuple):
    """One page, or what one of its forms does.

    Attributes:
        roles: whose tokens it is for.
    """

    method: str
    rule: str
    view: View
    roles: frozenset[Role]


PAGES: Final = (
    Page("GET", "/sign-in", signing_in.show_sign_in, _ALL),
    Page("POST", "/sign-in", signing_in.sign_in, _ALL),
    Page("POST", "/sign-out", signing_in.sign_out, _ALL),
    Page("GET", "/", searching.show_home, _ALL),
    Page("POST", "/search", searching.search, _ALL),
    Page("GET", "/timeline", timelines.show_timeline, _ALL),
    Page("GET", "/events/<int:position>", timelines.show_event, _ALL),
    Page("GET", "/cause", timelines.show_cause, _ALL),
    Page("GET", "/accounts/<account>", accounts.show_account, _STAFF),
    Page("GET", "/accounts/<account>/diff", questions.show_diff, _STAFF),
    Page("POST", "/accounts/<account>/explain", questions.explain, _STAFF),
    Page("GET", "/accounts/<account>/seat-history", seat_charts.show_seat_history, _STAFF),
    Page("POST", "/accounts/<account>/release", changes.release, _SUPPORT),
    Page("POST", "/accounts/<account>/terminate", changes.terminate, _ADMIN),
    Page("POST", "/accounts/<account>/link", changes.link, _SUPPORT),
    Page("POST", "/accounts/<account>/unlink", changes.unlink, _SUPPORT),
    Page("POST", "/accounts/<account>/assign", changes.assign, _SUPPORT),
    Page("POST", "/accounts/<account>/end-sessions", changes.end_sessions, _SUPPORT),
    Page("POST", "/accounts/<account>/clear-attempts", changes.let_try_again, _SUPPORT),
    Page("GET", "/keys", key_pages.show_keys, _ALL),
    Page("GET", "/keys/<key>", key_pages.show_key, _ALL),
    Page("GET", "/keys/<key>/receipt", key_pages.download_receipt, _ALL),
    Page("POST", "/keys/<key>/revoke", key_pages.revoke, _OWNERS),
    Page("POST", "/keys/<key>/reissue", key_pages.reissue, _OWNERS | _SUPPORT),
    Page("GET", "/issue", batch_pages.show_order, _OWNERS),
    Page("POST", "/issue", batch_pages.issue, _OWNERS),
    Page("GET", "/batches/<batch>", batch_pages.show_batch, _ALL),
    Page("POST", "/batches/<batch>/reveal", batch_pages.reveal, _OWNERS),
    Page("GET", "/attempts", attempts.show_attempts, _STAFF),
    Page("GET", "/overview", overview_page.show_overview, _STAFF),
    Page("GET", "/audit", audit_page.show_audit, _STAFF),
    Page("GET", "/audit/checkpoint", audit_page.download_checkpoint, _STAFF),
    Page("GET", "/tokens", token_pages.show_tokens, _ADMIN),
    Page("POST", "/tokens", token_pages.create, _ADMIN),
    Page("POST", "/tokens/<token>/revoke", token_pages.revoke_token, _ADMIN),
)
_ROLES_OF: Final = {f"console.{one.view.__name__}": one.roles for one in PAGES}


def register(app: Flask) -> None:
    """Serve the console; the customer's pages are there already, with what all pages need."""
    showing.register(app)
    pages = Blueprint("console", __name__, url_prefix="/console")
    pages.before_request(_come_in)
    problems.register(app, pages)
    for one in PAGES:
        one.view.access = EVERYBODY  # type: ignore[attr-defined]
        pages.add_url_rule(one.rule, one.view.__name__, one.view, methods=[one.method])
    app.register_blueprint(pages)


def _come_in() -> None:
    if request.method != "OPTIONS" and request.endpoint not in _OUTSIDE:
        shifts.come_in(_ROLES_OF[request.endpoint or ""])
