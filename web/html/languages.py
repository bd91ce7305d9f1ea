"""In which language a reader is answered: the one chosen here, else what the browser asks for.

Texts are English where they stand, inside `gettext` (`_` in modules and templates); the other
languages are in translations/, as docs/pages.md says.
"""

from __future__ import annotations

from typing import Final

from flask import Flask, request
from flask_babel import (  # type: ignore[import-untyped]
    Babel,
    format_datetime,
    format_decimal,
    gettext,
    lazy_gettext,
    ngettext,
)

__all__ = ["format_datetime", "format_decimal", "gettext", "lazy_gettext", "ngettext"]

LANGUAGES: Final = {"en": "English", "de": "Deutsch"}
COOKIE: Final = "keyfold_language"


def register(app: Flask) -> None:
    Babel(app, default_locale="en", default_timezone="UTC", locale_selector=current)
    app.jinja_env.globals["languages"] = LANGUAGES


def current() -> str:
    return chosen() or request.accept_languages.best_match(list(LANGUAGES), "en") or "en"


def chosen() -> str | None:
    """Answer the language that the reader has chosen on a page of ours, if any."""
    code = request.cookies.get(COOKIE)
    return code if code in LANGUAGES else None
