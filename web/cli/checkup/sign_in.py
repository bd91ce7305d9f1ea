"""The provider of OpenID Connect that people sign in at."""

from __future__ import annotations

from commands.gateways.oidc import OidcUnavailable, OidcUntrusted
from web.app.services import oidc_of
from web.app.settings import Settings
from web.cli.checkup.result import CheckResult, fail, ok, skipped, warn


def check_sign_in(settings: Settings) -> CheckResult:
    """Return whether the provider describes itself, as the one of the setting, and has keys."""
    gateway = oidc_of(settings)
    if gateway is None:
        return skipped("sign-in", "no provider is set up (KEYFOLD_OIDC_ISSUER)")
    try:
        provider = gateway.described()
    except OidcUnavailable as error:
        return fail(
            "sign-in",
            f"the provider {gateway.issuer} does not answer: {error}",
            "let this machine reach it, or correct KEYFOLD_OIDC_ISSUER; tokens work meanwhile",
        )
    except OidcUntrusted as error:
        return fail(
            "sign-in",
            f"what {gateway.issuer} says of itself will not do: {error}",
            "set KEYFOLD_OIDC_ISSUER to exactly what its description has as issuer",
        )
    if not provider.takes_s256:
        return warn(
            "sign-in",
            f"{gateway.issuer} does not say that it takes PKCE with S256",
            "look whether people can sign in, and ask who runs it",
        )
    return ok("sign-in", f"{gateway.issuer} describes itself, and has keys")
