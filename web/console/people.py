"""The people who sign in at the provider: who they are to the ledger, and who is locked out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Response, url_for

from commands import people as commands
from ledger.refusals import Refusal
from projections.lists.people import list_people
from web.app.auth import ADMIN
from web.app.context import app_state, request_context, services
from web.console import parameters
from web.console.blueprint import bp
from web.console.refusal_messages import refusal_message
from web.console.session import roles_required
from web.html.flash import FlashMessage, flashed, good
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to

_MESSAGES: Final = {
    "ended": good(_l("All sessions of the person have ended.")),
    "locked": good(_l("The person is let in no more.")),
    "let_in": good(_l("The person may sign in again.")),
}


@bp.get("/people")
@roles_required(ADMIN)
def show_people(message: FlashMessage | None = None) -> Response:
    """List all people who signed in, or were locked out; the newest first."""
    return page(
        "console/people.html",
        message=message or flashed(_MESSAGES),
        people=list_people(services().book),
        uses=app_state().wiring.token_uses.all(),
        is_set_up=app_state().wiring.settings.oidc is not None,
    )


@bp.post("/people/<person>/end-sessions")
@roles_required(ADMIN)
def end_sessions_of(person: str) -> Response:
    """Sign a person out everywhere."""
    return _carried_out(commands.end_sessions, person, "ended")


@bp.post("/people/<person>/lock-out")
@roles_required(ADMIN)
def lock_out(person: str) -> Response:
    """Let a person in no more."""
    return _carried_out(commands.lock_out, person, "locked")


@bp.post("/people/<person>/let-in")
@roles_required(ADMIN)
def let_in(person: str) -> Response:
    """Let a person sign in again."""
    return _carried_out(commands.let_in, person, "let_in")


def _carried_out(command: Callable[..., Any], person: str, done: str) -> Response:
    try:
        command(services(), request_context(), person, parameters.reason())
    except Refusal as refusal:
        return show_people(refusal_message(refusal))
    return redirect_to(url_for("console.show_people", done=done))
