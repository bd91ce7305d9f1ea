"""The spelling of a reseller's name that is kept: the first that was recorded."""

from __future__ import annotations

from commands.services import Services
from ledger.reseller_names import folded, normalized
from ledger.streams.reseller import RESELLER


def kept_spelling(services: Services, spelled: str) -> str:
    """Return the name of the reseller that a name means, as it was spelled first.

    Of two that are spelled for the first time at once, each may keep its own: which reseller a name
    means does not depend on it.
    """
    return known_spelling(services, spelled) or normalized(spelled)


def known_spelling(services: Services, spelled: str) -> str | None:
    """Return the same; None for the name of no reseller that was ever recorded."""
    id = folded(spelled)
    return services.book.load(RESELLER, id).state.name or services.first_spelling(id)
