"""Errors as pages: what happened, and what to do about it, in the layout of the wing it is in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from flask import Blueprint, Flask, Response

from web.app import errors
from web.app.errors import ProblemType
from web.html.rendering import page

# A page that was asked for by htmx takes the place of all that is shown.
_FOR_HTMX: Final = {"HX-Retarget": "#main", "HX-Reselect": "#main", "HX-Reswap": "outerHTML"}


class ErrorMessage(NamedTuple):
    """What an error page says; the texts are in the reader's language when they are shown.

    Attributes:
        link: where to go from here, as address and text.
        reference: whether the request's id is shown, by which it is found in the log.
        typed: what somebody typed in vain, each with what it is, to be copied.
        faults: what is wrong with which field, as sentences.
    """

    status: int
    title: object
    advice: object
    link: tuple[str, object] | None = None
    reference: bool = False
    typed: Sequence[tuple[object, str]] = ()
    faults: Sequence[object] = ()


class ErrorPages(NamedTuple):
    """The error pages of one wing.

    Attributes:
        of_kind: what is said of an error of any page.
        of_exceptions: what is said of exceptions that only the wing's views raise.
        context: what the layout needs, also for an address that no view has.
    """

    layout: str
    of_kind: Callable[[ProblemType], ErrorMessage]
    of_exceptions: Mapping[type[Exception], Callable[[Any], ErrorMessage]]
    context: Callable[[], dict[str, Any]]

    def register(self, bp: Blueprint) -> None:
        """Show them for whatever is raised below the blueprint's prefix."""
        bp.record(
            lambda state: errors.show_as_pages(cast(Flask, state.app), bp.name, self._show_kind)
        )
        for raised in self.of_exceptions:
            bp.register_error_handler(raised, self.show_exception)

    def _show_kind(self, kind: ProblemType, headers: Mapping[str, str]) -> Response:
        return self.show(self.of_kind(kind), headers)

    def show_exception(self, error: Exception) -> Response:
        """Return the page of an exception, with its status."""
        classes = type(error).__mro__
        message = next(self.of_exceptions[one] for one in classes if one in self.of_exceptions)
        return self.show(message(error))

    def show(self, error: ErrorMessage, headers: Mapping[str, str] | None = None) -> Response:
        """Return the page of an error, with its status; htmx shows it whole, too."""
        return page(
            "html/error.html",
            error.status,
            {**(headers or {}), **_FOR_HTMX},
            error=error,
            layout=self.layout,
            **self.context(),
        )
