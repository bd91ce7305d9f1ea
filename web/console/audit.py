"""Audit: a checkpoint to keep, what its signatures are checked with, and how the rest is had."""

from __future__ import annotations

from flask import Response

from web.app import checkpoints, responses
from web.app.context import app_state, request_context, services
from web.console.rendering import page
from web.html import rendering


def show_audit() -> Response:
    """Show how the ledger stands, and the keys of its signatures."""
    signing = app_state().wiring.signing
    return page(
        "audit.html",
        head=services().book.head(),
        origin=signing.origin,
        keys=[key.vkey for key in signing.verifiers],
    )


def download_checkpoint() -> Response:
    """Answer a checkpoint of the ledger as it is now, as a file to keep."""
    content = checkpoints.sign_checkpoint(app_state().wiring, request_context().now)
    name = f"checkpoint-{request_context().now:%Y%m%dT%H%M%SZ}.txt"
    return rendering.guarded(responses.file(content, name))
