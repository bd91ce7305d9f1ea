"""Access tokens: who has one, a new one, one taken back.

A new token is shown once. Its secret is drawn from the number of the form that asked for it and a
key of ours, so that a form that is sent twice makes one token, and shows it again.
"""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta
from typing import Final

from flask import Response, url_for

from commands import give_access
from commands.give_access import TOKEN_BYTES, Given, create_token
from ledger.refusals import FieldError, InvalidRequest, Refusal
from ledger.streams.token import ROLES
from ledger.translation import gettext as _
from projections.lists.reseller_names import unheard
from projections.lists.tokens import list_tokens
from web.app.auth import ADMIN
from web.app.context import app_state, request_context, services
from web.console import paging, parameters, session
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.html import csrf
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to

PAGE_SIZE: Final = 50
DAYS_MAX: Final = 3650
_OF: Final = ("console tokens",)
_MESSAGES: Final = {"revoked": good(_l("The token lets nobody in any more."))}


@bp.get("/tokens")
@roles_required(ADMIN)
def show_tokens(message: FlashMessage | None = None, once: str | None = None) -> Response:
    """List all tokens, those that let nobody in any more among them.

    Args:
        once: the key of the form that was sent, if it may be sent again.
    """
    tables = app_state().wiring.tables
    found = list_tokens(services().book, tables, after=paging.after(_OF), limit=PAGE_SIZE)
    return page(
        "console/tokens.html",
        message=message or flashed(_MESSAGES),
        tokens=found.tokens,
        uses=app_state().wiring.token_uses.all(),
        older=paging.older(_OF, found.next, "console.show_tokens"),
        now=request_context().now,
        roles=[(one, one) for one in ROLES],
        once=once or csrf.new_idempotency_key(),
    )


@bp.post("/tokens")
@roles_required(ADMIN)
def create() -> Response:
    """Give access, and show the token once."""
    once = csrf.idempotency_key()
    try:
        given = _given(once)
    except Refusal as refusal:
        return show_tokens(refusal_message(refusal), once)
    name = given.token.reseller
    no_keys = unheard(services().book, app_state().wiring.tables, name) if name else None
    return page("console/token.html", given=given, no_keys=no_keys)


@bp.post("/tokens/<token>/revoke")
@roles_required(ADMIN)
def revoke_token(token: str) -> Response:
    """Take access back."""
    try:
        give_access.revoke_token(services(), request_context(), token, parameters.reason())
    except Refusal as refusal:
        return show_tokens(refusal_message(refusal))
    return redirect_to(url_for("console.show_tokens", done="revoked"))


def _given(once: str) -> Given:
    """Carry the form out, or return what it gave before.

    Raises:
        InvalidRequest: fields that do not fit, or others than before.
    """
    drawn = _drawn(once)
    return create_token(
        services()._replace(random_bytes=lambda count: drawn[:count]),
        request_context(),
        parameters.form("role") or "",
        reseller=parameters.text("reseller") or None,
        expires_at=_expires_at(),
        reason=parameters.reason(),
    )


def _drawn(once: str) -> bytes:
    """Return what makes the token of one showing of the form, to this session only."""
    asked_by = f"console token\0{session.SESSIONS.required().cookie.secret}\0{once}".encode()
    return hmac.digest(app_state().wiring.cookie_key, asked_by, "sha256")[:TOKEN_BYTES]


def _expires_at() -> datetime | None:
    if parameters.form("days") is None:
        return None
    days = parameters.number("days")
    if not 1 <= days <= DAYS_MAX:
        raise InvalidRequest(
            FieldError("/days", _("must be from 1 to %(days_max)s", days_max=DAYS_MAX))
        )
    return request_context().now + timedelta(days=days)
