"""/console: the pages of staff and resellers, each with its path and whom it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from flask import Blueprint, Flask, Response, request

from ledger.streams.token import Role
from web.app.auth import ADMIN, AUDITOR, EVERYBODY, RESELLER, SUPPORT
from web.console import (
    accounts,
    attempts,
    audit,
    batches,
    changes,
    error_pages,
    keys,
    overview,
    questions,
    rendering,
    search,
    seat_history,
    session,
    sign_in,
    timeline,
    tokens,
)

View = Callable[..., Response]

_ALL: Final = session.ROLES
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
    Page("GET", "/sign-in", sign_in.show_sign_in, _ALL),
    Page("POST", "/sign-in", sign_in.sign_in, _ALL),
    Page("POST", "/sign-out", sign_in.sign_out, _ALL),
    Page("GET", "/", search.show_home, _ALL),
    Page("POST", "/search", search.search, _ALL),
    Page("GET", "/timeline", timeline.show_timeline, _ALL),
    Page("GET", "/events/<int:position>", timeline.show_event, _ALL),
    Page("GET", "/cause", timeline.show_cause, _ALL),
    Page("GET", "/accounts/<account>", accounts.show_account, _STAFF),
    Page("GET", "/accounts/<account>/diff", questions.show_diff, _STAFF),
    Page("POST", "/accounts/<account>/explain", questions.explain, _STAFF),
    Page("GET", "/accounts/<account>/seat-history", seat_history.show_seat_history, _STAFF),
    Page("POST", "/accounts/<account>/release", changes.release, _SUPPORT),
    Page("POST", "/accounts/<account>/terminate", changes.terminate, _ADMIN),
    Page("POST", "/accounts/<account>/link", changes.link, _SUPPORT),
    Page("POST", "/accounts/<account>/unlink", changes.unlink, _SUPPORT),
    Page("POST", "/accounts/<account>/assign", changes.assign, _SUPPORT),
    Page("POST", "/accounts/<account>/end-sessions", changes.end_sessions, _SUPPORT),
    Page("POST", "/accounts/<account>/clear-attempts", changes.let_try_again, _SUPPORT),
    Page("GET", "/keys", keys.show_keys, _ALL),
    Page("GET", "/keys/<key>", keys.show_key, _ALL),
    Page("GET", "/keys/<key>/receipt", keys.download_receipt, _ALL),
    Page("POST", "/keys/<key>/revoke", keys.revoke, _OWNERS),
    Page("POST", "/keys/<key>/reissue", keys.reissue, _OWNERS | _SUPPORT),
    Page("GET", "/issue", batches.show_order, _OWNERS),
    Page("POST", "/issue", batches.issue, _OWNERS),
    Page("GET", "/batches/<batch>", batches.show_batch, _ALL),
    Page("POST", "/batches/<batch>/reveal", batches.reveal, _OWNERS),
    Page("GET", "/attempts", attempts.show_attempts, _STAFF),
    Page("GET", "/overview", overview.show_overview, _STAFF),
    Page("GET", "/audit", audit.show_audit, _STAFF),
    Page("GET", "/audit/checkpoint", audit.download_checkpoint, _STAFF),
    Page("GET", "/tokens", tokens.show_tokens, _ADMIN),
    Page("POST", "/tokens", tokens.create, _ADMIN),
    Page("POST", "/tokens/<token>/revoke", tokens.revoke_token, _ADMIN),
)
_ROLES_OF: Final = {f"console.{one.view.__name__}": one.roles for one in PAGES}


def register(app: Flask) -> None:
    """Serve the console; the customer's pages are there already, with what all pages need."""
    rendering.register(app)
    pages = Blueprint("console", __name__, url_prefix="/console")
    pages.before_request(_come_in)
    error_pages.register(app, pages)
    for one in PAGES:
        one.view.access = EVERYBODY  # type: ignore[attr-defined]
        pages.add_url_rule(one.rule, one.view.__name__, one.view, methods=[one.method])
    app.register_blueprint(pages)


def _come_in() -> None:
    if request.method != "OPTIONS" and request.endpoint not in _OUTSIDE:
        session.come_in(_ROLES_OF[request.endpoint or ""])
