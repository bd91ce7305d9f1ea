"""Which settings there are, and what a name that is none of them may have been meant for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "KEYFOLD_"
NAMES: Final = frozenset(
    {
        "KEYFOLD_CATALOG",
        "KEYFOLD_CHECKPOINT_SECRETS",
        "KEYFOLD_DATABASE_URL",
        "KEYFOLD_ENV_FILE",
        "KEYFOLD_MEMO_STREAMS",
        "KEYFOLD_PORTAL_PERMISSIONS",
        "KEYFOLD_PUBLIC_URL",
        "KEYFOLD_RETURN_URLS",
        "KEYFOLD_SEAT_SYNC_QUIET_S",
        "KEYFOLD_SECRET",
        "KEYFOLD_TEST_CLOCK",
        "KEYFOLD_WEBHOOK_HOSTS",
    }
)
# Read by the tests, the benchmark and CI, whose environment a program may be started in.
_OF_THE_CHECKOUT: Final = ("KEYFOLD_TEST_", "KEYFOLD_BENCH_", "KEYFOLD_CI_")


def unknown_settings(given: Iterable[str]) -> list[str]:
    """Return a line for each name that looks like a setting and is none, in order of the names."""
    unknown = sorted(
        name
        for name in set(given) - NAMES
        if name.startswith(PREFIX) and not name.startswith(_OF_THE_CHECKOUT)
    )
    return [f"{name} is no setting of Keyfold's, and is not read{_meant(name)}" for name in unknown]


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, sorted(NAMES), n=1, cutoff=0.8)
    return f": did you mean {near[0]}?" if near else ""
