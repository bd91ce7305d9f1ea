"""Problems as pages: what happened, and what to do about it, in the reader's language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from flask import Blueprint, Flask, Response

from web.app import errors
from web.app.errors import ProblemType
from web.html.csrf import FormRefused
from web.html.languages import lazy_gettext as _
from web.html.rendering import page


class Said(NamedTuple):
    """What a problem's page says; the texts are in the reader's language when they are shown.

    Attributes:
        back: where the reader came from, if known.
    """

    status: int
    title: object
    advice: object
    back: str | None = None


# What is said of an exception, or what works that out of it.
Raised = Said | Callable[[Any], Said]

_FORM_REFUSED: Final = Said(
    403,
    _("This form cannot be taken"),
    _("It was not shown in your present visit, and nothing was changed. Open the page again."),
)
_OF_STATUS: Final[Mapping[int, Said]] = {
    404: Said(404, _("There is no such page"), _("Choose a page from the menu.")),
    413: Said(
        413,
        _("What you sent is too large"),
        _("Nothing was kept. Send a smaller file."),
    ),
    503: Said(
        503,
        _("We cannot reach our records"),
        _("Nothing was changed. Try again in a moment."),
    ),
    500: Said(
        500,
        _("Something went wrong on our side"),
        _("Try again. If it stays so, tell us the reference below."),
    ),
}
_OTHERWISE: Final = Said(
    400,
    _("That did not work"),
    _("Nothing was changed. Go back and try again."),
)
# A page that was asked for by htmx takes the place of all that is shown.
_FOR_HTMX: Final = {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"}


def register(
    app: Flask,
    pages: Blueprint,
    folder: str,
    layout: str,
    raised: Mapping[type[Exception], Raised],
    context: Callable[[], dict[str, Any]],
) -> None:
    """Let every problem of a folder's pages be told by a page in its layout.

    Args:
        folder: the first part of the pages' paths.
        raised: what is said of the exceptions that only these pages have.
        context: what the layout needs, also where no page was found.
    """
    said_of: dict[type[Exception], Raised] = {FormRefused: _FORM_REFUSED, **raised}

    def of_kind(kind: ProblemType, headers: Mapping[str, str]) -> Response:
        said = _OF_STATUS.get(kind.status, _OTHERWISE)._replace(status=kind.status)
        return _page(said, layout, headers, context())

    def of_exception(error: Exception) -> Response:
        said = said_of[type(error)]
        return _page(said if isinstance(said, Said) else said(error), layout, {}, context())

    errors.show_as_pages(app, folder, of_kind)
    for kind_of_error in said_of:
        pages.register_error_handler(kind_of_error, of_exception)


def _page(said: Said, layout: str, headers: Mapping[str, str], context: dict[str, Any]) -> Response:
    return page(
        "problem.html",
        said.status,
        {**headers, **_FOR_HTMX},
        said=said,
        layout=f"portal/{layout}",
        **context,
    )
