"""Signing in at the provider that the vendor's people have an account with: OpenID Connect.

What the browser needs to come back with is in a cookie for ten minutes, signed, and taken once:

    GET /console/sign-in/provider   → the provider, with state, nonce and the verifier's digest
    GET /console/sign-in/callback   ← code and state; a page of ours, which leads on

The console's cookie is `SameSite=Strict`: where a chain of redirections began at another site, the
browser sends none. So what answers the provider is a page, from which the browser goes on.
"""

from __future__ import annotations

import base64
import hmac
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from flask import Response, request, url_for
from msgspec import Struct

from commands.console_session import record_refused, sign_in_person
from commands.reseller_spelling import known_spelling
from ledger import signing
from ledger.streams import signing_keys
from ledger.streams.people import LockedOut, person_id
from ledger.streams.sign_ins import PersonSignInProblem, PersonSignInRefused
from ledger.streams.signing_keys import SIGNING_KEYS
from web.app.context import app_state, request_context, services
from web.app.oidc_settings import OidcSettings
from web.console import session
from web.console.blueprint import bp
from web.console.provider_claims import claimed_role, is_enough
from web.console.session import ConsoleCookie
from web.console.sign_in import onward_to, show_form
from web.html.cookies import Cookie
from web.html.flash import FlashMessage, bad
from web.html.languages import lazy_gettext as _l
from web.html.rendering import page, redirect_to
from web.html.session import public

if TYPE_CHECKING:
    from commands.gateways.oidc import OidcGateway

TRY_LIFETIME: Final = timedelta(minutes=10)
CODE_LENGTH_MAX: Final = 4096
_PURPOSE: Final = "console sign-in at the provider"
# Not Strict: it has to come along when the provider's site leads back to ours.
_COOKIE: Final = Cookie("keyfold_console_provider", "Lax")
_DRAWN_BYTES: Final = 32
# What the person has done there, by what the provider calls it (RFC 6749; OpenID Connect Core).
_DENIED: Final = frozenset(
    {"access_denied", "consent_required", "interaction_required", "login_required"}
)
_BUSY: Final = frozenset({"temporarily_unavailable", "server_error"})

_STALE: Final = bad(
    _l("This sign-in was not begun here, or is over"),
    _l("It can be finished once, within ten minutes, in the browser it was begun in. Begin again."),
    status=403,
)
_WAS_DENIED: Final = bad(
    _l("The provider has not signed you in"),
    _l("You or it said no. Begin again, or ask who administers it."),
    status=403,
)
_UNAVAILABLE: Final = bad(
    _l("The provider does not answer"),
    _l("Nothing was changed. Try again in a moment, or sign in with a token."),
    status=503,
)
_FAILED: Final = bad(
    _l("The provider does not take this sign-in"),
    _l(
        "Begin again. If it stays so, whoever runs Keyfold finds the reason in its log, and with"
        " keyfold doctor."
    ),
    status=502,
)
_UNTRUSTED: Final = bad(
    _l("What the provider answered does not hold"),
    _l("You are not signed in. If it stays so, whoever runs Keyfold finds the reason in its log."),
    status=502,
)
_ASK: Final = _l("Ask who administers the accounts there, then sign in again.")
_PROBLEMS: Final[dict[PersonSignInProblem, FlashMessage]] = {
    "no_role": bad(_l("The provider gives you no role here"), _ASK, status=403),
    "unknown_role": bad(_l("What the provider says you are is no role here"), _ASK, status=403),
    "portal_role": bad(_l("There is no console for role portal"), _ASK, status=403),
    "no_reseller": bad(
        _l("The provider does not say which reseller you are of"), _ASK, status=403
    ),
    "unknown_reseller": bad(
        _l("The reseller that the provider says you are of is not known here"), _ASK, status=403
    ),
    "locked_out": bad(
        _l("You were locked out"), _l("Ask an admin of Keyfold to let you in again."), status=403
    ),
}  # fmt: skip
_log = logging.getLogger("keyfold.oidc")


class _Try(Struct, frozen=True, forbid_unknown_fields=True):
    """What the browser keeps while somebody is at the provider."""

    state: str
    nonce: str
    verifier: str
    onward: str
    until: datetime


