"""How a page is sent: which headers it has, and what every template knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from flask import Flask, Response, current_app, redirect, render_template, request
from markupsafe import Markup

from web.app.context import app_state, request_id
from web.app.times import iso
from web.html import languages, static_files
from web.html.flash import FlashMessage
from web.html.formatting import money
from web.html.languages import format_datetime, format_decimal
from web.html.notice_texts import notice_title
from web.html.stripe_texts import badge

# Where Stripe's own pages are; a form of ours may end there.
STRIPE_ORIGINS: Final = ("https://billing.stripe.com", "https://checkout.stripe.com")

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": "Accept-Language, Cookie",
}


def register(app: Flask) -> None:
    """Give the application what every page needs, whomever it is for."""
    app.register_blueprint(static_files.bp)
    languages.register(app)
    app.jinja_env.filters |= {
        "time": time, "number": format_decimal, "money": money, "badge": badge, "iso": iso,
        "notice_title": notice_title,
    }  # fmt: skip


def page(
    template: str,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    message: FlashMessage | None = None,
    sent_again: bool = False,
    **context: Any,
) -> Response:
    """Return a page made of a template.

    Args:
        status: the message's, or 200, if left out.
        message: shown at the page's top.
        sent_again: it answers a form that may be sent again for the same answer, and is to be
            loaded again so.
    """
    settings = app_state().wiring.settings
    body = render_template(
        template,
        test_clock=settings.test_clock is not None,
        brand=settings.catalog.brand,
        language=languages.current(),
        language_chosen=languages.chosen() is not None,
        request_id=request_id(),
        address=None if sent_again else _address(),
        message=message,
        **context,
    )
    status = status or (message.status if message else 200)
    return with_headers(Response(body, status, headers, content_type="text/html; charset=utf-8"))


def _address() -> str | None:
    """Return where a page that answers a form can be asked for; None for any other.

    A browser that comes back to it would have to send the form again, and shows its own error.
    """
    adapter = current_app.create_url_adapter(request)
    assert adapter is not None
    path = request.path
    while request.method == "POST" and path.strip("/"):
        if adapter.test(path, "GET"):
            return request.script_root + path
        path = path.rpartition("/")[0]
    return None


def redirect_to(url: str) -> Response:
    """Return the response to a form that sends the browser on; htmx is told where to go."""
    if "HX-Request" in request.headers:
        return with_headers(Response(status=204, headers={"HX-Redirect": url}))
    response = redirect(url, 303)
    assert isinstance(response, Response)
    return with_headers(response)


def with_headers(response: Response) -> Response:
    """Add the headers that all pages have, and return the response."""
    response.headers.update(_HEADERS)
    response.headers["Content-Security-Policy"] = _policy()
    return response


def time(at: datetime) -> Markup:
    """Return a time as HTML: for machines exact, on hover exact, to read in the page's language.

    A script puts it into the reader's own zone; without one it stays UTC, and says so.
    """
    exact = at.astimezone(UTC)
    shown = format_datetime(exact, "medium") + " UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        iso(exact), f"{exact:%Y-%m-%d %H:%M:%S} UTC", shown
    )


def _policy() -> str:
    # Browsers hold a form also to where its answer redirects: to Stripe, to the portal.
    others = sorted(app_state().wiring.settings.allowed_origins)
    targets = " ".join(["'self'", *STRIPE_ORIGINS, *others])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        f" img-src 'self' data:; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )
