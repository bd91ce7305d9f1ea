"""Signing in with a token, and out again; at a provider: `provider_sign_in`.

The token is sent once, in a form, and kept nowhere: not in an address, a cookie or a log. Any page
that is asked for by a stranger shows the form in its place, and leads on to that page.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from flask import Response, request, url_for

from commands import console_session
from commands.console_session import record_refused
from ledger.streams import token as tokens
from ledger.streams.sign_ins import ConsoleSignInRefused, SignInProblem
from ledger.streams.token import TOKEN, Token
from web.app.context import app_state, request_context, services
from web.console import session
from web.console.blueprint import ERROR_PAGES, bp, of_form
from web.console.session import ConsoleCookie, NotSignedIn, roles_required
from web.html import csrf, languages
from web.html.cookies import Cookie
from web.html.csrf import FormRefused
from web.html.flash import FlashMessage, bad
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.html.session import public, session_is_asked_for

TOKEN_LENGTH_MAX: Final = 200
_PRE_SESSION: Final = Cookie("keyfold_console_door", "Strict")
# An address of ours: no other host's, and nothing but what an address is made of.
_INSIDE: Final = re.compile(r"/console/[A-Za-z0-9._~:/?&=%+@-]{0,1500}")
_REFUSED: Final = bad(_l("This token lets nobody in"), _l("It is unknown, revoked or expired."))
_OF_PORTAL: Final = bad(_l("There is no console for tokens of role portal"))
_NO_COOKIES: Final = bad(
    _l("Your browser does not accept cookies"), _l("Allow them for this site, then try again.")
)
_FORM_REFUSED: Final = bad(_l("This form cannot be taken"), _l("It was not shown to you just now."))


@bp.get("/sign-in")
@public
def show_sign_in() -> Response:
    """Show the form; who is signed in already is led on."""
    return redirect_to(url_for("console.show_home")) if session.resume() else show_form(200)


@bp.post("/sign-in")
@public
def sign_in() -> Response:
    """Take a token, and lead on.

    Raises:
        FormRefused: another site sent the form, or the browser keeps no cookies.
    """
    secret = _PRE_SESSION.get()
    if not secret:
        return show_form(403, _NO_COOKIES)
    csrf.check(secret)
    token = _token(request.form.get("token", "").strip())
    problem = _problem(token)
    if token is None or problem is not None:
        refused = ConsoleSignInRefused(
            problem=problem or "unknown_token", token=token.id if token else None
        )
        record_refused(services(), request_context(), refused)
        return show_form(403, _OF_PORTAL if problem == "portal_token" else _REFUSED)
    response = redirect_to(onward_to(request.form.get("onward", "")))
    begun = console_session.sign_in(services(), request_context(), token)
    session.SESSIONS.write(response, ConsoleCookie(begun.id, begun.secret))
    _PRE_SESSION.delete(response)
    return response


@bp.post("/sign-out")
@roles_required(*session.ALL)
def sign_out() -> Response:
    """End the session for good."""
    console_session.sign_out(
        services(), request_context(), session.SESSIONS.required().cookie.session
    )
    response = redirect_to(url_for("console.show_sign_in"))
    session.SESSIONS.cookie.delete(response)
    return response


@bp.post("/language")
@roles_required(*session.ALL)
def choose_language() -> Response:
    """Remember the language that the reader has chosen, and go back to the page."""
    response = redirect_to(onward_to(request.form.get("back", "")))
    return languages.remember(response, request.form.get("language", ""))


@bp.errorhandler(NotSignedIn)
def ask_to_sign_in(_error: NotSignedIn) -> Response:
    """Return the form, in the place of a page that somebody has to sign in for."""
    return show_form(403)


@bp.errorhandler(FormRefused)
def refuse_form(_error: FormRefused) -> Response:
    """Return the page that says a form was not ours, or of another session; nothing was changed."""
    if session.SESSIONS.current() is None:
        return show_form(403, _FORM_REFUSED)
    return ERROR_PAGES.show(of_form())


def show_form(
    status: int | None = None, message: FlashMessage | None = None, onward: str = ""
) -> Response:
    """Return the form to sign in with.

    Args:
        status: the message's, if left out.
        onward: where to go on, if the request does not say so.
    """
    secret = _PRE_SESSION.get() or csrf.new_pre_session()
    onward = request.form.get("onward", onward)
    if request.method == "GET" and session_is_asked_for():
        onward = request.full_path.removesuffix("?")
    response = page(
        "console/sign_in.html",
        status,
        {"HX-Refresh": "true"} if "HX-Request" in request.headers else None,
        message=message,
        onward=onward_to(onward),
        elsewhere=bool(onward),
        provider=_provider_name(),
        csrf_field=csrf.field(secret),
    )
    _PRE_SESSION.set(response, secret)
    return response


def _provider_name() -> str | None:
    """Return what the provider is called that people may sign in at; None if there is none."""
    oidc = app_state().wiring.settings.oidc
    return urlsplit(oidc.issuer).hostname if oidc else None


def _token(secret: str) -> Token | None:
    """Return the token that was shown, whether or not it lets anybody in."""
    if not 0 < len(secret) <= TOKEN_LENGTH_MAX or not secret.isascii():
        return None
    id = tokens.token_id(services().token_key, secret)
    return services().book.load(TOKEN, tokens.stream_id(id)).state


def _problem(token: Token | None) -> SignInProblem | None:
    if token is None:
        return "unknown_token"
    if token.revoked_at is not None:
        return "revoked_token"
    if not token.valid(request_context().now):
        return "expired_token"
    return None if token.role in session.ALL else "portal_token"


def onward_to(path: str) -> str:
    """Return where to go on: only to pages of ours."""
    return path if _INSIDE.fullmatch(path) else url_for("console.show_home")
