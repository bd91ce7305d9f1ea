"""Signing in with a token, and out again.

The token is sent once, in a form, and kept nowhere: not in an address, a cookie or a log. Any page
that is asked for by a stranger shows the form in its place, and leads on to that page.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

from flask import Response, request, url_for

from commands import console_session
from commands.console_session import record_refused
from ledger.streams import token as tokens
from ledger.streams.sign_ins import Problem
from ledger.streams.token import TOKEN, Token
from web.app.context import request_context, services
from web.console import session
from web.console.rendering import page
from web.html import cookies, csrf
from web.html.csrf import FormRefused
from web.html.flash import Saying
from web.html.rendering import see

TOKEN_LENGTH_MAX: Final = 200
_DOOR: Final = "keyfold_console_door"
# An address of ours: no other host's, and nothing but what an address is made of.
_INSIDE: Final = re.compile(r"/console/[A-Za-z0-9._~:/?&=%+@-]{0,1500}")


def show_sign_in() -> Response:
    """Show the form; who is signed in already is led on."""
    try:
        session.come_in(session.ROLES)
    except session.NotSignedIn:
        return form(200)
    return see(url_for("console.show_home"))


def sign_in() -> Response:
    """Take a token, and lead on.

    Raises:
        FormRefused: another site sent the form, or the browser keeps no cookies.
    """
    bound_to = request.cookies.get(cookies.called(_DOOR))
    if not bound_to:
        return form(403, Saying("bad", "Your browser keeps no cookies", [_ALLOW]))
    csrf.expect_ours(bound_to)
    token = _token(request.form.get("token", "").strip())
    problem = _problem(token)
    if token is None or problem is not None:
        record_refused(
            services(), request_context(), problem or "unknown_token", token.id if token else None
        )
        return form(403, _SAID_OF_PORTAL if problem == "portal_token" else _SAID_OF_REFUSED)
    response = see(_onward(request.form.get("onward", "")))
    session.begin(response, console_session.sign_in(services(), request_context(), token))
    cookies.put(response, _DOOR, "", max_age=0, samesite="Strict")
    return response


def sign_out() -> Response:
    """End the session for good."""
    current = session.current()
    assert current
    console_session.sign_out(services(), request_context(), current.id)
    response = see(url_for("console.show_sign_in"))
    session.end(response)
    return response


def ask_to_sign_in(_error: session.NotSignedIn) -> Response:
    """Show the form in the place of a page that somebody has to sign in for."""
    return form(403)


def refuse_form(_error: FormRefused) -> Response:
    """Say that a form was not ours, or of another shift; nothing was changed."""
    if session.current() is None:
        said = Saying("bad", "This form cannot be taken", ["It was not shown to you just now."])
        return form(403, said)
    return page(
        "problem.html",
        403,
        title="This form cannot be taken",
        advice="It was not shown since you signed in, and nothing was changed."
        " Open the page again.",
    )


def form(status: int, said: Saying | None = None) -> Response:
    """Show the form to sign in with."""
    bound_to = request.cookies.get(cookies.called(_DOOR)) or secrets.token_hex(16)
    onward = request.form.get("onward", "")
    if request.method == "GET" and request.endpoint != "console.show_sign_in":
        onward = request.full_path.removesuffix("?")
    response = page(
        "sign_in.html",
        status,
        {"HX-Refresh": "true"} if "HX-Request" in request.headers else None,
        said=said,
        onward=_onward(onward),
        elsewhere=bool(onward),
        door=csrf.field(bound_to),
    )
    cookies.put(response, _DOOR, bound_to, samesite="Strict")
    return response


_SAID_OF_REFUSED: Final = Saying(
    "bad", "This token lets nobody in", ["It is unknown, revoked or expired."]
)
_SAID_OF_PORTAL: Final = Saying("bad", "There is no console for tokens of role portal")
_ALLOW: Final = "Allow them for this site, then try again."


def _token(secret: str) -> Token | None:
    """Return the token that was shown, whether or not it lets anybody in."""
    if not 0 < len(secret) <= TOKEN_LENGTH_MAX or not secret.isascii():
        return None
    id = tokens.token_id(services().token_key, secret)
    return services().book.load(TOKEN, tokens.stream_id(id)).state


def _problem(token: Token | None) -> Problem | None:
    if token is None:
        return "unknown_token"
    if token.revoked_at is not None:
        return "revoked_token"
    if not token.valid(request_context().now):
        return "expired_token"
    return None if token.role in session.ROLES else "portal_token"


def _onward(path: str) -> str:
    """Answer where to go on: only to pages of ours."""
    return path if _INSIDE.fullmatch(path) else url_for("console.show_home")
