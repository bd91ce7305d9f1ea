"""The customers' pages: each module adds its own to the blueprint."""

from __future__ import annotations

from web.portal import (
    billing,
    buy,
    magic_link,
    notices,
    preferences,
    seats,
    subscriptions,
    upgrade,
)
from web.portal.blueprint import bp

__all__ = [
    "billing", "bp", "buy", "magic_link", "notices", "preferences", "seats", "subscriptions",
    "upgrade",
]  # fmt: skip
