"""Cookies as every page of ours sets them: out of reach of scripts and of other sites."""

from __future__ import annotations

from typing import Literal

from flask import Response

from web.app.context import app_state


def put(
    response: Response,
    name: str,
    value: str,
    max_age: int | None = None,
    *,
    samesite: Literal["Lax", "Strict"] = "Lax",
) -> None:
    """Give the browser a cookie: until it is closed, or for so many seconds.

    Args:
        samesite: `Strict` for one that is not even sent when another site leads to ours.
    """
    response.set_cookie(
        called(name), value, max_age, path="/", secure=secure(), httponly=True, samesite=samesite
    )


def drop(response: Response, name: str) -> None:
    put(response, name, "", max_age=0)


def called(name: str) -> str:
    """Answer a cookie's whole name; over https it is one that no other host can set."""
    return f"__Host-{name}" if secure() else name


def secure() -> bool:
    return app_state().wiring.settings.is_https
