"""In which language a reader is answered: the one chosen here, else what the browser asks for.

Texts are English where they stand, inside `gettext` (`_` in modules and templates); the other
languages are in translations/, as docs/pages.md says. The console is in English, like the sentences
of the timeline.
"""

from __future__ import annotations

from typing import Final

from flask import Flask, request
from flask_babel import (  # type: ignore[import-untyped]
    Babel,
    format_date,
    format_datetime,
    format_decimal,
    gettext,
    lazy_gettext,
    ngettext,
)

from web.html.cookies import Cookie

__all__ = [
    "format_date",
    "format_datetime",
    "format_decimal",
    "gettext",
    "lazy_gettext",
    "ngettext",
]

LANGUAGES: Final = {"en": "English", "de": "Deutsch"}
COOKIE: Final = Cookie("keyfold_language")


def register(app: Flask) -> None:
    Babel(app, default_locale="en", default_timezone="UTC", locale_selector=current)
    app.jinja_env.globals["languages"] = LANGUAGES


def current() -> str:
    """Return the language of the page: the chosen one, else the browser's favourite, else `en`."""
    return chosen() or request.accept_languages.best_match(list(LANGUAGES), "en") or "en"


def chosen() -> str | None:
    """Return the language that is certain whatever the browser asks for, if any is."""
    code = "en" if request.path.split("/")[1] == "console" else COOKIE.get()
    return code if code in LANGUAGES else None
