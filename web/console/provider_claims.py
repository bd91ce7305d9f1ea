"""What a person may do, by what the provider says about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.streams.sign_ins import PersonSignInProblem
from ledger.streams.token import Role
from web.app.oidc_settings import OidcSettings


class ClaimedRole(NamedTuple):
    """What the provider says that a person is; `reseller` is as the provider spells it."""

    role: Role
    reseller: str | None


def claimed_role(
    settings: OidcSettings, claims: Mapping[str, Any]
) -> ClaimedRole | PersonSignInProblem:
    """Return what a person is, or why that cannot be told."""
    said = values_at(claims, settings.role_claim)
    role = next((role for role, value in settings.roles if value in said), None)
    if role is None:
        if not said:
            return "no_role"
        return "portal_role" if "portal" in said else "unknown_role"
    if role != "reseller":
        return ClaimedRole(role, None)
    resellers = values_at(claims, settings.reseller_claim)
    return ClaimedRole(role, resellers[0]) if len(resellers) == 1 else "no_reseller"


def is_enough(settings: OidcSettings, claims: Mapping[str, Any]) -> bool:
    """Return whether claims have all that is looked for, or the provider may know more."""
    return claimed_role(settings, claims) not in {"no_role", "no_reseller"}


def values_at(claims: Mapping[str, Any], name: str) -> Sequence[str]:
    """Return the texts that a claim has, one or several; none where it is none.

    A claim may have a dot or an address as its name, so the name as it is comes first; else it is
    a path into the claims, as `realm_access.roles`.
    """
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found] if found else []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
