"""Problems as pages of the console: what happened, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flask import Blueprint, Flask, Response

from web.app import errors
from web.app.errors import ProblemType
from web.console import session, sign_in
from web.console.rendering import page
from web.html.csrf import FormRefused

FOLDER: Final = "console"

_ADVICE: Final = {
    400: "Nothing was changed. Go back and try again.",
    404: "Look for it by any reference of it, or choose a page from the menu.",
    413: "Nothing was kept. Send less.",
    422: "Nothing was changed. Go back, and look at what you entered.",
    500: "Try again. If it stays so, look for the reference below in the log.",
    502: "Nothing was changed.",
    503: "Nothing was changed. Try again in a moment.",
}
# A page that was asked for by htmx takes the place of all that is shown.
_FOR_HTMX: Final = {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"}


def register(app: Flask, pages: Blueprint) -> None:
    """Let every problem of the console be told by a page of it."""
    errors.show_as_pages(app, FOLDER, _of_kind)
    pages.register_error_handler(session.NotSignedIn, sign_in.ask_to_sign_in)
    pages.register_error_handler(session.NotForRole, _not_for_role)
    pages.register_error_handler(FormRefused, sign_in.refuse_form)


def _of_kind(kind: ProblemType, headers: Mapping[str, str]) -> Response:
    title = "There is no such page" if kind.status == errors.NOT_FOUND.status else kind.title
    advice = _ADVICE.get(kind.status, _ADVICE[400])
    return _page(kind.status, title, advice, headers)


def _not_for_role(_error: session.NotForRole) -> Response:
    advice = f"This is not for tokens of role {session.role()}. Nothing was changed."
    return _page(403, "Your token does not permit this", advice, {})


def _page(status: int, title: str, advice: str, headers: Mapping[str, str]) -> Response:
    return page("problem.html", status, {**headers, **_FOR_HTMX}, title=title, advice=advice)
