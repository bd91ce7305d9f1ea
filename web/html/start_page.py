"""`/`: what is here, for whoever has only the address."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response, render_template, request, url_for

from web.app.context import app_state
from web.app.responses import JSON_TYPE, reply
from web.html.session import public

POLICY: Final = (
    "default-src 'self'; script-src 'none'; object-src 'none'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)

bp = Blueprint("start", __name__)


@bp.get("/")
@public
def show_start() -> Response:
    """Show where the pages, the console, the API and its documentation are.

    As JSON to who prefers that.
    """
    if request.accept_mimetypes.best_match(["text/html", JSON_TYPE]) == JSON_TYPE:
        response = reply(
            {
                "name": "Keyfold",
                "api": "/v1",
                "documentation": "/docs",
                "openapi": "/openapi.json",
                "console": url_for("console.show_home"),
                "portal": url_for("portal.show_first"),
                "health": "/healthz",
                "readiness": "/readyz",
                "metrics": "/metrics",
            }
        )
    else:
        settings = app_state().wiring.settings
        body = render_template(
            "start.html",
            brand=settings.catalog.brand,
            test_clock=settings.test_clock is not None,
        )
        response = Response(body, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = POLICY
    response.headers["Vary"] = "Accept"
    return response
