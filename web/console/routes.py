"""The console's pages: each module adds its own to the blueprint."""

from __future__ import annotations

from web.console import (
    accounts,
    actions,
    attempts,
    batches,
    design,
    filters,
    keys,
    notices,
    overview,
    people,
    provider_sign_in,
    questions,
    resellers,
    search,
    seat_history,
    sign_in,
    subscription_changes,
    timeline,
    tokens,
)
from web.console.blueprint import bp

__all__ = [
    "accounts", "actions", "attempts", "batches", "bp", "design", "filters", "keys", "notices",
    "overview", "people",
    "provider_sign_in", "questions", "resellers", "search", "seat_history", "sign_in",
    "subscription_changes", "timeline", "tokens",
]  # fmt: skip
