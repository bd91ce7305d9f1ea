"""The settings of the provider that people sign in with at the console: KEYFOLD_OIDC_…"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, NamedTuple

from commands.gateways.oidc_addresses import is_safe_address
from ledger.streams.console_session import SESSION_LIFETIME
from ledger.streams.token import Role

PREFIX: Final = "KEYFOLD_OIDC_"
NEEDED: Final = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET")
# A portal's role is a program's; what may do most comes first.
CONSOLE_ROLES: Final[tuple[Role, ...]] = ("admin", "support", "auditor", "reseller")
_AS_THEY_ARE: Final = tuple((one, str(one)) for one in CONSOLE_ROLES)
MINUTES_MAX: Final = SESSION_LIFETIME // timedelta(minutes=1)


class OidcSettings(NamedTuple):
    """How people sign in at a provider.

    Attributes:
        issuer: what the provider calls itself, and where it describes itself.
        role_claim, reseller_claim: where it says what a person is.
        roles: which role each value of the role's claim gives, the first that fits.
        lifetime: of a session.
    """

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str = "keyfold_role"
    roles: tuple[tuple[Role, str], ...] = _AS_THEY_ARE
    reseller_claim: str = "keyfold_reseller"
    lifetime: timedelta = SESSION_LIFETIME


class OidcSettingsError(Exception):
    """One of them will not do."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(problem)
        self.variable = PREFIX + name


def read_oidc_settings(values: Mapping[str, str]) -> OidcSettings | None:
    """Return how people sign in at a provider; None where none is set up.

    Raises:
        OidcSettingsError: some are there without the others, or one is none.
    """
    given = {
        name.removeprefix(PREFIX): value.strip()
        for name, value in values.items()
        if name.startswith(PREFIX) and value.strip()
    }
    if not given:
        return None
    for name in NEEDED:
        if name not in given:
            raise OidcSettingsError(next(iter(given)), f"needs {PREFIX}{name} beside it")
    issuer = given["ISSUER"]
    if not is_safe_address(issuer) or "?" in issuer:
        raise OidcSettingsError(
            "ISSUER",
            "must be what the provider calls itself, an address like https://login.example"
            " (http of this machine alone)",
        )
    found = OidcSettings(issuer, given["CLIENT_ID"], given["CLIENT_SECRET"])
    return found._replace(
        role_claim=given.get("ROLE_CLAIM", found.role_claim),
        roles=_roles(given["ROLES"]) if "ROLES" in given else found.roles,
        reseller_claim=given.get("RESELLER_CLAIM", found.reseller_claim),
        lifetime=_lifetime(given.get("SESSION_MINUTES", str(MINUTES_MAX))),
    )


def _roles(text: str) -> tuple[tuple[Role, str], ...]:
    roles = []
    for part in text.split(","):
        named, _, value = (one.strip() for one in part.partition("="))
        role = next((one for one in CONSOLE_ROLES if one == named), None)
        if role is None or not value:
            raise OidcSettingsError(
                "ROLES",
                "must hold roles and what gives them, like admin=licensing-admins,support=desk, of"
                f" {', '.join(CONSOLE_ROLES)}",
            )
        roles.append((role, value))
    return tuple(roles)


def _lifetime(text: str) -> timedelta:
    minutes = int(text) if text.isdecimal() and len(text) <= len(str(MINUTES_MAX)) else 0
    if not 1 <= minutes <= MINUTES_MAX:
        raise OidcSettingsError(
            "SESSION_MINUTES", f"must be a whole number of minutes from 1 to {MINUTES_MAX}"
        )
    return timedelta(minutes=minutes)
