"""Access tokens: who has one, a new one, one taken back.

A new token is shown once. Its secret is drawn from the number of the form that asked for it and a
key of ours, so that a form that is sent twice makes one token, and shows it again.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime, timedelta
from typing import Final

from flask import Response, abort, request, url_for

from commands.give_access import TOKEN_BYTES, Given, create_token
from commands.give_access import revoke_token as take_back
from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.streams.token import ROLES
from projections.lists import tokens
from web.app import cursors
from web.app.context import app_state, request_context, services
from web.console import form_fields, session
from web.console.refusal_messages import saying
from web.console.rendering import page
from web.html import csrf
from web.html.flash import Saying
from web.html.rendering import see

PAGE_SIZE: Final = 50
DAYS_MAX: Final = 3650
_ONCE: Final = re.compile(r"[0-9a-f]{24}")
_OF: Final = ("console tokens",)


def show_tokens() -> Response:
    """List all tokens, those that let nobody in any more among them."""
    done = request.args.get("done") == "revoked"
    return _show(Saying("good", "The token lets nobody in any more.") if done else None)


def create() -> Response:
    """Give access, and show the token once."""
    once = request.form.get("once", "")
    if not _ONCE.fullmatch(once):
        abort(400)
    try:
        given = _given(once)
    except Refusal as refusal:
        return _show(saying(refusal), once)
    return page("token.html", given=given)


def revoke_token(token: str) -> Response:
    """Take access back."""
    try:
        take_back(services(), request_context(), token, form_fields.reason())
    except Refusal as refusal:
        return _show(saying(refusal))
    return see(url_for("console.show_tokens", done="revoked"))


def _show(said: Saying | None, once: str | None = None) -> Response:
    after = cursors.read(services().request_key, _OF, request.args.get("cursor"))
    tables = app_state().wiring.tables
    found = tokens.list_tokens(services().book, tables, after=after, limit=PAGE_SIZE)
    older = None
    if found.next is not None:
        cursor = cursors.write(services().request_key, _OF, found.next)
        older = url_for("console.show_tokens", cursor=cursor)
    return page(
        "tokens.html",
        said.status if said else 200,
        said=said,
        tokens=found.tokens,
        uses=app_state().wiring.token_uses.all(),
        older=older,
        now=request_context().now,
        roles=ROLES,
        once=once or csrf.once(),
    )


def _given(once: str) -> Given:
    """Carry the form out, or answer what it gave before.

    Raises:
        InvalidRequest: fields that do not fit, or others than before.
    """
    drawn = _drawn(once)
    return create_token(
        services()._replace(random_bytes=lambda count: drawn[:count]),
        request_context(),
        form_fields.sent("role") or "",
        reseller=form_fields.text("reseller") or None,
        expires_at=_expires_at(),
        reason=form_fields.reason(),
    )


def _drawn(once: str) -> bytes:
    """Answer what makes the token of one showing of the form, to this shift only."""
    shift = session.current()
    assert shift
    asked_by = f"console token\0{shift.secret}\0{once}".encode()
    return hmac.digest(app_state().wiring.cookie_key, asked_by, "sha256")[:TOKEN_BYTES]


def _expires_at() -> datetime | None:
    if form_fields.sent("days") is None:
        return None
    days = form_fields.number("days")
    if not 1 <= days <= DAYS_MAX:
        raise InvalidRequest(FieldError("/days", f"must be from 1 to {DAYS_MAX}"))
    return request_context().now + timedelta(days=days)
