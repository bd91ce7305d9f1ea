"""What the pages look like and are moved by: stylesheets, scripts, an icon; the vendor's own logo.

Each is named after its content, so that it may be kept for ever, and is sent compressed to whoever
takes it so. Nothing comes from another host: htmx, Pico and uPlot are in static/vendor as released.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from flask import Blueprint, Response, abort, request, url_for

from ledger.catalog import Brand
from web.app.brand import Logo, stylesheet
from web.app.context import app_state
from web.html.session import public

SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "keyfold.css": ("vendor/pico/pico.min.css", "pages.css"),
    "htmx.js": ("vendor/htmx/htmx.min.js",),
    "keyfold.js": ("pages.js",),
    "keyfold.svg": ("keyfold.svg",),
    "console.css": ("vendor/uplot/uPlot.min.css", "console.css"),
    "console.js": ("console.js",),
    "uplot.js": ("vendor/uplot/uPlot.iife.min.js",),
}
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ALONE: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
DIGEST_LENGTH: Final = 16


class Asset(NamedTuple):
    """One file as it is sent."""

    name: str
    content_type: str
    plain: bytes
    packed: bytes


bp = Blueprint("assets", __name__)


@bp.get("/assets/<name>")
@public
def show_asset(name: str) -> Response:
    """Send a file by its whole name."""
    found = next((one for one in _all().values() if one.name == name), None)
    if found is None:
        abort(404)
    packed = request.accept_encodings.quality("gzip") > 0
    response = Response(found.packed if packed else found.plain, content_type=found.content_type)
    response.headers["Cache-Control"] = FOR_EVER
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    # A picture may hold a script, and be opened by itself.
    response.headers["Content-Security-Policy"] = ALONE
    return response


@bp.app_template_global()
def asset(name: str) -> str:
    """Return the address of a file for templates: `asset('keyfold.css')`."""
    return url_for("assets.show_asset", name=_all()[name].name)


def _all() -> Mapping[str, Asset]:
    settings = app_state().wiring.settings
    return {**_assets(), **_of_brand(settings.catalog.brand, settings.logo)}


@functools.cache
def _of_brand(brand: Brand, logo: Logo | None) -> Mapping[str, Asset]:
    made = {"brand.css": _asset(PurePosixPath("brand.css"), stylesheet(brand).encode())}
    if logo is not None:
        suffix = PurePosixPath(brand.logo or "").suffix.lower()
        made["logo"] = _asset(PurePosixPath(f"logo{suffix}"), logo.content, logo.content_type)
    return made


@functools.cache
def _assets() -> Mapping[str, Asset]:
    return {name: _make(PurePosixPath(name), sources) for name, sources in SOURCES.items()}


def _make(name: PurePosixPath, sources: tuple[str, ...]) -> Asset:
    folder = resources.files("web").joinpath("static")
    plain = b"\n".join(folder.joinpath(source).read_bytes() for source in sources)
    return _asset(name, plain)


def _asset(name: PurePosixPath, plain: bytes, content_type: str | None = None) -> Asset:
    digest = hashlib.sha256(plain).hexdigest()[:DIGEST_LENGTH]
    named = f"{name.stem}.{digest}{name.suffix}"
    packed = gzip.compress(plain, mtime=0)
    return Asset(named, content_type or TYPES[name.suffix], plain, packed)
