"""What the pages look like and are moved by: stylesheets, scripts, an icon.

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

from flask import Blueprint, Flask, Response, abort, request, url_for

from web.app.auth import EVERYBODY

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
DIGEST_LENGTH: Final = 16


class Asset(NamedTuple):
    """One file as it is sent."""

    name: str
    content_type: str
    plain: bytes
    packed: bytes


def register(app: Flask) -> None:
    """Serve the files, and let templates name them with `asset('keyfold.css')`."""
    made = {name: _make(name, sources) for name, sources in SOURCES.items()}
    served = {asset.name: asset for asset in made.values()}
    pages = Blueprint("assets", __name__)

    def show_asset(name: str) -> Response:
        if name not in served:
            abort(404)
        return _answer(served[name])

    def asset(name: str) -> str:
        return url_for("assets.show_asset", name=made[name].name)

    show_asset.access = EVERYBODY  # type: ignore[attr-defined]
    pages.add_url_rule("/assets/<name>", view_func=show_asset)
    app.register_blueprint(pages)
    app.jinja_env.globals["asset"] = asset


@functools.cache
def _make(name: str, sources: tuple[str, ...]) -> Asset:
    folder = resources.files("web").joinpath("static")
    plain = b"\n".join(folder.joinpath(source).read_bytes() for source in sources)
    place = PurePosixPath(name)
    digest = hashlib.sha256(plain).hexdigest()[:DIGEST_LENGTH]
    return Asset(
        f"{place.stem}.{digest}{place.suffix}",
        TYPES[place.suffix],
        plain,
        gzip.compress(plain, mtime=0),
    )


def _answer(asset: Asset) -> Response:
    packed = request.accept_encodings.quality("gzip") > 0
    response = Response(asset.packed if packed else asset.plain, content_type=asset.content_type)
    response.headers["Cache-Control"] = FOR_EVER
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    return response
