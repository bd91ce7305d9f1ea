"""Pages of a list: where the one that the address asks for begins, and the address of the next."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import request, url_for

from web.app import cursors
from web.app.context import services


def after(of: tuple[Any, ...]) -> Any:
    """Return the place after which the page begins; None for the first.

    Args:
        of: the list, whose it is, and its filters.

    Raises:
        InvalidRequest: the address has no cursor of ours for this list.
    """
    return cursors.read(services().request_key, of, request.args.get("cursor"))


def older(
    of: tuple[Any, ...],
    next: Any,
    endpoint: str,
    parameters: Collection[str] = (),
    anchor: str | None = None,
) -> str | None:
    """Return the address of the next page; None when this one is the last.

    Args:
        next: the place after which it begins.
        parameters: those of the address that the next one keeps.
    """
    if next is None:
        return None
    kept: dict[str, Any] = {
        name: value for name, value in request.args.items() if name in parameters
    }
    kept |= {**(request.view_args or {}), "cursor": cursors.write(services().request_key, of, next)}
    return url_for(endpoint, **kept, _anchor=anchor)
