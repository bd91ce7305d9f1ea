"""Stripe's refusals, as its API words them.

Source: https://docs.stripe.com/api/errors
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """Stripe answers with an error."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "type": kind}
        for name, value in (("code", code), ("param", param), ("decline_code", decline_code)):
            if value is not None:
                self.body[name] = value
        if code is not None:
            self.body["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"

    def answer(self) -> Json:
        """Return the body of the answer."""
        return {"error": self.body}


def no_such(kind: str, name: str, param: str = "id", status: int = 404) -> ApiError:
    """Say that there is nothing of that id; 400 where the id was a parameter, 404 in a path."""
    return ApiError(status, f"No such {kind}: '{name}'", code="resource_missing", param=param)


def unknown_parameter(param: str) -> ApiError:
    """Say that Stripe knows no such parameter."""
    message = f"Received unknown parameter: {param}"
    return ApiError(400, message, code="parameter_unknown", param=param)


def missing_parameter(param: str) -> ApiError:
    """Say that a parameter is wanting."""
    message = f"Missing required param: {param}."
    return ApiError(400, message, code="parameter_missing", param=param)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Say what is wrong with a request."""
    return ApiError(400, message, param=param, code=code)


def declined(code: str = "card_declined") -> ApiError:
    """Say that the card was refused."""
    return ApiError(
        402,
        "Your card was declined.",
        kind="card_error",
        code=code,
        decline_code="generic_decline" if code == "card_declined" else None,
    )
