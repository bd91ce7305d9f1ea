"""Forms: only ones that we have shown in this visit are taken.

A page puts `{{ form_token() }}` into each form; before any POST is looked at, what came back is
held against the secret in the browser's cookie.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from flask import request
from markupsafe import Markup

from ledger import signing

FIELD: Final = "form_token"
ONCE_BYTES: Final = 12


class FormRefused(Exception):
    """This form was not shown by us in this visit."""


def field(bound_to: str) -> Markup:
    """Return the hidden field that every form of a session has.

    Args:
        bound_to: a random text that only the browser's cookie holds.
    """
    return Markup('<input type="hidden" name="{}" value="{}">').format(
        FIELD, signing.form_token(bound_to)
    )


def expect_ours(bound_to: str) -> None:
    """Hold a form that was sent to the visit that it was sent in.

    Raises:
        FormRefused: it has no token, or that of another visit.
    """
    sent = request.form.get(FIELD, "")
    if not hmac.compare_digest(sent.encode(), signing.form_token(bound_to).encode()):
        raise FormRefused


def once() -> str:
    """Answer a number for one showing of a form, by which sending it twice is known."""
    return secrets.token_hex(ONCE_BYTES)
