"""Forms: only those that were shown in the same session are taken.

A template puts `{{ csrf_field }}` into each form; before any POST is looked at, what came back is
compared with the secret in the browser's cookie.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final

from flask import abort, request
from markupsafe import Markup

from ledger import signing

FIELD: Final = "form_token"
PRE_SESSION_BYTES: Final = 16
KEY_BYTES: Final = 12
_KEY: Final = re.compile(r"[0-9a-f]{24}")


class FormRefused(Exception):
    """The form was not shown in this session."""


def field(secret: str) -> Markup:
    """Return the hidden field that ties a form to a secret of the browser's cookie."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(
        FIELD, signing.form_token(secret)
    )


def check(secret: str) -> None:
    """Check that the form that was sent is tied to the secret.

    Raises:
        FormRefused: it has no token, or that of another session.
    """
    if not is_tied(secret):
        raise FormRefused


def is_tied(secret: str) -> bool:
    """Return whether the form that was sent is tied to the secret."""
    sent = request.form.get(FIELD, "")
    return hmac.compare_digest(sent.encode(), signing.form_token(secret).encode())


def new_pre_session() -> str:
    """Return a secret to tie a form to that begins a session, kept in a cookie of its own."""
    return secrets.token_hex(PRE_SESSION_BYTES)


def new_idempotency_key() -> str:
    """Return a key for one showing of a form, by which sending it twice is known."""
    return secrets.token_hex(KEY_BYTES)


def idempotency_key() -> str:
    """Return the key of the form that was sent; without one, no page of ours sent it (400)."""
    sent = request.form.get("once", "")
    if not _KEY.fullmatch(sent):
        abort(400)
    return sent
