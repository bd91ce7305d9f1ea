"""Refused tries: codes and seats that somebody wanted and did not get, with the reasons."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, NamedTuple

from flask import Response

from ledger.limits import ACCOUNT_ID
from ledger.refusals import FieldError, InvalidRequest
from ledger.streams.attempts import ATTEMPTS
from ledger.streams.session_attempts import SESSION
from ledger.translation import gettext as _
from projections.lists.timeline import TimelineQuery
from web.app.context import request_context, services
from web.console import parameters
from web.console.blueprint import bp
from web.console.session import STAFF, roles_required
from web.console.timeline import listed
from web.html.rendering import page

EVENTS: Final = {"codes": "attempts.redemption_refused", "seats": "attempts.seat_refused"}
SESSIONS_MAX: Final = 20


class Lockout(NamedTuple):
    """A lockout that lasts; of the whole account when there is no session."""

    session: str | None
    until: datetime


@bp.get("/attempts")
@roles_required(*STAFF)
def show_attempts() -> Response:
    """List refused tries: of codes or of seats, of all accounts or of one."""
    what = parameters.query("what") or "codes"
    account = parameters.query("account")
    if what not in EVENTS:
        raise InvalidRequest(
            FieldError("/what", _("must be one of %(events)s", events=", ".join(EVENTS)))
        )
    if account is not None and not re.fullmatch(ACCOUNT_ID, account):
        raise InvalidRequest(FieldError("/account", _("must be an account")))
    query = TimelineQuery(account=account, event=EVENTS[what])
    return page(
        "console/attempts.html",
        what=what,
        account=account,
        listing=listed(query, endpoint="console.show_attempts"),
        blocks=_blocks(account) if account else [],
    )


def _blocks(account: str) -> list[Lockout]:
    """Return the lockouts of an account that last now."""
    book, now = services().book, request_context().now
    state = book.load(ATTEMPTS, account).state
    of_account = state.account_block(now)
    if of_account is not None:
        return [Lockout(None, of_account)]
    found = []
    for name in {*state.sessions, *state.recent_sessions}:
        session = book.load(SESSION, services().codes.session_id(name)).state
        end = state.session_block(name, session, now)
        if end is not None:
            found.append(Lockout(name, end))
    return sorted(found, key=lambda one: one.until, reverse=True)[:SESSIONS_MAX]
