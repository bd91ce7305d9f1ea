"""Cookies as every page of ours sets them: out of reach of scripts and of other sites."""

from __future__ import annotations

from typing import Literal, NamedTuple

from flask import Response, request

from web.app.context import app_state


class Cookie(NamedTuple):
    """A cookie of ours; over https it has a prefix by which no other host can set it.

    Attributes:
        samesite: `Strict` for one that is not even sent when another site leads to ours.
    """

    name: str
    samesite: Literal["Lax", "Strict"] = "Lax"

    def get(self) -> str | None:
        """Return the cookie's value as the browser sent it; None if it sent none."""
        return request.cookies.get(self._name_sent())

    def set(self, response: Response, value: str, max_age: int | None = None) -> None:
        """Give it to the browser: until it is closed, or for `max_age` seconds."""
        response.set_cookie(
            self._name_sent(),
            value,
            max_age,
            path="/",
            secure=_is_https(),
            httponly=True,
            samesite=self.samesite,
        )

    def delete(self, response: Response) -> None:
        self.set(response, "", max_age=0)

    def _name_sent(self) -> str:
        return f"__Host-{self.name}" if _is_https() else self.name


def _is_https() -> bool:
    return app_state().wiring.settings.is_https