@bp.get("/sign-in/provider")
@public
def begin_at_provider() -> Response:
    """Send the browser to the provider."""
    from commands.gateways.oidc import AuthorizationRequest, OidcUnavailable, OidcUntrusted

    found = _provider()
    if found is None:
        return redirect_to(url_for("console.show_sign_in"))
    _, gateway = found
    attempt = AuthorizationRequest(_drawn(), _drawn(), _drawn())
    try:
        url = gateway.authorization_url(attempt, _redirect_uri())
    except OidcUnavailable as error:
        return _could_not("does not answer", error, _UNAVAILABLE)
    except OidcUntrusted as error:
        return _could_not("is not to be trusted", error, _UNTRUSTED)
    onward = onward_to(request.args.get("onward", ""))
    pending = _Try(*attempt, onward, request_context().now + TRY_LIFETIME)
    response = redirect_to(url)
    signed = signing.sign(_keys()[0], _PURPOSE, pending)
    _COOKIE.set(response, signed, max_age=int(TRY_LIFETIME.total_seconds()))
    return response


@bp.get("/sign-in/callback")
@public
def end_at_provider() -> Response:
    """Take what the provider answers, and sign the person in; it is tried once."""
    found = _provider()
    if found is None:
        return redirect_to(url_for("console.show_sign_in"))
    pending = signing.read(_keys(), _PURPOSE, _COOKIE.get() or "", _Try)
    response = _answered(*found, pending)
    _COOKIE.delete(response)
    return response


def _answered(settings: OidcSettings, gateway: OidcGateway, pending: _Try | None) -> Response:
    state, code = request.args.get("state", ""), request.args.get("code", "")
    if pending is None or request_context().now >= pending.until:
        return show_form(message=_STALE)
    if not hmac.compare_digest(state.encode(), pending.state.encode()):
        return show_form(message=_STALE)
    if error := request.args.get("error"):
        if error in _DENIED:
            return show_form(message=_WAS_DENIED, onward=pending.onward)
        if error in _BUSY:
            return show_form(message=_UNAVAILABLE, onward=pending.onward)
        return _could_not("refuses", "an error in its answer", _FAILED)
    if not 0 < len(code) <= CODE_LENGTH_MAX:
        return show_form(message=_STALE)
    return _exchanged(settings, gateway, code, pending)


def _exchanged(settings: OidcSettings, gateway: OidcGateway, code: str, pending: _Try) -> Response:
    from commands.gateways.oidc import (
        AuthorizationRequest,
        OidcRefused,
        OidcUnavailable,
        OidcUntrusted,
    )

    try:
        claims = gateway.claims(
            code,
            AuthorizationRequest(pending.state, pending.nonce, pending.verifier),
            _redirect_uri(),
            request.args.get("iss"),
            lambda claims: is_enough(settings, claims),
        )
    except OidcUnavailable as error:
        return _could_not("does not answer", error, _UNAVAILABLE)
    except OidcRefused as error:
        return _could_not("refuses", error, _FAILED)
    except OidcUntrusted as error:
        return _could_not("is not to be trusted", error, _UNTRUSTED)
    person = person_id(services().person_key, settings.issuer, claims["sub"])
    said = claimed_role(settings, claims)
    if isinstance(said, str):
        return _refused(said)
    reseller = known_spelling(services(), said.reseller) if said.reseller else None
    if said.reseller and reseller is None:
        return _refused("unknown_reseller")
    try:
        begun = sign_in_person(
            services(), request_context(), person, said.role, reseller, settings.lifetime
        )
    except LockedOut:
        return _refused("locked_out", person)
    response = page("console/signed_in.html", onward=pending.onward)
    session.SESSIONS.write(response, ConsoleCookie(begun.id, begun.secret))
    return response


def _refused(problem: PersonSignInProblem, person: str | None = None) -> Response:
    refused = PersonSignInRefused(problem=problem, person=person)
    record_refused(services(), request_context(), refused)
    return show_form(message=_PROBLEMS[problem])


def _could_not(how: str, why: object, message: FlashMessage) -> Response:
    """Show what to do, and log for who runs this what it was: never anything of a person."""
    _log.warning("signing in: the provider %s: %s", how, why)
    return show_form(message=message)


def _provider() -> tuple[OidcSettings, OidcGateway] | None:
    wiring = app_state().wiring
    if wiring.settings.oidc is None or wiring.oidc is None:
        return None
    return wiring.settings.oidc, wiring.oidc


def _redirect_uri() -> str:
    return app_state().wiring.settings.public_url + url_for("console.end_at_provider")


def _keys() -> tuple[bytes, ...]:
    salts = services().book.load(SIGNING_KEYS, signing_keys.ID).state
    return signing_keys.keys(app_state().wiring.cookie_key, salts)


def _drawn() -> str:
    drawn = services().random_bytes(_DRAWN_BYTES)
    return base64.urlsafe_b64encode(drawn).decode().rstrip("=")
