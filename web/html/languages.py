"""In which language a reader is answered: the one chosen here, else what the browser asks for.

Texts are English where they stand, inside `gettext` (`_` in modules and templates); the other
languages are in translations/, as docs/pages.md says. What the ledger and the projections have to
say (sentences, refusals) is in the same catalogue; on pages it comes in the reader's language.
"""

from __future__ import annotations

from typing import Final

from flask import Flask, Response, has_request_context, request
from flask_babel import (  # type: ignore[import-untyped]
    Babel,
    format_date,
    format_datetime,
    format_decimal,
    get_locale,
    get_translations,
    gettext,
    lazy_gettext,
    ngettext,
)

from ledger import translation
from ledger.translation import ENGLISH, TextLanguage
from web.html.cookies import Cookie

__all__ = [
    "format_date",
    "format_datetime",
    "format_decimal",
    "get_locale",
    "gettext",
    "lazy_gettext",
    "ngettext",
]

LANGUAGES: Final = {"en": "English", "de": "Deutsch"}
COOKIE: Final = Cookie("keyfold_language")
_KEPT_S: Final = 365 * 24 * 3600
_WINGS: Final = ("console", "portal")


def register(app: Flask) -> None:
    Babel(app, default_locale="en", default_timezone="UTC", locale_selector=current)
    app.jinja_env.globals["languages"] = LANGUAGES
    translation.follow(_of_reader)


def _of_reader() -> TextLanguage:
    if not has_request_context() or request.path.split("/")[1] not in _WINGS:
        return ENGLISH
    return TextLanguage(str(get_locale()), get_translations())


def current() -> str:
    """Return the language of the page: the chosen one, else the browser's favourite, else `en`."""
    return chosen() or request.accept_languages.best_match(list(LANGUAGES), "en") or "en"


def chosen() -> str | None:
    """Return the language that is certain whatever the browser asks for, if any is."""
    code = COOKIE.get()
    return code if code in LANGUAGES else None


def remember(response: Response, code: str) -> Response:
    """Let the browser keep the language that its reader has chosen, and return the response."""
    if code in LANGUAGES:
        COOKIE.set(response, code, _KEPT_S)
    return response
