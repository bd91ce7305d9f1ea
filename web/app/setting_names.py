"""Which settings there are, and what a name that is none of them may have been meant for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "KEYFOLD_"
VARIABLES: Final = (
    "KEYFOLD_DATABASE_URL", "KEYFOLD_SECRET", "KEYFOLD_CATALOG", "STRIPE_API_KEY",
    "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "KEYFOLD_PUBLIC_URL", "KEYFOLD_RETURN_URLS",
    "KEYFOLD_PORTAL_PERMISSIONS", "KEYFOLD_SEAT_SYNC_QUIET_S", "KEYFOLD_WEBHOOK_HOSTS",
    "KEYFOLD_TEST_CLOCK", "KEYFOLD_CHECKPOINT_SECRETS", "KEYFOLD_CHECKPOINT_LOG",
    "KEYFOLD_MEMO_STREAMS", "KEYFOLD_TOKEN_LIMITS", "KEYFOLD_ENV_FILE", "KEYFOLD_OIDC_ISSUER",
    "KEYFOLD_OIDC_CLIENT_ID", "KEYFOLD_OIDC_CLIENT_SECRET", "KEYFOLD_OIDC_ROLE_CLAIM",
    "KEYFOLD_OIDC_ROLES", "KEYFOLD_OIDC_RESELLER_CLAIM", "KEYFOLD_OIDC_SESSION_MINUTES",
)  # fmt: skip
# Read by the tests, the benchmark and CI, whose environment a program may be started in.
_OF_THE_CHECKOUT: Final = ("KEYFOLD_TEST_", "KEYFOLD_BENCH_", "KEYFOLD_CI_")


def unknown_settings(given: Iterable[str]) -> list[tuple[str, str | None]]:
    """Return each name that looks like a setting and is none, with the one it is near to."""
    unknown = sorted(
        name
        for name in set(given).difference(VARIABLES)
        if name.startswith(PREFIX) and not name.startswith(_OF_THE_CHECKOUT)
    )
    return [(name, _near(name)) for name in unknown]


def _near(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0.8)), None)
