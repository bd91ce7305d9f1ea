"""How a page is sent: which headers it has, and what every template knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flask import Flask, Response, redirect, render_template, request

from web.app.context import app_state, request_id
from web.app.return_urls import allowed
from web.html import filters, languages, static_files

HTML: Final = "text/html; charset=utf-8"
# Where Stripe's own pages are; a form of ours may end there.
STRIPE_ORIGINS: Final = ("https://billing.stripe.com", "https://checkout.stripe.com")

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def register(app: Flask) -> None:
    """Put in what every page needs, whomever it is for."""
    static_files.register(app)
    languages.register(app)
    filters.register(app)


def page(
    template: str, status: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> Response:
    """Answer a page made of a template in templates/pages."""
    wiring = app_state().wiring
    body = render_template(
        f"portal/{template}",
        test_clock=wiring.settings.test_clock is not None,
        language=languages.current(),
        language_chosen=languages.chosen() is not None,
        request_id=request_id(),
        **context,
    )
    return guarded(Response(body, status, headers=headers, content_type=HTML))


def see(url: str) -> Response:
    """Send the browser on after a form; to a request of htmx it is told where the page is to go."""
    if "HX-Request" in request.headers:
        return guarded(Response(status=204, headers={"HX-Redirect": url}))
    response = redirect(url, 303)
    assert isinstance(response, Response)
    return guarded(response)


def guarded(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers["Content-Security-Policy"] = _policy()
    response.headers["Vary"] = "Accept-Language, Cookie"
    return response


def _policy() -> str:
    # Browsers hold a form also to where its answer redirects: to Stripe, to the portal.
    others = sorted(allowed(app_state().wiring.settings))
    targets = " ".join(["'self'", *STRIPE_ORIGINS, *others])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        f" img-src 'self' data:; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )
